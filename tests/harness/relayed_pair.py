# SPDX-License-Identifier: MIT
"""A client that is connected to an upstream through a relay."""
import contextlib
import socket

from .configuration import config, relay
from .daemon import Daemon
from .peers import listening
from .waiting import DEADLINE


@contextlib.contextmanager
def relayed(backend, *, env=None, top=(), client_buffer=None, server_buffer=None, **pairs):
    """Yields (daemon, client, the upstream's socket).

    env:           added to the environment of the daemon
    top:           keys of the top level of the configuration
    client_buffer: SO_RCVBUF of the client; server_buffer: of the upstream's socket
    pairs:         keys of the relay
    """
    with listening() as (listener, address):
        if server_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, server_buffer)
        text = config(relay(address, **pairs), backend=backend, **dict(top))
        with Daemon(text, env=env) as daemon, daemon.connect("relay", receive_buffer=client_buffer) as client:
            server, _ = listener.accept()
            server.settimeout(DEADLINE)
            with server:
                yield daemon, client, server
