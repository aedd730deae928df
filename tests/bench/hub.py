# SPDX-License-Identifier: MIT
"""What a hub costs: one member sends, and all others receive.

    python3 tests/bench/hub.py BUILD_DIR [--runs 11]

The load checks every byte of every member ("fan" in load.c). See measure.py for the method.
"""
import measure
from measure import MESSAGE_BYTES
from table import Table

MEMBERS = 100, 1_000
DELIVERIES = 100_000  # deliveries in a turn
TURNS = 5  # turns in a run
CONFIG = """
log_level = "warning";
services = { hub = { listen = "127.0.0.1:0"; mode = "hub"; quota = "16M"; }; };
"""


def measure_all(bench, runs):
    """Yields the tables."""
    for members in MEMBERS:
        messages = DELIVERIES // members
        values = []
        for _ in range(runs):
            with bench.start_selectd(CONFIG) as server:
                seconds, = measure.measure_cpu(bench, [server], TURNS, "fan", members, messages,
                                               MESSAGE_BYTES)
                values.append(messages * (members - 1) / seconds)
        yield Table("hub", f"{MESSAGE_BYTES}-byte messages delivered, {members:,} members", "per CPU second",
                    0, {"selectd": values}, higher=True)


if __name__ == "__main__":
    measure.run(__doc__, measure_all)
