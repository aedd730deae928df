# SPDX-License-Identifier: MIT
"""A timeout never ends a connection early, however many connections there are.

The client's clock starts before it connects or sends, and the daemon's after that, so the tests need no
tolerance at all.
"""
import re
import select
import selectors
import time

import pytest

from harness import DEADLINE, Daemon, config, recv_exactly, service

CLIENTS = 150


def ends(daemon, prepare):
    """Connects many clients. Returns for each the time from its beginning to its end."""
    took = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(CLIENTS):
            began = time.monotonic()
            sock = daemon.connect()
            selector.register(sock, selectors.EVENT_READ, prepare(sock) or began)
        deadline = time.monotonic() + DEADLINE
        while selector.get_map():
            assert time.monotonic() < deadline
            for key, _ in selector.select(DEADLINE):
                now = time.monotonic()
                try:
                    assert key.fileobj.recv(1) == b""
                except ConnectionResetError:
                    pass
                took[key.fileobj] = now - key.data
                selector.unregister(key.fileobj)
                key.fileobj.close()
    return list(took.values())


def exchange(sock):
    """Returns when the last byte began to move, a little after the connection began."""
    assert not select.select([sock], [], [], 0.005)[0]
    began = time.monotonic()
    sock.sendall(b"x")
    assert recv_exactly(sock, 1) == b"x"
    return began


def nothing(sock):
    return None


@pytest.mark.parametrize("pairs, prepare, least", [
    ({"idle_timeout": "200ms"}, nothing, 0.2),
    ({"idle_timeout": "1s"}, exchange, 1),  # long enough for a busy machine to send
    ({"to_client": dict(reset_after="200ms")}, nothing, 0.2),
    ({"proxy_protocol": "accept", "proxy_from": "127.0.0.1"}, nothing, 5),
], ids=["idle_timeout", "idle_timeout after a byte", "reset_after", "PROXY header"])
def test_never_early(backend, pairs, prepare, least):
    with Daemon(config(service(**pairs), backend=backend)) as daemon:
        took = ends(daemon, prepare)
        assert len(took) == CLIENTS
        assert min(took) >= least
        # The daemon's own clock is more precise, because it does not include the connecting.
        daemon.wait_for(" closed: ", CLIENTS)
        lasted = [float(re.search(r" B out, ([\d.]+) s", line)[1]) for line in daemon.lines(" closed: ")]
        assert min(lasted) >= least
