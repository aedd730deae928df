/* SPDX-License-Identifier: MIT */
/*
 * The receive window of one TCP socket: it grows with what the socket has received, up to a bound.
 *
 * Left alone, Linux sizes the buffer by the bytes read in a round trip, and far beyond what a relay
 * needs whose other side has stopped reading: to 4.7 MB for a client that never reads, and to
 * tcp_rmem's 6 to 32 MB for one that stops after a while (measured). SO_RCVBUF fixes the buffer,
 * also for those that need little, and is capped at net.core.rmem_max, 208 KiB on Debian.
 * TCP_WINDOW_CLAMP is overridden by the next adaptation.
 *
 * Thread: the loop's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Embedded in its owner; all members are the window's own. */
struct window {
        uint64_t max_bytes;  /* 0: the system sizes it */
        uint64_t next_bytes; /* received by when it grows next; UINT64_MAX: it does not grow */
};

/* What Linux gives a new socket, unless tcp_rmem says otherwise. */
#define WINDOW_MIN_BYTES ((uint64_t)64 * 1024)

/*
 * @max_bytes: how many bytes may have arrived and not been read; less than WINDOW_MIN_BYTES count
 * as so many; 0: as many as the system allows
 */
void window_init(struct window *window, uint64_t max_bytes);

/*
 * Stops the system from sizing the buffer of the socket @fd, if there is a bound. The buffer keeps
 * its present size until it grows. One of a fixed size, by SO_RCVBUF, never grows.
 *
 * Call it only after the handshake: a buffer that is locked then limits the window for good,
 * through the window scale (measured: to 128 KiB). That is why the lock is not inherited from the
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
 * window_update() - let the window grow with what was received
 * @fd:             the socket
 * @received_bytes: so far
 *
 * The window is a quarter to a half of what was received: a sender that fills it doubles it in four
 * round trips at most. Linux takes up to twice as much memory for it. Costs a comparison, but for
 * the few times that it grows. Where the system cannot lock a buffer (SO_BUF_LOCK, Linux 5.14) it
 * goes on sizing the buffer itself.
 */
static inline void window_update(struct window *window, int fd, uint64_t received_bytes)
{
        if (received_bytes >= window->next_bytes)
                window_grow(window, fd, received_bytes);
}
