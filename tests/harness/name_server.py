# SPDX-License-Identifier: MIT
"""A name server."""
import random
import selectors
import socket
import struct
import threading
import time

from .clients import recv_exactly
from .processes import cannot_run
from .waiting import DEADLINE


class NameServer(threading.Thread):
    """A name server on port 53 of a loopback address of its own, by UDP and TCP, as a context manager.

    It answers questions for IPv4 addresses from a dict. reply(query, answer) may replace an answer: it
    returns what to send by UDP, and None to withhold the answer until send_withheld(). The event asked is set
    at each question. questions has the name of each question for an IPv4 address, and ports the ports from
    which questions came. delay is the number of seconds that each answer waits, or a function of the query.
    """

    def __init__(self, names=(), reply=None, delay=0):
        super().__init__(daemon=True)
        self.names, self.reply, self.delay = dict(names), reply, delay
        self.asked, self.withheld, self.questions, self.ports = threading.Event(), [], [], set()
        self.ended, self.waiting = threading.Event(), []
        for _ in range(100):
            self.address = "127.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(3))
            try:
                self.tcp = socket.create_server((self.address, 53))
            except PermissionError:
                cannot_run("a name server takes root")
            except OSError:
                continue
            break
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind((self.address, 53))

    def run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ, self._by_udp)
            selector.register(self.tcp, selectors.EVENT_READ, self._by_tcp)
            while not self.ended.is_set():
                for key, _ in selector.select(self._send_due()):
                    key.data()

    def _send_due(self):
        """Sends the answers whose delay is over. Returns the delay of the next one; None: there is none."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            self.sock.sendto(*self.waiting.pop(0)[1:])
        return self.waiting[0][0] - now if self.waiting else None

    def _by_udp(self):
        query, client = self.sock.recvfrom(512)
        if not query:
            return  # see __exit__
        answer = self.answer(query)
        self.ports.add(client[1])
        reply = self.reply(query, answer) if self.reply else answer
        if reply:
            delay = self.delay(query) if callable(self.delay) else self.delay
            self.waiting.append((time.monotonic() + delay, reply, client))
            self.waiting.sort(key=lambda entry: entry[0])
        else:
            self.withheld.append((answer, client))
        self.asked.set()

    def _by_tcp(self):
        with self.tcp.accept()[0] as sock:
            sock.settimeout(DEADLINE)
            while head := recv_exactly(sock, 2):  # one round for each question of the client
                answer = self.answer(recv_exactly(sock, struct.unpack(">H", head)[0]))
                sock.sendall(struct.pack(">H", len(answer)) + answer)

    def send_withheld(self):
        for answer, client in self.withheld:
            self.sock.sendto(answer, client)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5  # the question: a name, its type and its class
        name = b".".join(self._labels(query)).decode().lower()
        of_ipv4 = query[end - 4:end] == b"\0\1\0\1"
        if of_ipv4:
            self.questions.append(name)
        found = self.names.get(name, []) if of_ipv4 else []
        status = 0x8180 + (0 if name in self.names else 3)  # flags: an answer, recursion; NXDOMAIN
        return (query[:2] + struct.pack(">5H", status, 1, len(found), 0, 0) + query[12:end]
                + b"".join(struct.pack(">3HIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
                           for address in found))

    @staticmethod
    def _labels(query):
        i = 12
        while query[i]:
            yield query[i + 1:i + 1 + query[i]]
            i += 1 + query[i]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.sock.sendto(b"", self.sock.getsockname())
        self.join()
        self.sock.close()
        self.tcp.close()
