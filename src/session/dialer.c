/* SPDX-License-Identifier: MIT */
/*
 * A dialer waits for one thing at a time: for a socket to connect, for an answer of the resolver,
 * or for a moment, at which @on_next is called.
 */
#include "dialer.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <string.h>

/* The pause before another attempt at a unix socket with a full backlog. TCP retries by itself. */
#define FULL_RETRY_USEC (10 * USEC_PER_MSEC)

struct dialer {
        struct dialers *dialers;
        struct service *service;
        struct service_config *config; /* a reference */
        const struct dialer_events *events;
        void *arg;
        struct waiter waiter;
        struct timer next;
        void (*on_next)(struct dialer *d);
        struct event connected;          /* @fd is connected, or has failed */
        struct query *query;             /* for @upstream; NULL: it has no name */
        size_t next_address;             /* the index of the next address of @query */
        size_t next_upstream;            /* the index of the upstream after @upstream */
        const struct upstream *upstream; /* the one that is tried, or was tried last */
        struct address address;          /* the one that is tried */
        uint64_t tried_usec;             /* when the attempt at @address began */
        uint64_t began_usec;
        int fd; /* the socket that connects; -1: none */
        int error;
};

static void try_next(struct dialer *d);

static void on_next(struct timer *timer)
{
        struct dialer *d = container_of(timer, struct dialer, next);

        d->on_next(d);
}

static void on_active(evutil_socket_t fd, short what, void *arg)
{
        struct dialer *d = arg;

        (void)fd;
        (void)what;
        d->on_next(d);
}

/* Ends the wait for a socket. */
static void stop_waiting_for_socket(struct dialer *d)
{
        if (event_initialized(&d->connected))
                (void)event_del(&d->connected);
}

/* Calls @what from the loop when the current callback has returned. */
static void call_soon(struct dialer *d, void (*what)(struct dialer *d))
{
        d->on_next = what;
        stop_waiting_for_socket(d);
        event_assign(&d->connected, loop_base(d->dialers->loop), -1, 0, on_active, d);
        event_active(&d->connected, EV_TIMEOUT, 0);
}

/* Calls @what at @until_usec, or soon if the timer cannot be set. */
static void call_at(struct dialer *d, uint64_t until_usec, void (*what)(struct dialer *d))
{
        d->on_next = what;
        if (timer_set(&d->next, until_usec) < 0)
                call_soon(d, what);
}

/* Ends the attempt at an address. The next one is tried in the next turn of the loop. */
static void fail(struct dialer *d, int error)
{
        stop_waiting_for_socket(d);
        closep(&d->fd);
        d->fd = -1;
        d->error = error;
        call_at(d, 0, try_next);
        d->events->on_try_failed(d->arg, error, d->upstream->text);
}

static void time_out(struct dialer *d)
{
        fail(d, -ETIMEDOUT);
}

/* Closes a connected socket with a reset, so that it does not keep its port in TIME_WAIT. */
static void drop(struct dialer *d, int error)
{
        const struct linger none = { .l_onoff = 1 };

        (void)setsockopt(d->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        fail(d, error);
}

/*
 * Whether a connection to @address would lead back to the service. A service that listens on all
 * addresses may have an upstream with the same port on another host.
 */
static bool is_listened_on(const struct service_config *config, const struct address *address)
{
        for (size_t i = 0; i < config->n_listen; i++)
                if (address_reaches(address, &config->listen[i]) ||
                    (address_overlaps(address, &config->listen[i]) && address_is_local(address)))
                        return true;
        return false;
}

/*
 * Whether a socket is connected to itself. If nobody listens on a port of this host, Linux may
 * choose the same port as the source port. Keeping such a socket would prevent the real upstream
 * from listening there.
 */
static bool is_self(const struct dialer *d)
{
        struct address local = { .length = sizeof(local.storage) };

        return getsockname(d->fd, &local.sa, &local.length) == 0 && address_port(&local) &&
               address_port(&local) == address_port(&d->address) &&
               (address_is_any(&d->address) || address_equal(&local, &d->address));
}

/* The socket is connected. */
static void succeed(struct dialer *d)
{
        int fd = d->fd;

        if (is_self(d)) {
                drop(d, -ECONNREFUSED);
                return;
        }
        timer_stop(&d->next);
        d->fd = -1;
        retries_succeeded(&d->dialers->retries, d->config);
        d->events->on_connected(d->arg, fd, d->upstream->text);
}

static int take_error(int fd)
{
        socklen_t length = sizeof(int);
        int error = 0;

        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : -error;
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
        struct dialer *d = arg;
        int r = take_error(fd);

        (void)what;
        if (r < 0)
                drop(d, r);
        else
                succeed(d);
}

/* Makes a socket for connecting to @address. Return: 0; what socket(2) fails with. */
static int make_socket(const struct address *address, const struct socket_options *options,
                       int *out)
{
        int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        socket_options_prepare(options, fd, address->sa.sa_family);
        *out = fd;
        return 0;
}

static void start_connecting(struct dialer *d);

/* The backlog of a unix socket is full (unix(7)). It may have room in a moment. */
static void try_again(struct dialer *d)
{
        uint64_t now = now_usec();

        closep(&d->fd);
        d->fd = -1;
        if (now - d->tried_usec >= d->config->connect_timeout_usec)
                fail(d, -ETIMEDOUT);
        else
                call_at(d, now + FULL_RETRY_USEC, start_connecting);
}

static void await_connection(struct dialer *d)
{
        event_assign(&d->connected, loop_base(d->dialers->loop), d->fd, EV_WRITE, on_connected, d);
        if (event_add(&d->connected, NULL) < 0)
                fail(d, -ENOMEM);
        else
                call_at(d, d->tried_usec + d->config->connect_timeout_usec, time_out);
}

/* Return: 0: the socket is connected; -EINPROGRESS; what else connect(2) fails with. */
static int connect_to(int fd, const struct address *address)
{
        int r = TEMP_FAILURE_RETRY(connect(fd, &address->sa, address->length)) < 0 ? -errno : 0;

        /*
         * On the loopback interface, the handshake is over when connect(2) returns EINPROGRESS. A
         * second call returns the result: no event of the loop is needed.
         */
        if (r == -EINPROGRESS && address_is_loopback(address))
                r = TEMP_FAILURE_RETRY(connect(fd, &address->sa, address->length)) < 0 ? -errno : 0;
        return r == -EALREADY ? -EINPROGRESS : r; /* also after a call that was interrupted */
}

static void start_connecting(struct dialer *d)
{
        int r = make_socket(&d->address, &d->config->socket, &d->fd);

        if (r == 0)
                r = connect_to(d->fd, &d->address);
        if (r == 0)
                call_soon(d, succeed);
        else if (r == -EINPROGRESS)
                await_connection(d);
        else if (r == -EAGAIN && d->address.sa.sa_family == AF_UNIX)
                try_again(d);
        else
                fail(d, r);
}

static void try_address(struct dialer *d, const struct address *address)
{
        d->address = *address;
        d->tried_usec = now_usec();
        if (is_listened_on(d->config, address))
                fail(d, -EDEADLK);
        else
                start_connecting(d);
}

/* Names */

/* Gets the next address of the upstream's name. Return: whether there is one. */
static bool take_address(struct dialer *d, struct address *out)
{
        const struct address *addresses;
        size_t n;

        if (!d->query || query_addresses(d->query, &addresses, &n) < 0 || d->next_address == n)
                return false;
        *out = addresses[d->next_address++];
        address_set_port(out, d->upstream->port);
        return true;
}

static void on_answer(void *arg)
{
        const struct address *addresses;
        struct dialer *d = arg;
        size_t n;
        int r = query_addresses(d->query, &addresses, &n);

        if (r < 0)
                fail(d, r);
        else
                try_next(d);
}

static void on_look_up_timeout(struct dialer *d)
{
        d->query = query_free(d->query);
        fail(d, -ETIMEDOUT);
}

static void look_up(struct dialer *d)
{
        int r = query_new(&d->dialers->asker, d->upstream->host, on_answer, d, &d->query);

        d->next_address = 0;
        if (r < 0)
                fail(d, r);
        else if (query_is_answered(d->query))
                on_answer(d);
        else
                call_at(d, now_usec() + d->config->connect_timeout_usec, on_look_up_timeout);
}

static void give_up(struct dialer *d)
{
        d->events->on_failed(d->arg, d->error, d->upstream->text);
}

/* No upstream could be reached: waits for the next retry. */
static void end_round(struct dialer *d)
{
        uint64_t until = d->began_usec + d->config->connect_wait_usec;

        if (now_usec() >= until || retries_wait(&d->dialers->retries, d->config, &d->waiter) < 0) {
                give_up(d);
                return;
        }
        call_at(d, until, give_up);
        d->events->on_waiting(d->arg);
}

static void on_turn(struct waiter *waiter)
{
        struct dialer *d = container_of(waiter, struct dialer, waiter);

        timer_stop(&d->next);
        d->next_upstream = 0;
        try_next(d);
}

static void try_next(struct dialer *d)
{
        struct address address;

        if (take_address(d, &address)) {
                try_address(d, &address);
                return;
        }
        d->query = query_free(d->query);
        if (d->next_upstream == d->config->n_upstreams) {
                end_round(d);
                return;
        }
        d->upstream = &d->config->upstreams[d->next_upstream++];
        if (d->upstream->host)
                look_up(d);
        else
                try_address(d, &d->upstream->address);
}

void dialers_init(struct dialers *dialers, struct loop *loop, struct resolver *resolver)
{
        dialers->loop = loop;
        asker_init(&dialers->asker, resolver, loop);
        retries_init(&dialers->retries, loop);
}

int dialer_new(struct dialers *dialers, struct service *service, struct service_config *config,
               const struct dialer_events *events, void *arg, struct dialer **out)
{
        struct dialer *d;

        if (!service_begin_dialing(service, config->max_dialing))
                return -EUSERS;
        d = calloc(1, sizeof(*d));
        if (!d) {
                service_end_dialing(service);
                return -ENOMEM;
        }
        d->dialers = dialers;
        d->service = service;
        d->config = service_config_ref(config);
        d->events = events;
        d->arg = arg;
        d->waiter.on_turn = on_turn;
        d->began_usec = now_usec() + config->connect_delay_usec;
        d->fd = -1;
        timer_init(&d->next, loop_timers(dialers->loop), on_next);
        *out = d;
        if (config->connect_delay_usec) {
                call_at(d, d->began_usec, try_next);
                events->on_waiting(arg);
        } else {
                try_next(d);
        }
        return 0;
}

struct dialer *dialer_free(struct dialer *d)
{
        if (!d)
                return NULL;
        stop_waiting_for_socket(d);
        timer_stop(&d->next);
        waiter_leave(&d->waiter);
        query_free(d->query);
        closep(&d->fd);
        service_end_dialing(d->service);
        service_config_unref(d->config);
        free(d);
        return NULL;
}
