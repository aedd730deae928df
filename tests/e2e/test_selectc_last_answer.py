# SPDX-License-Identifier: MIT
"""A server answers and closes while selectc still sends. selectc prints the answer."""
import socket
import subprocess

import pytest

from harness import DEADLINE, SELECTC, Server, die_with_parent, recv_exactly, reset

ROUNDS = 40
ANSWER = b"500 too much\n" * 1000


def close(sock):
    sock.close()  # there are unread bytes, so the system sends a reset


def end_and_close(sock):
    sock.shutdown(socket.SHUT_WR)
    sock.close()


@pytest.mark.parametrize("leave", [close, end_and_close, reset])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_last_answer(family, leave, tmp_path):
    """The answer is printed whether send(2) or recv(2) notices the end first."""
    path = str(tmp_path / "socket")
    with Server() if family == socket.AF_INET else Server(path) as server:
        for i in range(ROUNDS):
            with open("/dev/zero", "rb") as zeros, subprocess.Popen(
                    [SELECTC, server.address], stdin=zeros, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, preexec_fn=die_with_parent) as client:
                peer = server.accept()
                recv_exactly(peer, 100 * (i % 5) + 1)
                peer.sendall(ANSWER)
                leave(peer)
                out, err = client.communicate(timeout=DEADLINE)
                assert out == b"".join(b"RECEIVE: %s\n" % line for line in ANSWER.splitlines()), i
                assert (client.returncode, err) == (1, b"Server Down!\n")
