/* SPDX-License-Identifier: MIT */
/*
 * The article's second alternative: an echo server that polls every non-blocking socket in turn,
 * and never waits. Bytes that a socket does not take are dropped; the load never has so many in
 * flight. Prints its port, and serves until it is killed.
 */
#include "serve.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#define BUFFER_BYTES (64 * 1024)
#define CLIENTS_MAX  32768

static int clients[CLIENTS_MAX];
static uint8_t buffer[BUFFER_BYTES];

/* Return: whether the client stays. */
static int serve(int fd)
{
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        return n > 0 && send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n;
}

int main(void)
{
        int listener = listen_somewhere(SOCK_NONBLOCK, SOMAXCONN), fd;
        size_t n = 0;

        for (;;) {
                fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0 && n < CLIENTS_MAX)
                        clients[n++] = fd;
                for (size_t i = 0; i < n;)
                        if (serve(clients[i])) {
                                i++;
                        } else {
                                (void)close(clients[i]);
                                clients[i] = clients[--n];
                        }
        }
}
