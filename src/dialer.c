/*
 * The dialer. It does one thing at a time, and @event is always the next thing to happen: a socket
 * that becomes writable, or a moment. So nothing is ever reported from within the call that began
 * it.
 */
#include "dialer.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <string.h>

/* The pause before all upstreams are tried again. */
#define RETRY_USEC (100 * USEC_PER_MSEC)

/* The pause before a unix socket is tried again whose backlog is full: TCP would do so by itself.
 */
#define FULL_USEC (10 * USEC_PER_MSEC)

struct dialer {
        struct loop *loop;
        struct config *config; /* a reference */
        const struct service *service;
        const struct dialer_events *events;
        void *arg;
        struct event event;
        struct evdns_getaddrinfo_request *query; /* NULL: none under way */
        struct evutil_addrinfo *found;           /* of a look-up, and which is next */
        const struct evutil_addrinfo *next_found;
        size_t next;            /* upstream to try when @found is used up */
        struct address address; /* that is tried, */
        uint64_t tried_usec;    /* since then */
        uint64_t began_usec;
        int fd; /* that connects; -1: none */
        int error;
};

static void try_next(struct dialer *d);

static const struct upstream *current(const struct dialer *d)
{
        return &d->service->upstreams[d->next ? d->next - 1 : 0];
}

static void on_moment(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        try_next(arg);
}

/* Makes @callback what happens next; without memory for it, at once. */
static void await(struct dialer *d, int fd, short what, event_callback_fn callback, uint64_t usec)
{
        const struct timeval timeout = loop_timeval(usec);

        if (event_initialized(&d->event))
                (void)event_del(&d->event);
        event_assign(&d->event, loop_base(d->loop), fd, what, callback, d);
        if (event_add(&d->event, &timeout) < 0)
                event_active(&d->event, EV_TIMEOUT, 0);
}

/* Goes on with the next address. */
static void go_on(struct dialer *d, uint64_t usec)
{
        await(d, -1, 0, on_moment, usec);
}

static void fail(struct dialer *d, int error)
{
        d->error = error;
        closep(&d->fd);
        d->fd = -1;
        go_on(d, 0);
        d->events->on_try_failed(d->arg, error, current(d)->text);
}

/* Gives up a connected socket with a reset, so that it does not keep its port (TIME_WAIT). */
static void drop(struct dialer *d, int error)
{
        const struct linger none = { .l_onoff = 1 };

        (void)setsockopt(d->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        fail(d, error);
}

/*
 * Whether a connection to @address would come back to the service. A service that listens on all
 * addresses may well have an upstream of the same port on another host.
 */
static bool is_listened_on(const struct service *service, const struct address *address)
{
        for (size_t i = 0; i < service->n_listen; i++)
                if (address_reaches(address, &service->listen[i]) ||
                    (address_overlaps(address, &service->listen[i]) && address_is_local(address)))
                        return true;
        return false;
}

/*
 * Whether a connected socket is connected to itself. When nobody listens on a port of this host,
 * Linux may choose that port for the local end as well. To keep such a socket would keep the real
 * upstream from listening there.
 */
static bool is_self(const struct dialer *d)
{
        struct address local = { .length = sizeof(local.storage) };

        return getsockname(d->fd, &local.sa, &local.length) == 0 && address_port(&local) &&
               address_port(&local) == address_port(&d->address) &&
               (address_is_any(&d->address) || address_equal(&local, &d->address));
}

static int check_connected(const struct dialer *d)
{
        socklen_t length = sizeof(int);
        int error = 0;

        if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
                return -errno;
        if (error)
                return -error;
        return is_self(d) ? -ECONNREFUSED : 0;
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
        struct dialer *d = arg;
        int r = (what & EV_WRITE) ? check_connected(d) : -ETIMEDOUT;

        if (r < 0) {
                drop(d, r);
                return;
        }
        d->fd = -1;
        d->events->on_connected(d->arg, fd, current(d)->text);
}

/* @out: set to a socket to connect to @address with. Return: 0; what socket(2) fails with. */
static int make_socket(const struct address *address, int *out)
{
        int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;

        if (fd < 0)
                return -errno;
        if (address->sa.sa_family != AF_UNIX) {
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        }
        *out = fd;
        return 0;
}

static void start_connecting(struct dialer *d);

static void on_full_moment(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        start_connecting(arg);
}

/* A unix socket's backlog is full (unix(7)): it may have room in a moment. */
static void try_again(struct dialer *d)
{
        if (loop_now_usec() - d->tried_usec >= d->service->connect_timeout_usec) {
                fail(d, -ETIMEDOUT);
                return;
        }
        closep(&d->fd);
        d->fd = -1;
        await(d, -1, 0, on_full_moment, FULL_USEC);
}

static void start_connecting(struct dialer *d)
{
        int r = make_socket(&d->address, &d->fd);

        if (r == 0)
                r = connect(d->fd, &d->address.sa, d->address.length) < 0 ? -errno : 0;
        if (r == -EAGAIN && d->address.sa.sa_family == AF_UNIX)
                try_again(d);
        else if (r < 0 && r != -EINPROGRESS)
                fail(d, r);
        else
                await(d, d->fd, EV_WRITE, on_connected, d->service->connect_timeout_usec);
}

static void try_address(struct dialer *d, const struct address *address)
{
        d->address = *address;
        d->tried_usec = loop_now_usec();
        if (is_listened_on(d->service, address))
                fail(d, -EDEADLK);
        else
                start_connecting(d);
}

static void stop_look_up(struct dialer *d)
{
        if (d->query)
                evdns_getaddrinfo_cancel(d->query);
        d->query = NULL;
}

static void on_looked_up(int result, struct evutil_addrinfo *found, void *arg)
{
        struct dialer *d = arg;

        if (result == EVUTIL_EAI_CANCEL)
                return; /* the dialer has given up, or is gone */
        d->query = NULL;
        d->found = found;
        d->next_found = found;
        /* It may have succeeded without an address: one that is of no family of this host. */
        if (result != 0 || !found)
                fail(d, result == EVUTIL_EAI_MEMORY ? -ENOMEM : -EHOSTDOWN);
        else
                go_on(d, 0);
}

static void on_look_up_timeout(evutil_socket_t fd, short what, void *arg)
{
        struct dialer *d = arg;

        (void)fd;
        (void)what;
        stop_look_up(d);
        fail(d, -ETIMEDOUT);
}

static void look_up(struct dialer *d, const struct upstream *upstream)
{
        const struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
                                               .ai_socktype = SOCK_STREAM,
                                               .ai_flags = EVUTIL_AI_ADDRCONFIG };
        struct evdns_base *dns = loop_dns(d->loop);

        if (!dns) {
                fail(d, -EHOSTDOWN);
                return;
        }
        await(d, -1, 0, on_look_up_timeout, d->service->connect_timeout_usec);
        /* It may call back at once, and then returns NULL: that is why going on takes a moment. */
        d->query = evdns_getaddrinfo(dns, upstream->host, upstream->port, &hints, on_looked_up, d);
}

static void forget_found(struct dialer *d)
{
        if (d->found)
                evutil_freeaddrinfo(d->found);
        d->found = NULL;
        d->next_found = NULL;
}

static void try_next(struct dialer *d)
{
        const struct service *service = d->service;
        const struct upstream *upstream;
        uint64_t now = loop_now_usec();

        /* A timer counts from the beginning of the turn that set it: it may be early. */
        if (now < d->began_usec) {
                go_on(d, d->began_usec - now);
                return;
        }
        if (d->next_found) {
                const struct evutil_addrinfo *found = d->next_found;
                struct address address = { .length = (socklen_t)found->ai_addrlen };

                d->next_found = found->ai_next;
                memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
                try_address(d, &address);
                return;
        }
        forget_found(d);
        if (d->next == service->n_upstreams) {
                if (now - d->began_usec >= service->connect_wait_usec) {
                        d->events->on_failed(d->arg, d->error, current(d)->text);
                        return;
                }
                d->next = 0;
                go_on(d, RETRY_USEC);
                return;
        }
        upstream = &service->upstreams[d->next++];
        if (upstream->host)
                look_up(d, upstream);
        else
                try_address(d, &upstream->address);
}

int dialer_new(struct loop *loop, struct config *config, const struct service *service,
               const struct dialer_events *events, void *arg, struct dialer **out)
{
        struct dialer *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->loop = loop;
        d->config = config_ref(config);
        d->service = service;
        d->events = events;
        d->arg = arg;
        d->began_usec = loop_now_usec() + service->connect_delay_usec;
        d->fd = -1;
        *out = d;
        try_next(d);
        return 0;
}

struct dialer *dialer_free(struct dialer *d)
{
        if (!d)
                return NULL;
        if (event_initialized(&d->event))
                (void)event_del(&d->event);
        stop_look_up(d);
        forget_found(d);
        closep(&d->fd);
        config_unref(d->config);
        free(d);
        return NULL;
}
