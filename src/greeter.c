/*
 * The greeter. It looks at what has come without taking it (MSG_PEEK), so that it can take exactly
 * the header. As long as that is not complete, all that has come belongs to it and is taken, or the
 * socket would stay readable for nothing.
 */
#include "greeter.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <sys/socket.h>

struct greeter {
        struct event readable;
        uint64_t deadline_usec;
        void (*on_done)(void *arg, int error, const struct proxy_header *header);
        void *arg;
        int fd;
        size_t n; /* taken so far */
        uint8_t data[PROXY_PARSE_MAX + 1];
};

/* Return: 0: it is complete; -EAGAIN; -errno. */
static int greeter_read(struct greeter *g, struct proxy_header *header)
{
        ssize_t n = recv(g->fd, g->data + g->n, sizeof(g->data) - g->n, MSG_PEEK);
        size_t mine;
        int r;

        if (n == 0)
                return -ENODATA;
        if (n < 0)
                return errno == EINTR ? -EAGAIN : -errno;
        r = proxy_parse(g->data, g->n + (size_t)n, header);
        if (r < 0 && r != -EAGAIN)
                return r;
        mine = r == 0 ? header->length - g->n : (size_t)n;
        n = recv(g->fd, g->data + g->n, mine, 0);
        if (n != (ssize_t)mine)
                return n < 0 ? -errno : -EIO;
        g->n += mine;
        return r;
}

static int greeter_wait(struct greeter *g)
{
        uint64_t now = loop_now_usec();
        const struct timeval left =
                loop_timeval(g->deadline_usec > now ? g->deadline_usec - now : 0);

        return event_add(&g->readable, &left) < 0 ? -ENOMEM : 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
        struct proxy_header header;
        struct greeter *g = arg;
        int r = greeter_read(g, &header); /* also when time is up: the loop may be late */

        (void)fd;
        (void)what; /* a timeout counts from the beginning of the turn that set it: too early */
        if (r == -EAGAIN) {
                r = loop_now_usec() < g->deadline_usec ? greeter_wait(g) : -ETIMEDOUT;
                if (r == 0)
                        return;
        }
        g->on_done(g->arg, r, &header);
}

int greeter_new(struct loop *loop, int fd,
                void (*on_done)(void *arg, int error, const struct proxy_header *header), void *arg,
                struct greeter **out)
{
        _cleanup_(freep) struct greeter *g = malloc(sizeof(*g));

        if (!g)
                return -ENOMEM;
        g->deadline_usec = loop_now_usec() + GREETER_TIMEOUT_USEC;
        g->on_done = on_done;
        g->arg = arg;
        g->fd = fd;
        g->n = 0;
        event_assign(&g->readable, loop_base(loop), fd, EV_READ, on_readable, g);
        if (greeter_wait(g) < 0)
                return -ENOMEM;
        *out = g;
        g = NULL;
        return 0;
}

struct greeter *greeter_free(struct greeter *g)
{
        if (g)
                (void)event_del(&g->readable);
        free(g);
        return NULL;
}
