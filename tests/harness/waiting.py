# SPDX-License-Identifier: MIT
"""How tests wait. Every wait ends after DEADLINE seconds at the latest."""
import time

DEADLINE = 20  # seconds
# Seconds. Test and daemon read the clock at different moments, so an event may seem this much early.
EARLY = 0.001


def until(condition, what="the condition"):
    """Polls for a condition that no log line or byte announces. Returns its first true value."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        seen = condition()
        if seen:
            return seen
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come about in {DEADLINE} s")


def in_time(measure, limit, tries=5):
    """Measures up to `tries` times, until one took less than limit: a busy machine can delay any of them."""
    took = []
    while not took or took[-1] >= limit:
        assert len(took) < tries, f"took {took}, and never less than {limit}"
        took.append(measure())
