/*
 * Round trips. A stream keeps order, so the next @size bytes that come are the oldest message under
 * way; the times at which messages left wait in an evbuffer, oldest first.
 */
#include "ping.h"
#include "lines.h"
#include "loop.h"
#include "util.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* While this much waits to be sent, the server is not keeping up: no more is added. */
#define UNSENT_BYTES (1024 * 1024)

/* What is read and not asked for waits in the socket beyond this. */
#define UNREAD_BYTES (1024 * 1024)

struct ping {
        const struct ping_options *options;
        struct event_base *base;
        struct bufferevent *server;
        struct event *timer, *interrupt;
        struct evbuffer *departures;
        uint64_t began_nsec;
        uint64_t sent, received, intact;
        double min, max, sum, sum_of_squares; /* ms */
        bool failed;
};

static uint64_t now_nsec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What message @number consists of: its number, and bytes that follow from it. */
static void fill(uint8_t *message, size_t size, uint64_t number)
{
        for (size_t i = 0; i < size; i++)
                message[i] = (uint8_t)(i < sizeof(number) ? number >> (8 * i) : number + i);
}

static void fail(struct ping *p)
{
        p->failed = true;
        (void)event_base_loopbreak(p->base);
}

static void send_one(struct ping *p)
{
        uint8_t message[PING_SIZE_MAX];
        uint64_t now = now_nsec();

        if (evbuffer_get_length(bufferevent_get_output(p->server)) > UNSENT_BYTES)
                return;
        fill(message, p->options->size, p->sent + 1);
        if (evbuffer_add(p->departures, &now, sizeof(now)) < 0 ||
            bufferevent_write(p->server, message, p->options->size) < 0) {
                fail(p);
                return;
        }
        if (++p->sent == p->options->count)
                (void)event_del(p->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        send_one(arg);
}

static void account(struct ping *p, double ms)
{
        p->min = p->intact == 0 || ms < p->min ? ms : p->min;
        p->max = ms > p->max ? ms : p->max;
        p->sum += ms;
        p->sum_of_squares += ms * ms;
        p->intact++;
}

static void receive_one(struct ping *p, struct evbuffer *input)
{
        uint8_t message[PING_SIZE_MAX], expected[PING_SIZE_MAX];
        size_t size = p->options->size;
        uint64_t departed;
        double ms;

        (void)evbuffer_remove(input, message, size);
        (void)evbuffer_remove(p->departures, &departed, sizeof(departed));
        ms = (double)(now_nsec() - departed) / 1e6;
        fill(expected, size, ++p->received);
        if (memcmp(message, expected, size) == 0) {
                (void)printf("%zu bytes from %s: seq=%" PRIu64 " time=%.3f ms\n", size,
                             p->options->name, p->received, ms);
                account(p, ms);
        } else {
                (void)printf("%zu bytes from %s: seq=%" PRIu64 " other bytes than were sent\n",
                             size, p->options->name, p->received);
        }
}

static void on_received(struct bufferevent *server, void *arg)
{
        struct evbuffer *input = bufferevent_get_input(server);
        struct ping *p = arg;

        while (evbuffer_get_length(input) >= p->options->size && p->received < p->sent)
                receive_one(p, input);
        if (!lines_flush())
                fail(p);
        else if (p->received == p->options->count)
                (void)event_base_loopbreak(p->base);
}

static void on_event(struct bufferevent *server, short what, void *arg)
{
        (void)server;
        (void)what;
        (void)fputs(SERVER_DOWN "\n", stderr);
        fail(arg);
}

static void on_interrupt(evutil_socket_t fd, short what, void *arg)
{
        struct ping *p = arg;

        (void)fd;
        (void)what;
        (void)event_base_loopbreak(p->base);
}

static void print_statistics(const struct ping *p)
{
        double lost = p->sent ? 100 * (double)(p->sent - p->intact) / (double)p->sent : 0;

        (void)printf("\n--- %s ping statistics ---\n"
                     "%" PRIu64 " messages sent, %" PRIu64 " received, %.4g%% lost, time %" PRIu64
                     " ms\n",
                     p->options->name, p->sent, p->intact, lost,
                     (now_nsec() - p->began_nsec) / 1000000);
        if (p->intact) {
                double n = (double)p->intact, average = p->sum / n;
                double variance = p->sum_of_squares / n - average * average;

                (void)printf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", p->min, average,
                             p->max, sqrt(variance > 0 ? variance : 0));
        }
        (void)fflush(stdout);
}

static int start(struct ping *p, int fd)
{
        const struct timeval interval = loop_timeval(p->options->interval_usec);

        p->departures = evbuffer_new();
        p->timer = event_new(p->base, -1, EV_PERSIST, on_timer, p);
        p->interrupt = evsignal_new(p->base, SIGINT, on_interrupt, p);
        p->server = bufferevent_socket_new(p->base, fd, 0);
        if (!p->departures || !p->timer || !p->interrupt || !p->server ||
            event_add(p->timer, &interval) < 0 || event_add(p->interrupt, NULL) < 0)
                return -ENOMEM;
        bufferevent_setcb(p->server, on_received, NULL, on_event, p);
        bufferevent_setwatermark(p->server, EV_READ, 0, UNREAD_BYTES);
        bufferevent_enable(p->server, EV_READ | EV_WRITE);
        (void)printf("PING %s %" PRIu64 " bytes of data.\n", p->options->name, p->options->size);
        send_one(p);
        return 0;
}

int ping_run(struct event_base *base, int fd, const struct ping_options *options)
{
        struct ping p = { .options = options, .base = base, .began_nsec = now_nsec() };
        int status = EX_OSERR;

        if (start(&p, fd) == 0) {
                (void)event_base_dispatch(base);
                print_statistics(&p);
                status = !p.failed && p.intact == p.sent ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (p.server)
                bufferevent_free(p.server);
        if (p.interrupt)
                event_free(p.interrupt);
        if (p.timer)
                event_free(p.timer);
        if (p.departures)
                evbuffer_free(p.departures);
        (void)close(fd);
        return status;
}
