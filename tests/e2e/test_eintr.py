# SPDX-License-Identifier: MIT
"""EINTR is never an error. A preloaded library makes every second system call fail with it.

Nobody may notice that: no client of an echo, a relay, a hub or a service with PROXY headers, no reload,
and no reader of the log.
"""
import socket

from harness import (Daemon, config, echo, free_port, pattern, preloaded, recv_exactly,
                     recv_until_eof, sending, service)

SHIM = r"""
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Calls of one function by one thread fail in turns, so that a call that is tried again succeeds. */
#define INTERRUPTED(type, name, parameters, ...)                               \
        type name parameters                                                   \
        {                                                                      \
                static __thread unsigned calls;                                \
                static type (*real) parameters;                                \
                                                                               \
                if (!real)                                                     \
                        real = (type (*) parameters)dlsym(RTLD_NEXT, #name);   \
                if (calls++ % 2 == 0) {                                        \
                        errno = EINTR;                                         \
                        return -1;                                             \
                }                                                              \
                return real(__VA_ARGS__);                                      \
        }

INTERRUPTED(ssize_t, recv, (int fd, void *data, size_t n, int flags), fd, data, n, flags)
INTERRUPTED(ssize_t, send, (int fd, const void *data, size_t n, int flags), fd, data, n, flags)
INTERRUPTED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), fd, message, flags)
INTERRUPTED(ssize_t, writev, (int fd, const struct iovec *parts, int n), fd, parts, n)
INTERRUPTED(ssize_t, read, (int fd, void *data, size_t n), fd, data, n)
INTERRUPTED(ssize_t, write, (int fd, const void *data, size_t n), fd, data, n)
INTERRUPTED(ssize_t, splice, (int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags),
            in, from, out, to, n, flags)
INTERRUPTED(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
            fd, address, length, flags)
INTERRUPTED(int, connect, (int fd, const struct sockaddr *address, socklen_t length),
            fd, address, length)
INTERRUPTED(int, epoll_wait, (int fd, struct epoll_event *events, int n, int timeout),
            fd, events, n, timeout)
INTERRUPTED(int, poll, (struct pollfd *fds, nfds_t n, int timeout), fds, n, timeout)
INTERRUPTED(pid_t, waitpid, (pid_t pid, int *status, int options), pid, status, options)
"""


def test_eintr(backend, tmp_path):
    data = pattern(4 << 20)
    port = free_port()
    text = config(service("echo", listen=f"127.0.0.1:{port}"),
                  service("relay", mode="relay", upstream=f"127.0.0.1:{port}"),
                  service("local", listen=f"unix:{tmp_path}/echo"),
                  service("name", mode="relay", upstream=f"localhost:{port}"),
                  service("shy", proxy_protocol="accept", proxy_from="127.0.0.1"),
                  service("hub", mode="hub", quota="1G"), backend=backend)
    with Daemon(text, env=preloaded(tmp_path, SHIM)) as daemon:
        for name in ("echo", "relay", "local", "name"):
            with daemon.connect(name) as client:
                echo(client)
                with sending(client, data):
                    assert recv_exactly(client, len(data)) == data
                client.shutdown(socket.SHUT_WR)
                assert recv_until_eof(client) == b""
        with daemon.connect("shy") as client:
            client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 ")
            client.sendall(b"1 2\r\nhello")
            assert recv_exactly(client, 5) == b"hello"
        with daemon.connect("hub") as one, daemon.connect("hub") as other:
            daemon.wait_for("^hub: .* connected$", 2)
            with sending(one, data):
                assert recv_exactly(other, len(data)) == data
        daemon.reload(text)
        daemon.wait_for(" closed: end of stream, ", 9)
        assert not daemon.lines("lost|Interrupted")
