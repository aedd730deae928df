/* SPDX-License-Identifier: MIT */
/*
 * A model of the article's server: one select(2) loop, a backlog of 10, messages of at most 1,024
 * bytes in a queue for each client, and a pause before each send, in which nobody is served. The
 * original runs sleep(1) for the pause; here it is a sleep of the process's own.
 *
 *     bench-article [PAUSE_SECONDS]
 *
 * Prints its port and serves until it is killed.
 */
#include "serve.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/select.h>
#include <unistd.h>

#define MESSAGE_BYTES 1024
#define BACKLOG       10

struct message {
        STAILQ_ENTRY(message) entry;
        ssize_t n;
        uint8_t data[MESSAGE_BYTES];
};

static struct client {
        STAILQ_HEAD(, message) messages;
} clients[FD_SETSIZE];

static fd_set inputs, outputs;
static int n_fds;
static unsigned pause_seconds;

static void client_free(int fd)
{
        struct message *message;

        while ((message = STAILQ_FIRST(&clients[fd].messages))) {
                STAILQ_REMOVE_HEAD(&clients[fd].messages, entry);
                free(message);
        }
        FD_CLR(fd, &inputs);
        FD_CLR(fd, &outputs);
        (void)close(fd);
}

static void on_accept(int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return;
        if (fd >= FD_SETSIZE) {
                (void)close(fd);
                return;
        }
        STAILQ_INIT(&clients[fd].messages);
        FD_SET(fd, &inputs);
        n_fds = fd >= n_fds ? fd + 1 : n_fds;
}

static void on_readable(int fd)
{
        struct message *message = malloc(sizeof(*message));

        if (!message)
                fail("malloc");
        message->n = recv(fd, message->data, sizeof(message->data), 0);
        if (message->n <= 0) {
                free(message);
                client_free(fd);
                return;
        }
        STAILQ_INSERT_TAIL(&clients[fd].messages, message, entry);
        FD_SET(fd, &outputs);
}

static void on_writable(int fd)
{
        struct message *message = STAILQ_FIRST(&clients[fd].messages);

        if (!message) {
                FD_CLR(fd, &outputs);
                return;
        }
        STAILQ_REMOVE_HEAD(&clients[fd].messages, entry);
        if (pause_seconds)
                (void)sleep(pause_seconds);
        (void)!send(fd, message->data, (size_t)message->n, MSG_NOSIGNAL);
        free(message);
}

int main(int argc, char **argv)
{
        int listener = listen_somewhere(SOCK_NONBLOCK, BACKLOG);

        pause_seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
        FD_SET(listener, &inputs);
        n_fds = listener + 1;
        for (;;) {
                fd_set readable = inputs, writable = outputs;

                if (select(n_fds, &readable, &writable, NULL, NULL) < 0 && errno != EINTR)
                        fail("select");
                for (int fd = 0; fd < n_fds; fd++)
                        if (FD_ISSET(fd, &readable)) {
                                if (fd == listener)
                                        on_accept(listener);
                                else
                                        on_readable(fd);
                        }
                for (int fd = 0; fd < n_fds; fd++)
                        if (FD_ISSET(fd, &writable) && FD_ISSET(fd, &outputs))
                                on_writable(fd);
        }
}
