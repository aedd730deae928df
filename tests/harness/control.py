# SPDX-License-Identifier: MIT
"""A client of the control interface."""
import http.client
import json
import re
import socket
import time
from urllib.parse import quote

from .clients import connect
from .configuration import config
from .daemon import Daemon
from .peers import free_port, local
from .waiting import DEADLINE


METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Connection(http.client.HTTPConnection):
    """An HTTP connection to an address of the daemon's log."""

    def __init__(self, address):
        super().__init__("localhost", timeout=DEADLINE)
        self.address = address

    def connect(self):
        self.sock = connect(self.address)


class Answer:
    """An answer: the status, the headers, and the body as bytes, and as a value if it is JSON."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        try:
            self.value = json.loads(self.body)
        except ValueError:
            self.value = None

    def __repr__(self):
        return f"{self.status} {self.body!r}"


class Control:
    """Sends requests to a daemon. Each request has a connection of its own."""

    def __init__(self, daemon, i=0):
        self.address = [re.search(r"listening on (\S+)", line)[1]
                        for line in daemon.lines(r"^control interface: listening on ")][i]

    def ask(self, method, path, body=None, **headers):
        """body: a value to send as JSON, or bytes."""
        connection = _Connection(self.address)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def expect(self, status, method, path, body=None, **headers):
        """Sends a request. Returns the value of the answer, which must have this status."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status == status, answer
        return answer.value

    def create(self, name="p", upstream="127.0.0.1:1", listen=None, **fields):
        """Makes a proxy. By default it has a port that no other process takes while the proxy is disabled."""
        listen = local(free_port()) if listen is None else listen
        return self.expect(201, "POST", "/proxies",
                           {"name": name, "listen": listen, "upstream": upstream, **fields})

    def update(self, name="p", **fields):
        return self.expect(200, "POST", f"/proxies/{quote(name, safe='')}", fields)

    def add(self, type, proxy="p", stream="downstream", name=None, toxicity=1.0, **attributes):
        """Adds a toxic. Returns how long that took, in seconds."""
        began = time.monotonic()
        self.expect(200, "POST", f"/proxies/{proxy}/toxics",
                    {"type": type, "stream": stream, "name": name, "toxicity": toxicity,
                     "attributes": attributes})
        return time.monotonic() - began

    def remove(self, toxic, proxy="p"):
        began = time.monotonic()
        self.expect(204, "DELETE", f"/proxies/{proxy}/toxics/{toxic}")
        return time.monotonic() - began

    def dial(self, name="p"):
        """Connects to a proxy."""
        return connect(self.expect(200, "GET", f"/proxies/{quote(name, safe='')}")["listen"])

    def metrics(self):
        """The metrics: a dictionary from rows, such as 'up{job="x"}', to numbers."""
        answer = self.ask("GET", "/metrics")
        assert answer.status == 200 and answer.headers["Content-Type"] == METRICS_TYPE, answer
        rows = [line.rpartition(" ") for line in answer.body.decode().splitlines() if line[0] != "#"]
        found = {row: int(number) for row, _, number in rows}
        assert len(found) == len(rows)
        return found

    def raw(self):
        """A connection for bytes that are not a well-formed request."""
        return connect(self.address)


def controlled(backend, **pairs):
    """A daemon with a control interface, and an echo in its configuration file."""
    return Daemon(config(backend=backend, control="127.0.0.1:0", **pairs))


def refused(address):
    """Whether a connection is refused."""
    try:
        connect(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except socket.timeout:
        pass
    return False
