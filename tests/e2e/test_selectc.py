# SPDX-License-Identifier: MIT
"""selectc sends and prints lines at the same time, half-closes at the end of input, and times round trips."""
import os
import pathlib
import re
import resource
import signal
import subprocess

import pytest

from harness import (DEADLINE, SELECTC, Daemon, Server, config, free_port, reset, running_selectc,
                     selectc, service)

PAGE = pathlib.Path(__file__).parents[2] / "src" / "man" / "selectc.1"


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
    """On many systems, localhost is ::1 first. The next address is tried."""
    assert selectc(f"localhost:{server.port()}", stdin=b"x\n")[:2] == (0, "RECEIVE: x\n")


def test_no_input(server):
    assert selectc(server.addresses()[0]) == (0, "", "")


def test_unix_socket(tmp_path):
    path = f"unix:{tmp_path}/echo.sock"
    with Daemon(config(service(listen=path))):
        assert selectc(path, stdin=b"x\n")[:2] == (0, "RECEIVE: x\n")


def test_a_large_regular_file(server, tmp_path):
    """The file is far larger than any buffer, and epoll would refuse it."""
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
    """A carriage return is not part of the line end."""
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


def test_both_directions_at_once(server):
    """A line is printed while input is still open."""
    with running_selectc(server.addresses()[0]) as client:
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
    with running_selectc(server.addresses()[0]) as client:
        client.stdin.write(b"x\n")
        assert client.stdout.readline() == b"RECEIVE: x\n"
        server.signal(signal.SIGTERM)
        server.wait_for("^stopping: ")
        server.signal(signal.SIGTERM)
        assert client.wait(DEADLINE) == 1
        assert client.stderr.read() == b"Server Down!\n"


def test_server_resets_after_the_end_of_input():
    """A reset is reported even if everything had been sent."""
    with Server() as server, running_selectc(server.address) as client:
        peer = server.accept()
        client.stdin.write(b"x")
        client.stdin.close()
        reset(peer)
        assert client.wait(DEADLINE) == 1
        assert client.stderr.read() == b"Server Down!\n"


def test_nobody_there():
    port = free_port()
    assert selectc(f"127.0.0.1:{port}") == (
        1, "", f"selectc: cannot connect to 127.0.0.1:{port}: Connection refused\n")


@pytest.mark.parametrize("args", [["nonsense"], ["a:1", "b:2"], ["--ping", "-1"], ["--ping", "many"],
                                  ["--ping", "1", "--size", "65K"], ["--ping", "1", "--size", "0"],
                                  ["--ping", "1", "--size", "65537"], ["--interval", "0"],
                                  ["--quiet"], ["-w", "1"], ["-c", "1", "-W", "soon"], ["-t", "366d"],
                                  ["--no"]])
def test_bad_command_line(args):
    status, out, err = selectc(*args)
    assert status == 64 and out == "" and err


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version(option):
    status, out, err = selectc(option)
    assert status == 0 and "selectc" in out and err == ""


def test_help_and_the_page_agree():
    """The help and the page have the same options and exit statuses."""
    page = re.sub(r"\\f.|\\(?=-)", "", PAGE.read_text())
    text = selectc("--help")[1]
    options = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z]*", text))
    assert options == set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z]*", page))
    statuses = dict(re.findall(r"(\d+)\s([^,.]+)", text[text.index("Exit status:"):]))
    assert statuses == {"0": "fine", "1": "the server went away or an answer did not come",
                        "64": "bad command line", "71": "the system refused"}
    section = page[page.index(".SH EXIT STATUS"):page.index(".SH EXAMPLES")]
    entries = dict(re.findall(r"^\.TP\n\.B (\d+)\n((?:[^.].*\n)+)", section, re.M))
    assert set(entries) == set(statuses)
    assert entries["64"].startswith("Bad command line")
    assert entries["71"].startswith("The system refused")


@pytest.mark.parametrize("n", range(4, 12))
def test_the_system_refuses_descriptors(server, n):
    """Whichever descriptor is refused, selectc prints one line and exits with 71. A library opens one of
    them.
    """
    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
    done = subprocess.run([SELECTC, server.addresses()[0]], input=b"x\n", capture_output=True,
                          timeout=DEADLINE, preexec_fn=few_descriptors)
    assert done.returncode == 71
    assert re.fullmatch(rb"selectc: cannot (start|connect to \S+): Too many open files\n",
                        done.stderr)
