# SPDX-License-Identifier: MIT
"""A disabled service whose socket systemd passed: the socket stays open, and its clients are reset."""
import socket

import pytest

from harness import activated, config, connect, relay
from harness.control import Control


def test_disabled(backend):
    with socket.create_server(("127.0.0.1", 0)) as passed, socket.create_server(("127.0.0.1", 0)) as upstream:
        where = "127.0.0.1:%d" % passed.getsockname()[1]
        text = config(relay("127.0.0.1:%d" % upstream.getsockname()[1], "db"), backend=backend,
                      control="127.0.0.1:0")
        with activated(text, [passed], ["db"]) as daemon:
            passed.close()
            control = Control(daemon)
            with connect(where) as client, upstream.accept()[0] as server:
                control.update("db", enabled=False)
                assert client.recv(1) == server.recv(1) == b""
            daemon.wait_for(r"^db: .* closed: disabled, ")
            with pytest.raises(ConnectionResetError), connect(where) as client:  # by either call
                client.recv(1)
            control.update("db", enabled=True)
            with connect(where) as client, upstream.accept()[0] as server:
                server.sendall(b"x")
                assert client.recv(1) == b"x"
        daemon.wait_for(r"^db: \S+ turned away: the service is disabled$")
