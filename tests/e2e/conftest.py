# SPDX-License-Identifier: MIT
"""Fixtures of all scenarios."""
import pytest

pytest.register_assert_rewrite("harness")  # pytest explains failed assertions of helpers too

import harness


@pytest.fixture(params=["epoll", "poll", "select", "epoll-4"])
def backend(request, monkeypatch):
    """Each of libevent's backends in turn, and four workers on the first."""
    name, _, workers = request.param.partition("-")
    if workers:
        monkeypatch.setitem(harness.DEFAULTS, "workers", int(workers))
    return name


@pytest.fixture
def manager(tmp_path):
    manager = harness.Manager(tmp_path)
    yield manager
    manager.sock.close()


@pytest.fixture
def asking(tmp_path):
    """A wrapper that makes a daemon ask these name servers, with an /etc of its own.

    more: further lines of its resolv.conf. Called again, it rewrites the files of the running daemon.
    """
    command = harness.own_mounts()

    def wrapper(*name_servers, more="", timeout=1):
        (tmp_path / "resolv.conf").write_text(
            "".join(f"nameserver {server.address}\n" for server in name_servers)
            + f"options timeout:{timeout} attempts:2\n" + more)
        (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
        return [*command, "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(tmp_path)]

    return wrapper


@pytest.fixture
def crowd():
    """Connects many clients to a daemon: crowd(daemon, n) returns them. They leave when the test ends."""
    harness.raise_descriptor_limit(harness.MORE_THAN_SELECT_HOLDS + 200)
    socks = []

    def connect(daemon, n):
        socks.extend(daemon.connect() for _ in range(n))
        return socks[-n:]

    yield connect
    for sock in socks:
        sock.close()


@pytest.fixture
def journal(tmp_path):
    journal = harness.Journal(tmp_path)
    yield journal
    journal.sock.close()
