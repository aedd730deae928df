# SPDX-License-Identifier: MIT
"""The journal's socket is gone for a while, or the journal does not read: nothing blocks, and all losses
are counted.
"""
import re

from harness import Daemon, config, service, visit, workers

QUEUE_BYTES = 256 << 10  # the records in the queue
RECORD_BYTES = 300  # or a little more: the records of one visit


def is_of_visit(message):
    """Each visit makes the daemon write two records at level info."""
    return message.endswith(" connected") or " closed: " in message


def read_visits(journal, n):
    """Reads messages until the visits are complete. Returns them and how many records were lost."""
    messages, lost = [], 0
    while sum(map(is_of_visit, messages)) + lost < 2 * n:
        messages.append(journal.next()["MESSAGE"])
        found = re.match(r"(\d+) records? w\w+ lost: ", messages[-1])
        lost += int(found[1]) if found else 0
    assert sum(map(is_of_visit, messages)) + lost == 2 * n
    return messages, lost


def start(journal, tmp_path, backend):
    address = f"unix:{tmp_path}/echo.sock"
    return address, Daemon(config(service(listen=address), backend=backend), wait=None,
                           wrapper=journal.wrapper)


def test_gone_for_a_while(journal, tmp_path, backend):
    """The records wait in order, and arrive although nothing more is logged."""
    address, daemon = start(journal, tmp_path, backend)
    with daemon:
        journal.wait_for("ready: ")
        for _ in range(3):
            journal.close()
            visit(address, 20)
            journal.open()
            messages, lost = read_visits(journal, 20)
            assert not lost
            verbs = [message.split()[2] for message in messages]
            if workers()[0] > 1:  # a worker may write the second record of a visit late
                assert sorted(verbs) == ["closed:"] * 20 + ["connected"] * 20
            else:
                assert verbs == ["connected", "closed:"] * 20


def test_gone_for_long(journal, tmp_path, backend):
    address, daemon = start(journal, tmp_path, backend)
    with daemon:
        journal.wait_for("ready: ")
        journal.close()
        visits = QUEUE_BYTES // RECORD_BYTES
        visit(address, visits)
        journal.open()
        messages, lost = read_visits(journal, visits)
        assert 0 < lost < 2 * visits
        said = [message for message in messages if " lost: " in message]
        assert len(said) == 1 and re.search(": (No such file or directory|Connection refused)$", said[0])
        visit(address, 1)
        assert not read_visits(journal, 1)[1]


def test_journal_that_does_not_read(journal, tmp_path, backend):
    address, daemon = start(journal, tmp_path, backend)
    with daemon:
        journal.wait_for("ready: ")
        held = int(open("/proc/sys/net/unix/max_dgram_qlen").read()) + 1
        visits = QUEUE_BYTES // RECORD_BYTES + held
        visit(address, visits)
        _, lost = read_visits(journal, visits)
        assert lost
        journal.sock.settimeout(0.01)
        visit(address, visits)
        assert daemon.stop() == 0
