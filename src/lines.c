/*
 * The line client. Input is read only while little of it waits to be sent, output is printed as
 * it comes, so that neither direction holds up the other and a file of any size passes through.
 */
#include "lines.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

/* Reading of input pauses above this much unsent, and goes on below. */
#define UNSENT_BYTES (256 * 1024)

/* Of a line longer than this the beginning is printed before the end has come. */
#define LINE_BYTES (64 * 1024)

struct lines {
        struct event_base *base;
        struct bufferevent *server;
        struct event *input;
        bool input_ended;
        bool half_closed;
        bool in_line; /* whose end has not been printed */
        int status;
};

static void finish(struct lines *l, int status)
{
        l->status = status;
        (void)event_base_loopbreak(l->base);
}

static size_t unsent(const struct lines *l)
{
        return evbuffer_get_length(bufferevent_get_output(l->server));
}

static void half_close_when_sent(struct lines *l)
{
        if (!l->input_ended || l->half_closed || unsent(l) > 0)
                return;
        l->half_closed = true;
        /* When the peer is gone already, reading says so. */
        (void)shutdown(bufferevent_getfd(l->server), SHUT_WR);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
        static char buffer[LINE_BYTES];
        struct lines *l = arg;
        ssize_t n = read(fd, buffer, sizeof(buffer));

        (void)what;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                (void)fprintf(stderr, "selectc: cannot read input: %s\n", strerrordesc_np(errno));
                l->status = EXIT_FAILURE;
        }
        if (n <= 0) {
                (void)event_del(l->input);
                l->input_ended = true;
                half_close_when_sent(l);
                return;
        }
        if (bufferevent_write(l->server, buffer, (size_t)n) < 0)
                finish(l, EX_OSERR);
        else if (unsent(l) > UNSENT_BYTES)
                (void)event_del(l->input);
}

static void on_sent(struct bufferevent *server, void *arg)
{
        struct lines *l = arg;

        (void)server;
        if (!l->input_ended && !event_pending(l->input, EV_READ, NULL))
                (void)event_add(l->input, NULL);
        half_close_when_sent(l);
}

bool lines_flush(void)
{
        if (fflush(stdout) == 0)
                return true;
        (void)fprintf(stderr, "selectc: cannot write output: %s\n", strerrordesc_np(errno));
        return false;
}

static void print(struct lines *l, const char *text, size_t n, bool ends)
{
        if (!l->in_line)
                (void)fputs("RECEIVE: ", stdout);
        (void)fwrite(text, 1, n, stdout);
        if (ends)
                (void)fputc('\n', stdout);
        l->in_line = !ends;
}

/* Prints all whole lines; with @all, or when too long to wait for its end, the rest too. */
static void print_received(struct lines *l, bool all)
{
        struct evbuffer *received = bufferevent_get_input(l->server);
        char *line, rest[LINE_BYTES];
        size_t n;

        while ((line = evbuffer_readln(received, &n, EVBUFFER_EOL_LF))) {
                print(l, line, n, true);
                free(line);
        }
        while ((n = evbuffer_get_length(received)) > 0 && (all || n >= sizeof(rest)))
                print(l, rest, (size_t)evbuffer_remove(received, rest, sizeof(rest)), false);
        if (all && l->in_line)
                print(l, "", 0, true);
        if (!lines_flush())
                finish(l, EXIT_FAILURE);
}

static void on_received(struct bufferevent *server, void *arg)
{
        (void)server;
        print_received(arg, false);
}

static void on_event(struct bufferevent *server, short what, void *arg)
{
        struct lines *l = arg;

        (void)server;
        print_received(l, true);
        if ((what & BEV_EVENT_EOF) && l->half_closed) {
                finish(l, l->status);
                return;
        }
        (void)fputs(SERVER_DOWN "\n", stderr);
        finish(l, EXIT_FAILURE);
}

int lines_run(struct event_base *base, int fd)
{
        struct lines l = { .base = base, .status = EXIT_SUCCESS };

        l.server = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        l.input = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &l);
        if (l.server && l.input && event_add(l.input, NULL) == 0) {
                bufferevent_setcb(l.server, on_received, on_sent, on_event, &l);
                bufferevent_enable(l.server, EV_READ | EV_WRITE);
                (void)event_base_dispatch(base);
        } else {
                l.status = EX_OSERR;
        }
        if (l.input)
                event_free(l.input);
        if (l.server)
                bufferevent_free(l.server);
        else
                (void)close(fd);
        return l.status;
}
