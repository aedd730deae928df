/* SPDX-License-Identifier: MIT */
/*
 * The options of a service's sockets: how soon a vanished peer is noticed, and how much the kernel
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
        uint64_t send_buffer_bytes;    /* not under way yet; 0: the system's */
        bool urgent_inline;            /* urgent bytes are read in their place in the stream */
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
 * @fd:     a listening socket, one that has not been connected yet, or a connected one
 * @family: of the socket; of AF_UNIX only the last option is set, for the others are TCP's
 *
 * keepalive: the first of up to five probes is sent after the idle time, in whole seconds, rounded
 * up. The probes are evenly spread over as long again. So a peer that vanished while nothing was
 * under way is noticed within twice the idle time.
 *
 * user timeout: TCP_USER_TIMEOUT. It also replaces the number of probes: a vanished idle peer is
 * noticed at the first probe that is due after the user timeout (tcp(7)).
 *
 * send buffer: TCP_NOTSENT_LOWAT. It counts bytes that are not under way yet, so that it costs no
 * throughput, however long the path; SO_SNDBUF would count those under way too.
 *
 * urgent inline: SO_OOBINLINE. Without it the kernel drops an urgent byte that was not read when
 * the next one arrives, so it has to be set before a connection exists.
 *
 * Connections inherit all of this from the listening socket at the moment their handshake ends:
 * SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT,
 * TCP_NODELAY and SO_OOBINLINE (measured on Linux 6.18, IPv4 and IPv6). One that waits in the
 * backlog already does not change any more.
 *
 * Errors are ignored: the socket works without the options, if less well.
 */
void socket_options_set(const struct socket_options *options, int fd, int family);
