# SPDX-License-Identifier: MIT
"""A client resets at any point: the log says so, and no other client loses a byte."""
import signal
import socket
import threading

import pytest

from harness import Daemon, Steady, config, pattern, push, recv_exactly, reset, service


def idle(daemon, sock):
    daemon.wait_for(" connected$", 2)


def mid_stream(daemon, sock):
    """Resets while data is under way in both directions."""
    sock.sendall(pattern(200_000))
    assert sock.recv(1)


def output_blocked(daemon, sock):
    push([sock], pattern(16 << 20), quiet=0.3)


def half_closed_while_delayed(daemon, sock):
    sock.sendall(b"to be held back")
    sock.shutdown(socket.SHUT_WR)
    daemon.wait_for("^slow: .* received 15 bytes$")


SCENES = [(idle, "echo"), (mid_stream, "echo"), (output_blocked, "echo"), (idle, "slow"),
          (output_blocked, "slow"), (half_closed_while_delayed, "slow")]


@pytest.mark.parametrize("scene, name", SCENES, ids=lambda x: getattr(x, "__name__", x))
def test_reset(backend, scene, name):
    level = "debug" if scene is half_closed_while_delayed else "info"
    text = config(service("echo"), service("slow", send_delay="1h", message_size="64K"),
                  service("steady"), backend=backend, log_level=level)
    with Daemon(text) as daemon, Steady(daemon.connect("steady")):
        sock = daemon.connect(name, receive_buffer=16384)
        scene(daemon, sock)
        reset(sock)
        daemon.wait_for(rf"^{name}: .* closed: reset by peer, ")


def test_gone_before_the_answer(backend):
    """The client closes in order, and the answer then meets a closed socket."""
    text = config(service(send_delay=0.2, message_size=5), backend=backend)
    with Daemon(text) as daemon, daemon.connect() as other:
        client = daemon.connect()
        client.sendall(b"hello" * 4)
        client.close()
        daemon.wait_for(" closed: reset by peer, 20 B in, ")
        other.sendall(b"there?")
        assert recv_exactly(other, 6) == b"there?"


def test_answer_before_a_reset(backend):
    """The upstream answers, does not read everything, and closes. Its answer arrives before the reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = "127.0.0.1:%d" % listener.getsockname()[1]
        with Daemon(config(service(mode="relay", upstream=upstream), backend=backend)) as daemon:
            with daemon.connect() as client:
                server, _ = listener.accept()
                client.sendall(b"a question that is never read")
                assert server.recv(1, socket.MSG_PEEK)
                daemon.halt()
                server.sendall(b"answer")
                server.close()
                daemon.signal(signal.SIGCONT)
                assert recv_exactly(client, 6) == b"answer"
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_many_at_once(backend):
    """Several clients reset while one is served. Each reset is logged, and that client loses nothing."""
    threads, each = 4, 50
    with Daemon(config(backend=backend)) as daemon, Steady(daemon.connect()):
        def resets():
            for i in range(each):
                sock = daemon.connect()
                if i % 2:
                    sock.sendall(pattern(1000 * i))
                reset(sock)

        workers = [threading.Thread(target=resets) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        daemon.wait_for(" closed: reset by peer, ", threads * each)
