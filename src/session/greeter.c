/* SPDX-License-Identifier: MIT */
/*
 * The greeter first looks at received bytes with MSG_PEEK, so that it can take exactly the header.
 * While the header is incomplete, all bytes belong to it. They are taken, because the socket would
 * otherwise stay readable.
 */
#include "greeter.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <sys/socket.h>

struct greeter {
        struct event readable;
        struct timer deadline;
        void (*on_done)(void *arg, int error, const struct proxy_header *header);
        void *arg;
        int fd;
        size_t n; /* bytes taken so far */
        uint8_t data[PROXY_PARSE_MAX + 1];
};

/* Receives without blocking. Return: how many bytes; -errno, but never -EINTR. */
static ssize_t receive(int fd, uint8_t *data, size_t n, int flags)
{
        ssize_t got = TEMP_FAILURE_RETRY(recv(fd, data, n, flags));

        return got < 0 ? -errno : got;
}

/* Return: 0: the header is complete; -EAGAIN: it is not; -errno. */
static int greeter_read(struct greeter *g, struct proxy_header *header)
{
        ssize_t n = receive(g->fd, g->data + g->n, sizeof(g->data) - g->n, MSG_PEEK);
        size_t mine;
        int r;

        if (n <= 0)
                return n < 0 ? (int)n : -ENODATA;
        r = proxy_parse(g->data, g->n + (size_t)n, header);
        if (r < 0 && r != -EAGAIN)
                return r;
        mine = r == 0 ? header->length - g->n : (size_t)n;
        n = receive(g->fd, g->data + g->n, mine, 0);
        if (n != (ssize_t)mine)
                return n < 0 ? (int)n : -EIO;
        g->n += mine;
        return r;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
        struct proxy_header header;
        struct greeter *g = arg;
        int r = greeter_read(g, &header);

        (void)fd;
        (void)what;
        if (r != -EAGAIN)
                g->on_done(g->arg, r, &header);
}

/* The loop may be late, so bytes that have arrived by now count. */
static void on_deadline(struct timer *timer)
{
        struct greeter *g = container_of(timer, struct greeter, deadline);
        struct proxy_header header;
        int r = greeter_read(g, &header);

        g->on_done(g->arg, r == -EAGAIN ? -ETIMEDOUT : r, &header);
}

int greeter_new(struct loop *loop, int fd,
                void (*on_done)(void *arg, int error, const struct proxy_header *header), void *arg,
                struct greeter **out)
{
        _cleanup_(freep) struct greeter *g = malloc(sizeof(*g));

        if (!g)
                return -ENOMEM;
        g->on_done = on_done;
        g->arg = arg;
        g->fd = fd;
        g->n = 0;
        event_assign(&g->readable, loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, g);
        timer_init(&g->deadline, loop_timers(loop), on_deadline);
        if (timer_set(&g->deadline, now_usec() + GREETER_TIMEOUT_USEC) < 0)
                return -ENOMEM;
        if (event_add(&g->readable, NULL) < 0) {
                timer_stop(&g->deadline);
                return -ENOMEM;
        }
        *out = g;
        g = NULL;
        return 0;
}

struct greeter *greeter_free(struct greeter *g)
{
        if (!g)
                return NULL;
        timer_stop(&g->deadline);
        (void)event_del(&g->readable);
        free(g);
        return NULL;
}
