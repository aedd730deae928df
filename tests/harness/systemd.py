# SPDX-License-Identifier: MIT
"""What systemd provides for a daemon: the notify socket, the journal, and passed sockets."""
import pathlib
import socket
import sys

from .daemon import Daemon
from .processes import own_mounts
from .waiting import DEADLINE


class Manager:
    """A service manager that receives the messages to NOTIFY_SOCKET (sd_notify(3))."""

    def __init__(self, directory, abstract=False):
        self.address = f"@{directory}/notify" if abstract else f"{directory}/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.address.replace("@", "\0"))
        self.sock.settimeout(DEADLINE)
        self.env = {"NOTIFY_SOCKET": self.address}

    def next(self, status_only=False):
        """The next message as a dictionary. A message with nothing but a status is skipped unless asked for.
        """
        while True:
            message = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())
            if status_only == (list(message) == ["STATUS"]):
                return message

    def wait_for_status(self, status):
        """Waits for a status. Several changes may share one message, but the last one always shows."""
        while self.next(status_only=True)["STATUS"] != status:
            pass

    def left(self):
        """All messages that have arrived."""
        self.sock.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            return messages


class Journal:
    """A socket in the place of the journal's. wrapper executes a daemon that finds it there."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory, "socket")
        self.open()
        self.wrapper = [*own_mounts(), "sh", "-c", """
            mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal &&
            mount --bind "$0" /run/systemd/journal &&
            JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) exec "$@" """, str(directory)]

    def open(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.sock.settimeout(DEADLINE)

    def close(self):
        """Removes the socket, as when the journal has stopped."""
        self.sock.close()
        self.path.unlink()

    def next(self):
        """The fields of the next record."""
        return dict(line.split("=", 1) for line in self.sock.recv(1 << 16).decode().splitlines())

    def wait_for(self, text):
        """The fields of the next record whose message contains the text."""
        while True:
            record = self.next()
            if text in record["MESSAGE"]:
                return record




# Plays systemd: moves the descriptors to 3 and up, and executes the daemon in the very
# process that LISTEN_PID names. They are first moved out of the way, so that none replaces another.
AS_SYSTEMD = """
import fcntl, os, sys
passed = [int(fd) for fd in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in passed]
for fd in passed:
    os.close(fd)
for place, fd in enumerate(high, 3):
    os.dup2(fd, place)
os.environ["LISTEN_FDS"] = str(len(high))
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activated(text, socks, names=None, env=None, **options):
    """A daemon that seems to be started by systemd and is passed these sockets."""
    fds = [sock.fileno() for sock in socks]
    env = {**(env or {}), **({} if names is None else {"LISTEN_FDNAMES": ":".join(names)})}
    return Daemon(text, wrapper=[sys.executable, "-c", AS_SYSTEMD, ",".join(map(str, fds))],
                  pass_fds=fds, env=env, **options)
