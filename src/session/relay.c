/* SPDX-License-Identifier: MIT */
/*
 * Nothing is read from the client before the upstream is connected. Meanwhile the client's bytes
 * wait in its socket, whose buffer bounds them.
 */
#include "relay.h"
#include "counter.h"
#include "dialer.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How long a client may go on sending after its stream has been ended. */
#define UNREACHED_USEC USEC_PER_SEC

struct relay {
        struct connection *connection;
        struct side upstream;
        struct dialer *dialer; /* NULL once it is done */
        struct event
                leave; /* bytes or an end come from the client, while an upstream is waited for */
        bool has_sent; /* the client has sent a byte */
        uint8_t *greeting; /* the PROXY header to send first; NULL: none */
        size_t greeting_bytes;
        char *name;      /* of the upstream */
        char *unreached; /* why no upstream was reached; NULL: the client's stream has not ended */
        struct timer unreached_timer; /* closes the client's socket */
};

/* Takes over a connected socket as the upstream's side. @fd: consumed on success. */
static int relay_start(struct connection *c, int fd, const char *name)
{
        struct relay *relay = c->relay;
        int r;

        relay->name = strdup(name);
        if (!relay->name)
                return -ENOMEM;
        r = side_init(&relay->upstream, c, fd, relay->name);
        if (r < 0)
                return r;
        if (relay->greeting)
                side_send_header(&relay->upstream, relay->greeting, relay->greeting_bytes);
        if (c->closed)
                return 0;
        r = connection_start(c);
        if (r < 0)
                connection_reset_error(c, r);
        return 0;
}

/* The client during the wait for an upstream */

static void stop_watching(struct relay *relay)
{
        if (event_initialized(&relay->leave))
                (void)event_del(&relay->leave);
}

/*
 * Bytes that a client sent before it ended its stream wait for the upstream. A client that ended
 * its stream without having sent a byte is not kept waiting.
 */
static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;
        uint8_t byte;
        ssize_t n = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

        (void)what;
        if (n == 0) {
                connection_reset(c, REASON_LEFT);
                return;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                connection_fail(&c->client, -errno);
                return;
        }
        c->relay->has_sent = true;
        stop_watching(c->relay);
}

/*
 * Watches for the client's end during a wait. May be called several times. If the event cannot be
 * added, a client that leaves is only noticed when it resets.
 */
static void on_waiting(void *arg)
{
        struct connection *c = arg;
        struct relay *relay = c->relay;

        if (relay->has_sent || event_initialized(&relay->leave))
                return;
        event_assign(&relay->leave, loop_base(c->loop), c->client.stream.fd, EV_READ | EV_PERSIST,
                     on_client_readable, c);
        (void)event_add(&relay->leave, NULL);
}

static void on_try_failed(void *arg, int error, const char *name)
{
        const struct log_about about = connection_about(arg);
        struct connection *c = arg;

        counter_add(&c->shard->counters.failed_dials, 1);
        log_write(LOG_UPSTREAM_FAILED, &about, "cannot reach upstream %s: %s", name,
                  reason_error_text(error));
}

static void on_connected(void *arg, int fd, const char *name)
{
        struct connection *c = arg;
        const struct log_about about = connection_about(c);
        int r;

        stop_watching(c->relay);
        log_write(LOG_UPSTREAM_REACHED, &about, "reached upstream %s", name);
        r = relay_start(c, fd, name);
        if (r < 0) {
                (void)close(fd);
                connection_reset_error(c, r);
        }
        c->relay->dialer = dialer_free(c->relay->dialer); /* @name is the dialer's */
}

/* A client whose upstream can't be reached */

static void end_unreached(struct connection *c)
{
        connection_close_for(c, REASON_UPSTREAM_UNREACHED, c->relay->unreached);
}

static void on_unreached_timer(struct timer *timer)
{
        end_unreached(container_of(timer, struct relay, unreached_timer)->connection);
}

/* Discards what the client sends, until it leaves. */
static void on_unreached_readable(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;
        ssize_t n = recv(fd, loop_scratch(c->loop), LOOP_SCRATCH_BYTES, MSG_DONTWAIT);

        (void)what;
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                end_unreached(c);
}

/*
 * Ends the client's stream in order. The socket is closed later: the kernel sends a reset if bytes
 * arrive at a closed socket, or are unread when it is closed. Return: 0; -ENOMEM; see
 * loop_add_event().
 */
static int end_stream(struct connection *c, const char *reason)
{
        struct relay *relay = c->relay;
        int r;

        relay->unreached = strdup(reason);
        if (!relay->unreached)
                return -ENOMEM;
        relay->dialer = dialer_free(relay->dialer);
        stop_watching(relay);
        event_assign(&relay->leave, loop_base(c->loop), c->client.stream.fd, EV_READ | EV_PERSIST,
                     on_unreached_readable, c);
        r = loop_add_event(&relay->leave);
        timer_init(&relay->unreached_timer, loop_timers(c->loop), on_unreached_timer);
        if (r == 0)
                r = timer_set(&relay->unreached_timer, now_usec() + UNREACHED_USEC);
        if (r == 0)
                (void)shutdown(c->client.stream.fd, SHUT_WR);
        return r;
}

static void on_failed(void *arg, int error, const char *name)
{
        struct connection *c = arg;
        const struct log_about about = connection_about(c);
        char reason[DIALER_NAME_SIZE + 128];

        (void)snprintf(reason, sizeof(reason), "upstream %s: %s", name, reason_error_text(error));
        log_write(LOG_UPSTREAM_DOWN, &about, "no upstream can be reached, the last one tried: %s",
                  reason + strlen("upstream "));
        if (!c->config->ends_unreached || end_stream(c, reason) < 0)
                connection_reset_for(c, REASON_UPSTREAM_UNREACHED, reason); /* frees the dialer */
}

static const struct dialer_events dialer_events = {
        .on_try_failed = on_try_failed,
        .on_waiting = on_waiting,
        .on_connected = on_connected,
        .on_failed = on_failed,
};

/* Makes the PROXY header for the upstream: the client's address, and where it connected to. */
static int make_greeting(struct connection *c, const struct proxy_header *header)
{
        struct address peer = { .length = sizeof(peer.storage) }, local = peer;
        const struct address *source = &peer, *destination = &local;
        uint8_t greeting[PROXY_FORMAT_MAX];
        size_t n;

        if (header && header->source.sa.sa_family != AF_UNSPEC) {
                source = &header->source;
                destination = &header->destination;
        } else if (getpeername(c->client.stream.fd, &peer.sa, &peer.length) < 0 ||
                   getsockname(c->client.stream.fd, &local.sa, &local.length) < 0) {
                return -errno;
        }
        n = proxy_format((unsigned)c->config->send_proxy, source, destination, greeting);
        c->relay->greeting = malloc(n);
        if (!c->relay->greeting)
                return -ENOMEM;
        memcpy(c->relay->greeting, greeting, n);
        c->relay->greeting_bytes = n;
        return 0;
}

static int relay_open(struct connection *c, const struct proxy_header *header)
{
        char reason[64];
        int r = 0;

        c->relay = calloc(1, sizeof(*c->relay));
        if (!c->relay)
                return -ENOMEM;
        c->relay->connection = c;
        if (c->config->send_proxy)
                r = make_greeting(c, header);
        if (r == 0)
                r = dialer_new(c->owner->dialers, c->shard->service, c->config, &dialer_events, c,
                               &c->relay->dialer);
        if (r != -EUSERS)
                return r;
        (void)snprintf(reason, sizeof(reason), "max_dialing %" PRIu64, c->config->max_dialing);
        connection_reset_for(c, REASON_MAX_DIALING, reason);
        return 0;
}

static void relay_stop(struct connection *c)
{
        if (!c->relay)
                return;
        stop_watching(c->relay);
        timer_stop(&c->relay->unreached_timer);
        c->relay->dialer = dialer_free(c->relay->dialer);
}

static void relay_free(struct connection *c)
{
        struct relay *relay = c->relay;

        if (!relay)
                return;
        free(relay->greeting);
        free(relay->name);
        free(relay->unreached);
        free(relay);
}

const struct mode relay_mode = {
        .receiver = "upstream",
        .open = relay_open,
        .stop = relay_stop,
        .free = relay_free,
};
