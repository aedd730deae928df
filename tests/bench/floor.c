/* SPDX-License-Identifier: MIT */
/*
 * The floor: the simplest echo server on epoll, to compare selectd with.
 *
 * It is level-triggered and has one buffer for all clients. Bytes are written as soon as they are
 * read. If the socket does not take all of them, the rest is kept, and the client is not read until
 * the rest has been written. There is no configuration, log, limit or timeout. Prints its port, and
 * serves until it is killed.
 */
#include "serve.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BUFFER_BYTES (64 * 1024)
#define EVENTS_MAX   256

struct client {
        int fd;
        uint8_t *rest; /* bytes that were read but not written; NULL: none */
        size_t start, end;
};

static int epoll;
static uint8_t buffer[BUFFER_BYTES];

static void client_free(struct client *c)
{
        (void)close(c->fd);
        free(c->rest);
        free(c);
}

static int client_wait_for(struct client *c, uint32_t events, int operation)
{
        struct epoll_event event = { .events = events, .data.ptr = c };

        return epoll_ctl(epoll, operation, c->fd, &event);
}

/* Return: how many of @n bytes the socket took; -1: it failed. */
static ssize_t client_write(const struct client *c, const uint8_t *data, size_t n)
{
        ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);

        return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* Return: 0; -1: the client must be closed. */
static int client_keep(struct client *c, const uint8_t *data, size_t n)
{
        c->rest = malloc(n);
        if (!c->rest)
                return -1;
        memcpy(c->rest, data, n);
        c->start = 0;
        c->end = n;
        return client_wait_for(c, EPOLLOUT, EPOLL_CTL_MOD);
}

static int client_on_writable(struct client *c)
{
        ssize_t sent = client_write(c, c->rest + c->start, c->end - c->start);

        if (sent < 0)
                return -1;
        c->start += (size_t)sent;
        if (c->start < c->end)
                return 0;
        free(c->rest);
        c->rest = NULL;
        return client_wait_for(c, EPOLLIN, EPOLL_CTL_MOD);
}

static int client_on_readable(struct client *c)
{
        ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0), sent;

        if (n <= 0)
                return n < 0 && errno == EAGAIN ? 0 : -1;
        sent = client_write(c, buffer, (size_t)n);
        if (sent == n)
                return 0;
        return sent < 0 ? -1 : client_keep(c, buffer + sent, (size_t)(n - sent));
}

static void on_accept(int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct client *c;

        if (fd < 0)
                return;
        c = calloc(1, sizeof(*c));
        if (!c)
                fail("calloc");
        c->fd = fd;
        if (client_wait_for(c, EPOLLIN, EPOLL_CTL_ADD) < 0)
                client_free(c);
}

int main(void)
{
        struct epoll_event events[EVENTS_MAX], accepting = { .events = EPOLLIN };
        int listener = listen_somewhere(SOCK_NONBLOCK, SOMAXCONN), n;

        epoll = epoll_create1(EPOLL_CLOEXEC);
        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting) < 0)
                fail("epoll");
        while ((n = epoll_wait(epoll, events, EVENTS_MAX, -1)) >= 0 || errno == EINTR)
                for (int i = 0; i < n; i++) {
                        struct client *c = events[i].data.ptr;

                        if (!c)
                                on_accept(listener);
                        else if ((c->rest ? client_on_writable(c) : client_on_readable(c)) < 0)
                                client_free(c);
                }
        fail("epoll_wait");
}
