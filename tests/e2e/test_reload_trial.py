# SPDX-License-Identifier: MIT
"""When reading the file crashes or takes long at a reload, no client is affected.

A library that is preloaded in front of libconfig plays a parser that crashes or takes long. It
distinguishes the child process that tries the file from the daemon, and obeys files in a directory:

hold-child, hold-daemon: reading goes on when this file is gone
crash, exit: reading ends the process
reading-child-PID, …: written by the library: that process reads; one byte for each time
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

from harness import (DEADLINE, Daemon, cannot_run, config, config_in, echo, recv_until_eof, service,
                     until)

SHIM = r"""
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *path(const char *name, char *out)
{
        snprintf(out, 512, "%s/%s", getenv("SHIM_DIRECTORY"), name);
        return out;
}

int config_read_string(void *config, const char *text)
{
        int (*read_string)(void *, const char *) = dlsym(RTLD_NEXT, "config_read_string");
        char line[1024] = "", name[64], where[512];
        int fd = open("/proc/self/cmdline", O_RDONLY);
        ssize_t n = read(fd, line, sizeof(line) - 1);
        const char *role = n > 0 && memmem(line, n, "--check", 7) ? "child" : "daemon";

        close(fd);
        if (!strstr(text, "services")) /* not a file, but the defaults of keys */
                return read_string(config, text);
        snprintf(name, sizeof(name), "reading-%s-%d", role, getpid());
        fd = open(path(name, where), O_CREAT | O_APPEND | O_WRONLY, 0600);
        if (write(fd, ".", 1) != 1)
                _exit(1);
        close(fd);
        snprintf(name, sizeof(name), "hold-%s", role);
        while (access(path(name, where), F_OK) == 0)
                usleep(1000);
        if (access(path("crash", where), F_OK) == 0) {
                signal(SIGSEGV, SIG_DFL);
                raise(SIGSEGV);
        }
        if (access(path("exit", where), F_OK) == 0)
                _exit(2);
        return read_string(config, text);
}
"""


class Parser:
    """The preloaded library, and the directory that controls it."""

    def __init__(self, directory):
        compiler = shutil.which("cc")
        if not compiler:
            cannot_run("no C compiler here")
        self.directory = directory
        source, library = directory / "shim.c", directory / "shim.so"
        source.write_text("#define _GNU_SOURCE\n" + SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        self.env = {"LD_PRELOAD": str(library), "SHIM_DIRECTORY": str(directory),
                    "ASAN_OPTIONS": "verify_asan_link_order=0"}

    @contextlib.contextmanager
    def told(self, name):
        """While the block runs, the parser obeys this command."""
        file = self.directory / name
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def readers(self, role):
        """The processes that have read so far."""
        return [int(file.name.rpartition("-")[2])
                for file in self.directory.glob(f"reading-{role}-*") if file.stat().st_size]

    def times(self, role):
        """How often the file has been read so far."""
        return sum(file.stat().st_size for file in self.directory.glob(f"reading-{role}-*"))

    def wait_for_child(self):
        """Waits until the first child reads. Returns its process id."""
        return until(lambda: self.readers("child"), "the child")[0]

    def wait_for_daemon(self):
        """Waits until the daemon itself reads. Its start does not count."""
        until(lambda: self.readers("daemon"), "the daemon's turn")

    def forget(self):
        for file in self.directory.glob("reading-*"):
            file.unlink()


@pytest.fixture
def parser(tmp_path):
    return Parser(tmp_path)


@pytest.fixture
def daemon(parser, backend):
    with Daemon(config(backend=backend), env=parser.env) as started:
        parser.forget()
        yield started


@pytest.mark.parametrize("how, why", [
    ("crash", r"died of signal 11 \(Segmentation fault\)"),
    ("exit", r"ended with status 2"),
])
def test_parser_that_dies(daemon, parser, backend, how, why):
    """The reload fails, nothing else happens, and the log has the reason."""
    with daemon.connect() as client:
        echo(client)
        with parser.told(how):
            daemon.reload(config(service("other"), backend=backend),
                          rf"^cannot reload {daemon.path}: the process that tried the file first "
                          rf"{why}; keeping the old configuration$")
        assert not parser.readers("daemon")
        echo(client)
        daemon.reload(config(service("other"), backend=backend))
        assert daemon.lines("^other: listening on ")
        echo(client)


@pytest.mark.parametrize("role", ["child", "daemon"])
def test_nobody_waits_for_the_parser(daemon, parser, backend, role):
    with daemon.connect() as client:
        with parser.told(f"hold-{role}"):
            config_in(daemon.directory.name, config(service("other"), backend=backend))
            daemon.signal(signal.SIGHUP)
            getattr(parser, f"wait_for_{role}")()
            echo(client)
            with daemon.connect() as another:
                echo(another)
            assert not daemon.lines("^reloaded ")
        daemon.wait_for("^reloaded ")
        echo(client)


def test_signals_meanwhile_are_one_more_reload(daemon, parser, backend):
    """Reloads never run at the same time, and none is lost: the last one reads the final file."""
    with parser.told("hold-child"):
        daemon.signal(signal.SIGHUP)
        parser.wait_for_child()
        config_in(daemon.directory.name, config(service("last"), backend=backend))
        for _ in range(3):
            daemon.signal(signal.SIGHUP)
        with daemon.connect() as client:
            echo(client)  # the loop has handled the signals in between
        assert parser.times("child") == 1
    # Not two lines "reloaded": the second reload may replace the first one.
    until(lambda: parser.times("daemon") == 2, "one more reload")
    daemon.reload("services = 1;\n", "; keeping the old configuration$")
    assert parser.times("child") == 3
    with daemon.connect("last") as client:
        echo(client)


def test_stop_kills_the_child(daemon, parser):
    """A stop does not wait for the parser, and leaves no process behind."""
    with daemon.connect() as client:
        echo(client)
        with parser.told("hold-child"):
            daemon.signal(signal.SIGHUP)
            child = parser.wait_for_child()
            daemon.signal(signal.SIGTERM)
            until(lambda: not os.path.exists(f"/proc/{child}"), "the child's end")
            echo(client)
            client.shutdown(socket.SHUT_WR)
            assert recv_until_eof(client) == b""
            assert daemon.wait() == 0
    assert daemon.log[-1] == "stopped"
    assert not daemon.lines("reload")


def test_stop_while_the_daemon_reads(daemon, parser):
    """A configuration that is read during a stop is not put into force, and its mistakes are not logged."""
    with daemon.connect() as client:
        echo(client)
        with parser.told("hold-daemon"):
            config_in(daemon.directory.name, "services = 1;\n")
            daemon.signal(signal.SIGHUP)
            parser.wait_for_daemon()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("^stopping: ")
            echo(client)
    assert daemon.wait() == 0
    assert daemon.log[-1] == "stopped"
    assert not daemon.lines("reload|not legal")


def test_children_that_nobody_waits_for(parser):
    """The daemon inherited an ignored SIGCHLD."""
    wrapper = ["env", "--ignore-signal=CHLD"]
    with Daemon(config(), env=parser.env, wrapper=wrapper) as daemon:
        with parser.told("crash"):
            daemon.reload(config(), "died of signal 11 ")
        daemon.reload(config())


def test_told_when_it_begins(parser, tmp_path):
    """The service manager learns of the reload at the signal, not after the file has been read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)

        def wait_for(word):
            while word not in manager.recv(4096).decode():
                pass

        env = {**parser.env, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Daemon(config(), env=env) as daemon:
            wait_for("READY=1")
            parser.forget()
            with parser.told("hold-child"):
                daemon.signal(signal.SIGHUP)
                wait_for("RELOADING=1")
                parser.wait_for_child()
            wait_for("READY=1")
            assert daemon.lines("^reloaded ")
