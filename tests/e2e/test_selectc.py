"""selectc, the client: lines both ways at once, half-close at the end of input, round trips timed."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness import DEADLINE, Daemon, config, die_with_parent, free_port, recv_exactly, service

SELECTC = os.environ["SELECTC"]


def selectc(*args, stdin=b"", timeout=DEADLINE):
    """Runs selectc to its end. stdin: bytes, or an open file."""
    source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run([SELECTC, *map(str, args)], capture_output=True, timeout=timeout, **source)
    return done.returncode, done.stdout.decode(errors="backslashreplace"), done.stderr.decode()


@pytest.fixture
def server():
    with Daemon(config(service(listen=["127.0.0.1:0", "[::1]:0"]))) as daemon:
        yield daemon


def test_each_line_comes_back(server):
    for address in server.addresses():
        assert selectc(address, stdin=b"one\ntwo\nthree\n") == (
            0, "RECEIVE: one\nRECEIVE: two\nRECEIVE: three\n", "")


def test_last_line_without_a_newline_and_empty_ones(server):
    assert selectc(server.addresses()[0], stdin=b"\n\nlast") == (
        0, "RECEIVE: \nRECEIVE: \nRECEIVE: last\n", "")


def test_name_of_a_host(server):
    """localhost is ::1 first on many systems: the next address is tried."""
    assert selectc(f"localhost:{server.port()}", stdin=b"x\n")[:2] == (0, "RECEIVE: x\n")


def test_no_input(server):
    assert selectc(server.addresses()[0]) == (0, "", "")


def test_unix_socket(tmp_path):
    path = f"unix:{tmp_path}/echo.sock"
    with Daemon(config(service(listen=path))):
        assert selectc(path, stdin=b"x\n")[:2] == (0, "RECEIVE: x\n")


def test_a_large_regular_file(server, tmp_path):
    """Far more than fits into any buffer on the way, from a file that epoll would refuse."""
    lines = [b"%08d " % i + b"x" * (i % 300) for i in range(60_000)]
    path = tmp_path / "input"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with path.open() as file:
        status, out, err = selectc(server.addresses()[0], stdin=file, timeout=4 * DEADLINE)
    assert (status, err) == (0, "")
    assert out == "".join(f"RECEIVE: {line.decode()}\n" for line in lines)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 200_000])
def test_a_line_longer_than_any_buffer(server, size):
    lines = ["y" * size, "", "end"]
    status, out, _ = selectc(server.addresses()[0], stdin="\n".join(lines).encode())
    assert status == 0
    assert out == "".join(f"RECEIVE: {line}\n" for line in lines)


def test_bytes_are_printed_as_they_come(server):
    """A carriage return is none of the line's end."""
    with subprocess.Popen([SELECTC, server.addresses()[0]], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(b"a\r\n\r\n\xff\0\r", DEADLINE)
    assert out == b"RECEIVE: a\r\nRECEIVE: \r\nRECEIVE: \xff\0\r\n"


@pytest.mark.parametrize("args", [[], ["--ping", "3", "--interval", "10ms"]])
def test_output_fails(server, args):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SELECTC, *args, server.addresses()[0]], input=b"hello\n", stdout=full,
                              stderr=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode == 1
    assert done.stderr == b"selectc: cannot write output: No space left on device\n"


def test_prints_what_is_under_way_at_the_end_of_input():
    with Daemon(config(service(send_delay=0.3))) as daemon:
        assert selectc(daemon.addresses()[0], stdin=b"late\n") == (0, "RECEIVE: late\n", "")


@contextlib.contextmanager
def running(*args):
    """A selectc to talk to; whoever waits for it in vain reads end of file after DEADLINE."""
    with subprocess.Popen([SELECTC, *map(str, args)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                          preexec_fn=die_with_parent) as process:
        patience = threading.Timer(DEADLINE, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()


def test_both_directions_at_once(server):
    """A line is printed while input is still open."""
    with running(server.addresses()[0]) as client:
        for i in range(3):
            client.stdin.write(b"%d\n" % i)
            assert client.stdout.readline() == b"RECEIVE: %d\n" % i
        client.stdin.close()
        assert client.wait(DEADLINE) == 0


def test_input_that_cannot_be_read(server):
    directory = os.open("/", os.O_RDONLY)
    status, out, err = selectc(server.addresses()[0], stdin=directory)
    os.close(directory)
    assert (status, out, err) == (1, "", "selectc: cannot read input: Is a directory\n")


def test_server_goes_away(server):
    with running(server.addresses()[0]) as client:
        client.stdin.write(b"x\n")
        assert client.stdout.readline() == b"RECEIVE: x\n"
        server.signal(signal.SIGTERM)
        server.wait_for("^stopping: ")
        server.signal(signal.SIGTERM)
        assert client.wait(DEADLINE) == 1
        assert client.stderr.read() == b"Server Down!\n"


def test_server_resets_after_the_end_of_input():
    """An end that is no end of stream is told, even when all had been sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        with running("127.0.0.1:%d" % listener.getsockname()[1]) as client:
            peer, _ = listener.accept()
            client.stdin.write(b"x")
            client.stdin.close()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            assert client.wait(DEADLINE) == 1
            assert client.stderr.read() == b"Server Down!\n"


def test_nobody_there():
    port = free_port()
    assert selectc(f"127.0.0.1:{port}") == (
        1, "", f"selectc: cannot connect to 127.0.0.1:{port}: Connection refused\n")


@pytest.mark.parametrize("args", [["nonsense"], ["a:1", "b:2"], ["--ping", "0"], ["--ping", "many"],
                                  ["--ping", "1", "--size", "65K"], ["--ping", "1", "--size", "0"],
                                  ["--ping", "1", "--size", "65537"], ["--interval", "0"], ["--no"]])
def test_bad_command_line(args):
    status, out, err = selectc(*args)
    assert status == 64 and out == "" and err


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version(option):
    status, out, err = selectc(option)
    assert status == 0 and "selectc" in out and err == ""


def test_ping(server):
    address = server.addresses()[0]
    status, out, err = selectc("--ping", 5, "--interval", "10ms", "--size", 100, address)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"PING {address} 100 bytes of data."
    times = []
    for i, line in enumerate(lines[1:6], 1):
        match = re.fullmatch(rf"100 bytes from {re.escape(address)}: seq={i} time=([\d.]+) ms", line)
        times.append(float(match[1]))
    assert lines[7] == f"--- {address} ping statistics ---"
    total = re.fullmatch(r"5 messages sent, 5 received, 0% lost, time (\d+) ms", lines[8])
    assert int(total[1]) >= 39  # four intervals
    rtt = re.fullmatch(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/[\d.]+ ms", lines[9])
    assert float(rtt[1]) == min(times) and float(rtt[3]) == max(times)
    assert abs(float(rtt[2]) - sum(times) / 5) < 0.002


def test_ping_times_the_delay():
    with Daemon(config(service(send_delay=0.2))) as daemon:
        status, out, _ = selectc("--ping", 1, daemon.addresses()[0])
    assert status == 0
    assert float(re.search(r"time=([\d.]+) ms", out)[1]) >= 199


def test_ping_sees_other_bytes_and_a_server_that_goes():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        with running("--ping", 3, "--size", 8, "--interval", "1ms",
                     "127.0.0.1:%d" % listener.getsockname()[1]) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(DEADLINE)
                assert peer.recv(8)
                peer.sendall(b"\xff" * 8)
                client.stdout.readline()
                assert b"seq=1 other bytes than were sent" in client.stdout.readline()
            assert client.wait(DEADLINE) == 1
            assert client.stderr.read() == b"Server Down!\n"
            assert b" 0 received, 100% lost" in client.stdout.read()


def test_ping_fails_for_a_wrong_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        with running("--ping", 1, "--size", 8,
                     "127.0.0.1:%d" % listener.getsockname()[1]) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(DEADLINE)
                assert recv_exactly(peer, 8)
                peer.sendall(b"\xff" * 8)
                assert client.wait(DEADLINE) == 1
            assert client.stderr.read() == b""
            assert b"1 messages sent, 0 received, 100% lost" in client.stdout.read()


def test_ping_interrupted(server):
    with running("--ping", 1000, "--interval", "1h", server.addresses()[0]) as client:
        client.stdout.readline()
        assert b"seq=1 time=" in client.stdout.readline()
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == 0
        assert b"1 messages sent, 1 received, 0% lost" in client.stdout.read()
