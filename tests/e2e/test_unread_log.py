# SPDX-License-Identifier: MIT
"""A log that nobody reads blocks no client and no stop. Lost lines are counted."""
import contextlib
import os
import re
import select
import signal
import socket
import subprocess

from harness import (DEADLINE, SELECTD, config, config_in, die_with_parent, echo, environment, free_port,
                     local, service, visit)

PIPE_BYTES = 1 << 16  # the capacity of a pipe (pipe(7))


def read_line(pipe):
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([pipe], [], [], DEADLINE)[0], f"nothing behind {line!r}"
        line += pipe.read(1)
    return line.decode()


@contextlib.contextmanager
def writing_to_pipe(directory, **settings):
    """A daemon that is ready: its port, its log so far, and the pipe that the rest of the log goes to.

    After the block, which may close the pipe, the daemon must stop in order.
    """
    port = free_port()
    path = config_in(directory, config(service(listen=f"127.0.0.1:{port}"), **settings))
    reader, writer = os.pipe()
    with (open(reader, "rb", buffering=0) as pipe,
          subprocess.Popen([SELECTD, "-c", path], stderr=writer, env=environment(),
                           stdin=subprocess.DEVNULL, preexec_fn=die_with_parent) as process):
        try:
            os.close(writer)
            log = ""
            while "ready: " not in log:
                log += read_line(pipe)
            yield port, log, pipe
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_full_pipe(backend, tmp_path):
    with writing_to_pipe(tmp_path, backend=backend, log_level="debug") as (port, log, pipe):
        clients = 0
        while clients < 20 + PIPE_BYTES / 200:  # each visit writes more than 200 bytes
            visit(local(port))
            clients += 1
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as late:
            echo(late)
            while not re.search(r"\n\d+ records were lost: .*\n", log):  # the pipe is read again
                log += read_line(pipe)
                echo(late)
        assert len(log) > PIPE_BYTES / 2  # it was full, although some of its pages had room
        assert all(line.endswith("\n") and line[:-1].isprintable()
                   for line in log.splitlines(keepends=True))
        for _ in range(clients):
            visit(local(port))


def test_reader_gone(tmp_path):
    """A closed pipe ends no service."""
    with writing_to_pipe(tmp_path) as (port, _, pipe):
        pipe.close()
        for _ in range(3):
            visit(local(port))
