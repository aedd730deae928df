# SPDX-License-Identifier: MIT
"""A model of the article's server: one select loop, a queue of messages for each client, and a pause
before each send.

It is written from the article's description, in today's Python. It shares the original's flaw that a
pause stops everything. It differs in one point: an empty read ends the connection, where the original
would loop forever.

It reports events: (kind, client, bytes), the client by its address.
"""
import queue
import select
import socket
import threading
import time

MESSAGE_BYTES = 1024
BACKLOG = 10


class ArticleServer:
    """A context manager that serves in a thread of its own. on_event is called for each event."""

    def __init__(self, delay, on_event):
        self.delay, self.on_event = delay, on_event
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.address = "%s:%d" % self.listener.getsockname()
        self.stopper, self.stopped = socket.socketpair()
        self.readers = [self.listener, self.stopped]
        self.writers = []
        self.queues = {}
        self.names = {}
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopper.close()
        self.thread.join(20)
        for s in [*self.queues, self.listener, self.stopped]:
            s.close()

    def _tell(self, kind, client, data=b""):
        self.on_event(kind, self.names[client], data)

    def _run(self):
        while True:
            readable, writable, exceptional = select.select(
                self.readers, self.writers, self.readers)
            if self.stopped in readable:
                return
            for s in readable:
                self._accept() if s is self.listener else self._receive(s)
            for s in writable:
                if s in self.queues:
                    self._send(s)
            for s in exceptional:
                if s in self.queues:
                    self._tell("exception", s)
                    self._close(s)

    def _accept(self):
        client, address = self.listener.accept()
        client.setblocking(False)
        self.names[client] = "%s:%d" % address
        self.readers.append(client)
        self.queues[client] = queue.Queue()
        self._tell("connected", client)

    def _receive(self, client):
        try:
            data = client.recv(MESSAGE_BYTES)
        except BlockingIOError:  # only urgent data arrived, for the exception list
            return
        except OSError:
            data = b""
        if not data:
            self._close(client)
            return
        self._tell("received", client, data)
        self.queues[client].put(data)
        if client not in self.writers:
            self.writers.append(client)

    def _send(self, client):
        try:
            message = self.queues[client].get_nowait()
        except queue.Empty:
            self._tell("queue empty", client)
            self.writers.remove(client)
            return
        self._tell("sending", client, message)
        time.sleep(self.delay)
        try:
            client.send(message)
        except OSError:
            self._close(client)

    def _close(self, client):
        self.readers.remove(client)
        if client in self.writers:
            self.writers.remove(client)
        del self.queues[client]
        self._tell("closed", client)
        client.close()
