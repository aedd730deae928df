/* SPDX-License-Identifier: MIT */
/*
 * Socket options of a service: how soon a vanished peer is noticed, and how much data the kernel
 * may hold. They apply to clients and upstreams alike.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Plain data. */
struct socket_options {
        uint64_t keepalive_usec;       /* idle time before the first probe; 0: no probes */
        uint64_t user_timeout_usec;    /* 0: the system's, see tcp_retries2 in tcp(7) */
        uint64_t receive_buffer_bytes; /* 0: the system's; not set here, see window.h */
        uint64_t send_buffer_bytes;    /* bytes that have not been sent; 0: the system's */
        bool urgent_inline;            /* urgent bytes are read at their place in the stream */
};

bool socket_options_equal(const struct socket_options *a, const struct socket_options *b);

/*
 * The longest keepalive and user timeout that Linux takes: a 15-bit number of seconds, and a
 * positive int of milliseconds.
 */
#define SOCKET_KEEPALIVE_MAX_USEC    (32767 * (uint64_t)1000000)
#define SOCKET_USER_TIMEOUT_MAX_USEC (INT32_MAX * (uint64_t)1000)

/**
 * socket_options_set() - set the options, and TCP_NODELAY, on a TCP socket
 * @fd:     the socket: listening, connected, or neither yet
 * @family: its address family; AF_UNIX sockets only get SO_OOBINLINE
 *
 * keepalive: the first of up to five probes is sent after the idle time, rounded up to whole
 * seconds. The probes are spread evenly over another idle time. So a peer that vanishes from an
 * idle connection is noticed within twice the idle time.
 *
 * user timeout: TCP_USER_TIMEOUT. It also replaces the number of probes: a peer that vanishes from
 * an idle connection is noticed at the first probe that is due after the user timeout (tcp(7)).
 *
 * send buffer: TCP_NOTSENT_LOWAT. It counts only bytes that have not been sent, so that it does not
 * limit the throughput of a long path. SO_SNDBUF would also count bytes in flight.
 *
 * urgent inline: SO_OOBINLINE. Without it, the kernel drops an urgent byte that is still unread
 * when the next one arrives. So it has to be set before the connection exists.
 *
 * Connections inherit all of this from the listening socket at the end of their handshake:
 * SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT,
 * TCP_NODELAY and SO_OOBINLINE (measured on Linux 6.18, IPv4 and IPv6). A change no longer reaches
 * connections in the backlog.
 *
 * Errors are ignored: the socket works without the options, only less well.
 */
void socket_options_set(const struct socket_options *options, int fd, int family);

/*
 * Sets only the options that a new socket needs before it connects: SO_OOBINLINE, TCP_NODELAY and
 * TCP_USER_TIMEOUT. Options that equal the system's default take no system call.
 */
void socket_options_prepare(const struct socket_options *options, int fd, int family);

/*
 * Sets the other options of a prepared socket. They matter only after the socket has been idle for
 * a while or has sent much. On a unix socket they have no effect.
 */
void socket_options_complete(const struct socket_options *options, int fd);
