/* SPDX-License-Identifier: MIT */
#include "window.h"

#include <limits.h>
#include <sys/socket.h>

/* SO_BUF_LOCK's bit for the receive buffer, SOCK_RCVBUF_LOCK of the kernel's net/sock.h. */
#define RECEIVE_LOCK 2U

static bool set_option(int fd, int option, uint64_t value)
{
        const int number = (int)value;

        return setsockopt(fd, SOL_SOCKET, option, &number, sizeof(number)) == 0;
}

/* Return: the buffers with a fixed size, as bits of SO_BUF_LOCK; all bits if Linux cannot tell. */
static unsigned get_locks(int fd)
{
        unsigned locks = 0;
        socklen_t length = sizeof(locks);

        return getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &length) == 0 ? locks : UINT_MAX;
}

void window_init(struct window *window, uint64_t max_bytes)
{
        *window = (struct window){ .max_bytes = max_bytes, .next_bytes = UINT64_MAX };
}

void window_lock(struct window *window, int fd)
{
        unsigned locks = window->max_bytes ? get_locks(fd) : RECEIVE_LOCK;

        if (locks & RECEIVE_LOCK)
                return;
        if (set_option(fd, SO_BUF_LOCK, locks | RECEIVE_LOCK) &&
            window->max_bytes > WINDOW_MIN_BYTES)
                window->next_bytes = 4 * WINDOW_MIN_BYTES;
}

/*
 * SO_RCVLOWAT enlarges a buffer that is not locked until it holds that many bytes, up to half of
 * tcp_rmem's maximum (tcp_set_rcvlowat() in Linux, since 4.18). SO_RCVBUF would stop at rmem_max.
 */
static void enlarge(int fd, uint64_t bytes)
{
        unsigned locks = get_locks(fd);

        (void)set_option(fd, SO_BUF_LOCK, locks & ~RECEIVE_LOCK);
        (void)set_option(fd, SO_RCVLOWAT, bytes);
        (void)set_option(fd, SO_RCVLOWAT, 1);
        (void)set_option(fd, SO_BUF_LOCK, locks | RECEIVE_LOCK);
}

void window_grow(struct window *window, int fd, uint64_t received_bytes)
{
        uint64_t bytes = WINDOW_MIN_BYTES;

        while (bytes * 4 <= received_bytes && bytes < window->max_bytes)
                bytes *= 2;
        window->next_bytes = bytes * 4;
        if (bytes >= window->max_bytes) {
                bytes = window->max_bytes;
                window->next_bytes = UINT64_MAX;
        }
        enlarge(fd, bytes);
}
