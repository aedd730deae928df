/* SPDX-License-Identifier: MIT */
/*
 * The receive window of a TCP socket. It grows with the bytes that the socket has received, up to a
 * bound.
 *
 * Linux itself sizes the buffer by the bytes read in a round trip. If the other side of a relay
 * stops reading, that is far more than necessary: 4.7 MB for a client that never reads, and up to
 * the 6 to 32 MB of tcp_rmem for one that stops after a while (measured). SO_RCVBUF would give
 * every socket the full size at once, and is capped at net.core.rmem_max, 208 KiB on Debian.
 * TCP_WINDOW_CLAMP does not last: the next adaptation overrides it.
 *
 * Thread: the loop's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Embedded in its owner. The members are private. */
struct window {
        uint64_t max_bytes;  /* 0: the system sizes the window */
        uint64_t next_bytes; /* it grows when so many bytes were received; UINT64_MAX: never */
};

/* The window of a new socket in Linux, with the default tcp_rmem. */
#define WINDOW_MIN_BYTES ((uint64_t)64 * 1024)

/*
 * @max_bytes: the most unread bytes; less than WINDOW_MIN_BYTES counts as WINDOW_MIN_BYTES; 0: as
 *             many as the system allows
 */
void window_init(struct window *window, uint64_t max_bytes);

/*
 * Stops the system from sizing the buffer of the socket @fd, if there is a bound. The buffer keeps
 * its present size until window_update() makes it grow. A buffer with a fixed size (SO_RCVBUF)
 * never grows.
 *
 * Only after the handshake: a buffer that is locked during the handshake limits the window forever,
 * through the window scale (measured: to 128 KiB). So the lock must not be inherited from the
 * listening socket.
 */
void window_lock(struct window *window, int fd);

/* Whether there is a bound. */
static inline bool window_is_bounded(const struct window *window)
{
        return window->max_bytes > 0;
}

/*
 * The system enlarges a buffer when more is read in a round trip than 10 segments hold
 * (tcp_rcv_space_adjust() in Linux). So window_lock() may wait until this many bytes have been
 * read, if one read takes no more.
 */
#define WINDOW_UNLOCKED_BYTES 4096

/* Changes the socket's buffer. Only for window_update(). */
void window_grow(struct window *window, int fd, uint64_t received_bytes);

/**
 * window_update() - let the window grow with the received bytes
 * @fd:             the socket
 * @received_bytes: all bytes received so far
 *
 * The window is a quarter to a half of the received bytes, so that a sender that fills it doubles
 * it in at most four round trips. Linux takes up to twice as much memory for it. The call costs one
 * comparison, except when the window grows. If the system cannot lock a buffer (SO_BUF_LOCK, Linux
 * 5.14), it keeps sizing the buffer itself.
 */
static inline void window_update(struct window *window, int fd, uint64_t received_bytes)
{
        if (received_bytes >= window->next_bytes)
                window_grow(window, fd, received_bytes);
}
