/*
 * The connection. It is closed at most once, at any depth of callbacks: closing stops every
 * callback at once, and memory and descriptors go when the loop has come back from all of them.
 */
#include "connection.h"
#include "escape.h"
#include "greeter.h"
#include "quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How much of what is received and sent log_payload shows. */
#define PAYLOAD_SHOWN_BYTES 64

/*
 * When it is first looked whether what was sent before an end has arrived; then after twice as
 * long, each time, up to a second. After so many looks, about a second, that is enough; after so
 * many, half a minute, it is given up.
 */
#define LINGER_FIRST_USEC (30 * USEC_PER_MSEC)
#define LINGER_READING    5
#define LINGER_LOOKS      34

struct log_about connection_about(const struct connection *c)
{
        return (struct log_about){
                .service = c->service->name,
                .client = c->client_name,
                .connection = c->id,
        };
}

const char *connection_error_reason(int error)
{
        switch (error) {
        case -ECONNRESET:
        case -EPIPE:
        case -ENOTCONN:
                return "reset by peer";
        case -ETIMEDOUT:
                return "timed out";
        case -ENOMEM:
        case -ENOBUFS:
                return "out of memory";
        case -EHOSTDOWN: /* as the dialer has it */
                return "its name cannot be looked up";
        case -EDEADLK: /* as the dialer has it */
                return "the service itself listens there";
        case -EHOSTUNREACH:
        case -ENETUNREACH:
                return "unreachable";
        default:
                return strerrordesc_np(-error);
        }
}

/*
 * "received 5 bytes"; of an upstream: "received 5 bytes from 127.0.0.1:5432"; with log_payload the
 * bytes follow: "hello"
 */
__attribute__((noinline)) static void write_bytes(const struct side *side, enum log_kind kind,
                                                  const uint8_t *data, size_t n)
{
        const struct log_about about = connection_about(side->connection);
        const char *verb = kind == LOG_RECEIVED ? "received" : "sending";
        const char *way = !side->name ? "" : kind == LOG_RECEIVED ? " from " : " to ";
        const char *name = side->name ? side->name : "";
        char payload[ESCAPE_SIZE(PAYLOAD_SHOWN_BYTES)];
        bool cut = n > PAYLOAD_SHOWN_BYTES;

        if (!data || !side->connection->config->log_payload) {
                log_write(kind, &about, "%s %zu bytes%s%s", verb, n, way, name);
                return;
        }
        escape_bytes(payload, data, cut ? PAYLOAD_SHOWN_BYTES : n);
        log_write(kind, &about, "%s %zu bytes%s%s \"%s\"%s", verb, n, way, name, payload,
                  cut ? "…" : "");
}

/* Every message passes here twice: 61 instructions less of it than with write_bytes() inside. */
static void log_bytes(const struct side *side, enum log_kind kind, const uint8_t *data, size_t n)
{
        if (log_wants(kind))
                write_bytes(side, kind, data, n);
}

/* Sides */

/* Whether the session has a second socket by now. */
static bool has_upstream(const struct connection *c)
{
        return c->peer && c->peer != &c->client;
}

/* Bytes that the sockets of a session have taken, all in all. */
static uint64_t total_sent(const struct connection *c)
{
        return stream_sent(&c->client.stream) +
               (has_upstream(c) ? stream_sent(&c->peer->stream) : 0);
}

/* A byte moved. */
static void connection_touch(struct connection *c)
{
        if (!c->idle)
                return;
        c->active_usec = loop_now_usec();
        c->idle_sent = total_sent(c);
}

static struct side *of_stream(struct stream *stream)
{
        return container_of(stream, struct side, stream);
}

static struct side *of_link(struct link *link)
{
        return container_of(link, struct side, link);
}

/* Where what is received on @side goes. */
static struct side *other(struct side *side)
{
        struct connection *c = side->connection;

        return side == &c->client ? c->peer : &c->client;
}

static void on_data(struct stream *stream, const uint8_t *data, size_t n)
{
        struct side *side = of_stream(stream);
        struct connection *c = side->connection;

        connection_touch(c);
        log_bytes(side, LOG_RECEIVED, data, n);
        if (c->mode->put)
                c->mode->put(side, data, n);
        else
                link_put(&other(side)->link, data, n);
}

static void on_end(struct stream *stream)
{
        link_end(&other(of_stream(stream))->link);
}

static void on_exception(struct stream *stream)
{
        struct connection *c = of_stream(stream)->connection;
        const struct log_about about = connection_about(c);

        log_write(LOG_EXCEPTION, &about, "exception condition");
        connection_close(c, "exception condition");
}

/* A side's socket failed: "reset by peer", "upstream 127.0.0.1:5432: reset by peer". */
static void fail(const struct side *side, int error)
{
        const char *words = connection_error_reason(error);
        char reason[512];

        if (side->name) {
                (void)snprintf(reason, sizeof(reason), "upstream %s: %s", side->name, words);
                words = reason;
        }
        connection_reset(side->connection, words);
}

static void on_stream_error(struct stream *stream, int error)
{
        fail(of_stream(stream), error);
}

static const struct stream_events side_stream_events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_exception,
        .on_error = on_stream_error,
};

static void on_sending(struct link *link, const uint8_t *data, size_t n)
{
        struct side *side = of_link(link);

        connection_touch(side->connection);
        log_bytes(side, LOG_SENDING, data, n);
}

static void on_empty(struct link *link)
{
        struct connection *c = of_link(link)->connection;

        connection_touch(c);
        if (log_wants(LOG_QUEUE_EMPTY)) {
                const struct log_about about = connection_about(c);

                log_write(LOG_QUEUE_EMPTY, &about, "queue empty");
        }
}

static void on_done(struct link *link)
{
        struct connection *c = of_link(link)->connection;

        if (--c->open_links == 0)
                connection_close(c, "end of stream");
}

static void on_link_error(struct link *link, int error)
{
        fail(of_link(link), error);
}

static void connection_linger(struct side *side, const char *reason);

static void on_limit(struct link *link)
{
        struct connection *c = of_link(link)->connection;
        char reason[64];

        (void)snprintf(reason, sizeof(reason), "limit %" PRIu64 " B",
                       (link == &c->client.link ? c->service->to_client : c->service->to_upstream)
                               .limit_bytes);
        connection_linger(of_link(link), reason);
}

static const struct link_events side_link_events = {
        .on_sending = on_sending,
        .on_empty = on_empty,
        .on_done = on_done,
        .on_limit = on_limit,
        .on_error = on_link_error,
};

int side_init(struct side *side, struct connection *c, int fd, const char *name)
{
        int r;

        side->connection = c;
        side->name = name;
        r = stream_init(&side->stream, c->loop, fd, &side_stream_events);
        if (r == 0)
                stream_set_receive_buffer(&side->stream, c->service->socket.receive_buffer_bytes);
        return r;
}

/* Idle time */

/* Sets the timer to when the connection will have been idle for long enough. */
static int arm_idle(struct connection *c)
{
        uint64_t now = loop_now_usec(), end = c->active_usec + c->service->idle_timeout_usec;
        const struct timeval wait = loop_timeval(end > now ? end - now : 0);

        return evtimer_add(c->idle, &wait) < 0 ? -ENOMEM : 0;
}

/* Whether selectd itself holds bytes back, or has not reached the upstream yet. */
static bool is_waiting(const struct connection *c)
{
        return !c->peer || link_is_waiting(&c->client.link) || link_is_waiting(&c->peer->link);
}

/*
 * The timer is not moved with each byte: when it fires it looks when the last one moved. Bytes that
 * selectd itself holds back, and a queue that shrinks, are not idleness.
 */
static void on_idle_timer(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;
        uint64_t timeout = c->service->idle_timeout_usec;

        (void)fd;
        (void)what;
        if (is_waiting(c) || total_sent(c) != c->idle_sent)
                connection_touch(c);
        if (loop_now_usec() - c->active_usec >= timeout)
                connection_close(c, "idle timeout");
        else if (arm_idle(c) < 0)
                connection_close(c, connection_error_reason(-ENOMEM));
}

static int set_idle_timeout(struct connection *c)
{
        if (c->service->idle_timeout_usec == 0) {
                if (c->idle)
                        event_free(c->idle);
                c->idle = NULL;
                return 0;
        }
        if (!c->idle) {
                c->idle = evtimer_new(loop_base(c->loop), on_idle_timer, c);
                if (!c->idle)
                        return -ENOMEM;
                connection_touch(c);
        }
        return arm_idle(c);
}

/* The life of a connection */

static void name_client(struct connection *c, const struct address *peer)
{
        char text[ADDRESS_TEXT_SIZE];

        (void)snprintf(c->client_name, sizeof(c->client_name), "%.*s", CONNECTION_CLIENT_SIZE - 1,
                       address_format_client(c->client.stream.fd, peer, text));
}

static void release(struct loop_task *task)
{
        struct connection *c = container_of(task, struct connection, release);

        stream_deinit(&c->client.stream); /* descriptors are free when the owner hears of it */
        if (c->mode->free)
                c->mode->free(c);
        c->owner->on_closed(c->owner, c);
        if (c->idle)
                event_free(c->idle);
        if (c->reset)
                event_free(c->reset);
        config_unref(c->config);
        free(c);
}

/* Conditions */

/*
 * The fate of one way of a connection: whether the conditions apply to it at all. Drawn anew each
 * time, from the same seed: so it is always the same, and what is drawn later from @random too.
 */
static const struct conditions *draw_conditions(const struct connection *c, bool to_client,
                                                struct random *random, double *drop)
{
        const struct conditions *conditions =
                to_client ? &c->service->to_client : &c->service->to_upstream;

        *random = random_new(c->seed, c->id, to_client);
        *drop = random_share(random);
        return random_share(random) < conditions->probability ? conditions : &conditions_none;
}

static int shape(struct connection *c, struct link *link, bool to_client)
{
        struct random random;
        double drop;
        const struct shaping shaping = {
                .conditions = draw_conditions(c, to_client, &random, &drop),
                .send_delay_usec = to_client ? c->service->send_delay_usec : 0,
                .hold_bytes = c->service->hold_bytes,
                .began_usec = c->began_usec,
        };

        return link_set_shaping(link, &shaping, &random);
}

/* Whether the connection is one of those that are to be dropped. */
static bool is_dropped(const struct connection *c)
{
        struct random random;
        double drop;

        for (int to_client = 0; to_client < 2; to_client++)
                if (draw_conditions(c, to_client, &random, &drop)->drop_new > drop)
                        return true;
        return false;
}

static int set_reset_after(struct connection *c);

static void play_reset_after(struct connection *c)
{
        char duration[QUANTITY_TEXT_SIZE], reason[QUANTITY_TEXT_SIZE + 16];

        c->faults |= FAULT_RESET;
        (void)snprintf(reason, sizeof(reason), "reset_after %s",
                       quantity_format_usec(c->reset_after_usec, duration));
        connection_reset(c, reason);
}

static void on_reset_after(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;

        (void)fd;
        (void)what;
        /* set_reset_after() resets it; an early timer is set again. */
        if (set_reset_after(c) < 0)
                connection_reset(c, connection_error_reason(-ENOMEM));
}

/* Resets the connection if reset_after has passed; else sets the timer to when it will have. */
static int set_reset_after(struct connection *c)
{
        uint64_t after = CONDITIONS_NEVER, now = loop_now_usec();
        struct timeval wait;
        struct random random;
        double drop;

        for (int to_client = 0; to_client < 2; to_client++) {
                uint64_t one = draw_conditions(c, to_client, &random, &drop)->reset_after_usec;

                after = one < after ? one : after;
        }
        if (c->reset)
                (void)evtimer_del(c->reset);
        if (after == CONDITIONS_NEVER)
                return 0;
        c->reset_after_usec = after;
        if (now >= c->began_usec + after) {
                play_reset_after(c);
                return 0;
        }
        if (!c->reset)
                c->reset = evtimer_new(loop_base(c->loop), on_reset_after, c);
        wait = loop_timeval(c->began_usec + after - now);
        return c->reset && evtimer_add(c->reset, &wait) == 0 ? 0 : -ENOMEM;
}

/* Puts the limits and shaping values of c->service into force. */
static int connection_configure(struct connection *c)
{
        bool bulk = !c->mode->put && !c->config->log_payload; /* which spliced bytes can't show */
        int r;

        r = set_reset_after(c);
        if (c->peer && r == 0 && !c->closed) {
                stream_set_read_max(&c->peer->stream, c->service->send_delay_usec
                                                              ? c->service->message_bytes
                                                              : LOOP_SCRATCH_BYTES);
                link_set_bulk(&c->client.link, bulk);
                link_set_bulk(&c->peer->link, bulk);
                r = shape(c, &c->client.link, true);
                /* Less of a delay sends, and sending can fail. */
                if (r == 0 && !c->closed && has_upstream(c))
                        r = shape(c, &c->peer->link, false);
        }
        return r < 0 || c->closed ? r : set_idle_timeout(c);
}

int connection_start(struct connection *c)
{
        struct side *peer = c->peer;
        int r;

        link_init(&c->client.link, c->mode->put ? NULL : &peer->stream, &c->client.stream,
                  &side_link_events);
        c->open_links = 1;
        if (has_upstream(c)) {
                link_init(&peer->link, &c->client.stream, &peer->stream, &side_link_events);
                c->open_links = 2;
        }
        r = connection_configure(c);
        if (r < 0 || c->closed) /* less of a delay sends, and sending can fail */
                return r;
        connection_touch(c); /* waiting for the other side was no idleness */
        r = stream_resume(&c->client.stream);
        if (r == 0 && has_upstream(c))
                r = stream_resume(&peer->stream);
        return r;
}

/* The client is known: the session begins. @by: the proxy that speaks for it; NULL: none. */
static void connection_open(struct connection *c, const struct proxy_header *header, const char *by)
{
        const struct log_about about = connection_about(c);
        int r;

        log_write(LOG_CONNECTED, &about, "connected%s%s", by ? " by way of " : "", by ? by : "");
        if (is_dropped(c)) {
                c->faults |= FAULT_DROP;
                connection_reset(c, "drop_new");
                return;
        }
        r = set_reset_after(c);
        if (r == 0 && !c->closed)
                r = c->mode->open(c, header);
        if (r < 0)
                connection_reset(c, connection_error_reason(r));
}

static const char *header_error_reason(int error)
{
        switch (error) {
        case -EPROTO:
                return "malformed PROXY header";
        case -EMSGSIZE:
                return "PROXY header too long";
        case -ETIMEDOUT:
                return "no PROXY header in time";
        case -ENODATA:
                return "end of stream before the PROXY header";
        default:
                return connection_error_reason(error);
        }
}

static void on_header(void *arg, int error, const struct proxy_header *header)
{
        struct connection *c = arg;
        char proxy[CONNECTION_CLIENT_SIZE];

        if (error < 0) {
                connection_reset(c, header_error_reason(error));
                return;
        }
        c->greeter = greeter_free(c->greeter);
        memcpy(proxy, c->client_name, sizeof(proxy));
        if (header->source.sa.sa_family != AF_UNSPEC)
                name_client(c, &header->source);
        connection_open(c, header, proxy);
}

/* Waits for the header that every client of the service has to send first. */
static void await_header(struct connection *c, const struct address *peer)
{
        const struct service *service = c->service;
        int r;

        for (size_t i = 0; i < service->n_proxy_from; i++) {
                if (!network_contains(&service->proxy_from[i], peer))
                        continue;
                r = greeter_new(c->loop, c->client.stream.fd, on_header, c, &c->greeter);
                if (r < 0)
                        connection_reset(c, connection_error_reason(r));
                return;
        }
        connection_reset(c, "not in proxy_from");
}

int connection_new(struct loop *loop, const struct mode *mode, struct config *config,
                   const struct service *service, int fd, const struct address *peer, uint64_t id,
                   struct connection_owner *owner, struct connection **out)
{
        struct connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->loop = loop;
        c->service = service;
        r = side_init(&c->client, c, fd, NULL);
        if (r < 0) {
                free(c);
                return r;
        }
        c->owner = owner;
        c->mode = mode;
        c->config = config_ref(config);
        c->release.run = release;
        c->id = id;
        c->seed = config->seed;
        c->began_usec = loop_now_usec();
        name_client(c, peer);
        *out = c;
        if (service->proxy_accept)
                await_header(c, peer);
        else
                connection_open(c, NULL, NULL);
        return 0;
}

/*
 * What was done to it on purpose: "to_client: latency, rate; to_upstream: stall; reset_after".
 * Return: @out; NULL: nothing.
 */
static const char *describe_faults(const struct connection *c, char *out, size_t size)
{
        const unsigned faults[] = {
                c->peer ? link_faults(&c->client.link) : 0,
                has_upstream(c) ? link_faults(&c->peer->link) : 0,
                c->faults,
        };
        static const char *const ways[] = { "to_client: ", "to_upstream: ", "" };
        char names[CONDITIONS_TEXT_SIZE];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(ways); i++)
                if (faults[i])
                        n += (size_t)snprintf(out + n, size - n, "%s%s%s", n ? "; " : "", ways[i],
                                              conditions_format(faults[i], names));
        return n ? out : NULL;
}

static void log_closed(const struct connection *c, const char *reason)
{
        char fault[3 * (CONDITIONS_TEXT_SIZE + 16)];
        const struct log_ending ending = {
                .bytes_in = c->client.stream.in,
                .bytes_out = stream_sent(&c->client.stream),
                .duration_usec = loop_now_usec() - c->began_usec,
                .reason = reason,
                .fault = describe_faults(c, fault, sizeof(fault)),
        };
        struct log_about about = connection_about(c);

        about.ending = &ending;
        log_write(LOG_CLOSED, &about, "closed: %s, %" PRIu64 " B in, %" PRIu64 " B out, %.3f s%s%s",
                  reason, ending.bytes_in, ending.bytes_out,
                  (double)ending.duration_usec / (double)USEC_PER_SEC,
                  ending.fault ? "; done to it: " : "", ending.fault ? ending.fault : "");
}

/* The session is over, but for its sockets: nothing is passed on any more. */
static void connection_end(struct connection *c, const char *reason)
{
        c->closed = true;
        log_closed(c, reason);
        if (c->idle)
                (void)evtimer_del(c->idle);
        if (c->reset)
                (void)evtimer_del(c->reset);
        if (c->peer) {
                link_stop(&c->client.link);
                link_stop(&c->peer->link);
        }
        c->greeter = greeter_free(c->greeter);
        if (c->mode->stop)
                c->mode->stop(c);
}

/* The last that is done to it. */
static void connection_leave(struct connection *c)
{
        if (c->linger)
                event_free(c->linger);
        c->linger = NULL;
        stream_stop(&c->client.stream);
        if (has_upstream(c))
                stream_stop(&c->peer->stream);
        loop_defer(c->loop, &c->release);
}

void connection_close(struct connection *c, const char *reason)
{
        if (!c->closed)
                connection_end(c, reason);
        else if (!c->linger)
                return;
        connection_leave(c);
}

/* Lingering: an end that lets what has been passed on arrive first */

/* Whether the peer has ended too, or is gone. */
static bool is_done(const struct side *side)
{
        const struct stream *stream = &side->stream;

        return !stream->events || stream_has_ended(stream); /* NOLINT(clang-analyzer-core.*) */
}

static bool has_arrived(const struct side *side)
{
        return is_done(side) || stream_has_arrived(&side->stream);
}

/* The one who was sent all that may pass has time to read it; the other side only to get it. */
static void leave_when_done(struct connection *c)
{
        if (is_done(c->lingers_for) && has_arrived(other(c->lingers_for)))
                connection_leave(c);
}

static void on_late_data(struct stream *stream, const uint8_t *data, size_t n)
{
        (void)stream;
        (void)data;
        (void)n;
}

static void on_late_end(struct stream *stream)
{
        leave_when_done(of_stream(stream)->connection);
}

static void on_late_exception(struct stream *stream)
{
        stream_stop(stream);
        on_late_end(stream);
}

static void on_late_error(struct stream *stream, int error)
{
        (void)error;
        on_late_exception(stream);
}

static const struct stream_events late_stream_events = {
        .on_data = on_late_data,
        .on_end = on_late_end,
        .on_exception = on_late_exception,
        .on_error = on_late_error,
};

static int look_later(struct connection *c)
{
        uint64_t usec = LINGER_FIRST_USEC << (c->looks < 16 ? c->looks : 16);
        const struct timeval wait = loop_timeval(usec < USEC_PER_SEC ? usec : USEC_PER_SEC);

        c->looks++;
        return evtimer_add(c->linger, &wait) < 0 ? -ENOMEM : 0;
}

static void on_linger_timer(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;
        bool arrived = has_arrived(&c->client) && has_arrived(c->peer);

        (void)fd;
        (void)what;
        if (c->looks == LINGER_LOOKS || (arrived && c->looks >= LINGER_READING))
                connection_leave(c);
        else
                leave_when_done(c);
        if (c->linger && look_later(c) < 0)
                connection_leave(c);
}

static void linger(struct side *side)
{
        if (stream_linger(&side->stream, &late_stream_events) < 0)
                stream_stop(&side->stream);
}

/* As connection_close(), but what has been passed on to @side is given the time to arrive. */
static void connection_linger(struct side *side, const char *reason)
{
        struct connection *c = side->connection;

        if (c->closed)
                return;
        connection_end(c, reason);
        c->lingers_for = side;
        c->linger = evtimer_new(loop_base(c->loop), on_linger_timer, c);
        if (!c->linger || look_later(c) < 0) {
                connection_leave(c);
                return;
        }
        linger(&c->client);
        if (has_upstream(c))
                linger(c->peer);
        leave_when_done(c);
}

void connection_reset(struct connection *c, const char *reason)
{
        if (c->closed)
                return;
        stream_set_reset(&c->client.stream);
        if (has_upstream(c))
                stream_set_reset(&c->peer->stream);
        connection_close(c, reason);
}

void connection_reconfigure(struct connection *c, struct config *config)
{
        const struct service *service = config_find_service(config, c->service->name);
        int r;

        if (c->closed || !service || service->mode != c->service->mode)
                return;
        config_ref(config);
        config_unref(c->config);
        c->config = config;
        c->service = service;
        r = connection_configure(c);
        if (r < 0)
                connection_reset(c, connection_error_reason(r));
}
