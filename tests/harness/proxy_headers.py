# SPDX-License-Identifier: MIT
"""Headers of the PROXY protocol, built from HAProxy's specification and not with the tested code."""
import socket
import struct

import pytest

from .clients import pattern, recv_exactly
from .waiting import DEADLINE

BOTH_VERSIONS = pytest.mark.parametrize("version", [1, 2])
PAYLOAD = pattern(3000)  # sent after a header


def v1(protocol, ends=None):
    """ends: a source and a destination, each a pair of address and port."""
    text = " ".join(str(field) for pair in zip(*ends) for field in pair) if ends else ""
    return f"PROXY {protocol}{text and ' '}{text}\r\n".encode()


def v2(rest=b"", kind=0x00, command=0x21, length=None):
    length = len(rest) if length is None else length
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, kind, length) + rest


def packed(ends):
    """A source and a destination in the format of version 2."""
    (source, source_port), (destination, destination_port) = ends
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return (socket.inet_pton(family, source) + socket.inet_pton(family, destination)
            + struct.pack(">HH", source_port, destination_port))


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def header(version, ends):
    """The header for this source and destination. None: both are unknown."""
    if not ends:
        return v1("UNKNOWN") if version == 1 else v2()
    six = ":" in ends[0][0]
    if version == 1:
        return v1("TCP6" if six else "TCP4", ends)
    return v2(packed(ends), 0x21 if six else 0x11)


FOUR = ("192.0.2.1", 4242), ("192.0.2.2", 443)
SIX = ("2001:db8::1", 4242), ("2001:db8::2", 443)
TLVS = tlv(0x01, b"h2") + tlv(0x02, b"example.org") + tlv(0x04, b"") + tlv(0xE0, pattern(300))
GOOD_HEADER = v2(packed(SIX) + TLVS, 0x21)


def ends_of(client):
    """The source and the destination that a relay's header must have for this client."""
    name = client.getsockname(), client.getpeername()
    return client.family != socket.AF_UNIX and [end[:2] for end in name]


def accept_header(listener, head):
    """Accepts a connection of a relay, which must begin with this header."""
    server, _ = listener.accept()
    server.settimeout(DEADLINE)
    assert recv_exactly(server, len(head)) == head
    return server
