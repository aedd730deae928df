/* SPDX-License-Identifier: MIT */
/*
 * The article's first alternative: an echo server with a thread for each connection, which blocks
 * in recv(2) and send(2). Prints its port, and serves until it is killed.
 */
#include "serve.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#define BUFFER_BYTES 4096
#define STACK_BYTES  (PTHREAD_STACK_MIN + 2 * BUFFER_BYTES)

/* Return: whether the socket took all of it. */
static int send_all(int fd, const uint8_t *data, size_t n)
{
        while (n > 0) {
                ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent < 0)
                        return 0;
                data += sent;
                n -= (size_t)sent;
        }
        return 1;
}

static void *serve(void *arg)
{
        int fd = (int)(intptr_t)arg;
        uint8_t buffer[BUFFER_BYTES];
        ssize_t n;

        do
                n = recv(fd, buffer, sizeof(buffer), 0);
        while ((n < 0 && errno == EINTR) || (n > 0 && send_all(fd, buffer, (size_t)n)));
        (void)close(fd);
        return NULL;
}

int main(void)
{
        int listener = listen_somewhere(0, SOMAXCONN), fd;
        pthread_attr_t attributes;
        pthread_t thread;

        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&attributes, (size_t)STACK_BYTES);
        while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR) {
                if (fd < 0)
                        continue;
                /* NOLINTNEXTLINE(performance-no-int-to-ptr): a descriptor, not a pointer */
                errno = pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd);
                if (errno)
                        fail("pthread_create");
        }
        fail("accept");
}
