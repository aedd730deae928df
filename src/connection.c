/*
 * The connection. It is closed at most once, at any depth of callbacks: closing stops every
 * callback at once, and memory and descriptors go when the loop has come back from all of them.
 */
#include "connection.h"
#include "echo.h"
#include "escape.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How much of what is received and sent log_payload shows. */
#define PAYLOAD_SHOWN_BYTES 64

static const struct mode *const modes[] = {
        [SERVICE_ECHO] = &echo_mode,
};

static struct log_about connection_about(const struct connection *c)
{
        return (struct log_about){
                .service = c->service->name,
                .client = c->client_name,
                .connection = c->id,
        };
}

static const char *error_reason(int error)
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
        case -EHOSTUNREACH:
        case -ENETUNREACH:
                return "unreachable";
        default:
                return strerrordesc_np(-error);
        }
}

/* "received 5 bytes", with log_payload: received 5 bytes "hello" */
__attribute__((noinline)) static void write_bytes(const struct connection *c, enum log_kind kind,
                                                  const char *verb, const uint8_t *data, size_t n)
{
        const struct log_about about = connection_about(c);
        char payload[ESCAPE_SIZE(PAYLOAD_SHOWN_BYTES)];
        bool cut = n > PAYLOAD_SHOWN_BYTES;

        if (!c->config->log_payload) {
                log_write(kind, &about, "%s %zu bytes", verb, n);
                return;
        }
        escape_bytes(payload, data, cut ? PAYLOAD_SHOWN_BYTES : n);
        log_write(kind, &about, "%s %zu bytes \"%s\"%s", verb, n, payload, cut ? "…" : "");
}

/* Every message passes here twice: 61 instructions less of it than with write_bytes() inside. */
static void log_bytes(const struct connection *c, enum log_kind kind, const char *verb,
                      const uint8_t *data, size_t n)
{
        if (log_wants(kind))
                write_bytes(c, kind, verb, data, n);
}

static void connection_touch(struct connection *c)
{
        if (c->idle)
                c->active_usec = loop_now_usec();
}

/* The client's stream */

static struct connection *of_client(struct stream *stream)
{
        return container_of(stream, struct connection, client);
}

static void on_data(struct stream *stream, const uint8_t *data, size_t n)
{
        struct connection *c = of_client(stream);

        connection_touch(c);
        log_bytes(c, LOG_RECEIVED, "received", data, n);
        c->mode->receive(c, stream, data, n);
}

static void on_end(struct stream *stream)
{
        struct connection *c = of_client(stream);

        c->mode->end(c, stream);
}

static void on_exception(struct stream *stream)
{
        struct connection *c = of_client(stream);
        const struct log_about about = connection_about(c);

        log_write(LOG_EXCEPTION, &about, "exception condition");
        connection_close(c, "exception condition");
}

static void on_stream_error(struct stream *stream, int error)
{
        connection_close(of_client(stream), error_reason(error));
}

static const struct stream_events client_events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_exception,
        .on_error = on_stream_error,
};

/* The link to the client */

static struct connection *of_link(struct link *link)
{
        return container_of(link, struct connection, to_client);
}

static void on_sending(struct link *link, const uint8_t *data, size_t n)
{
        struct connection *c = of_link(link);

        connection_touch(c);
        log_bytes(c, LOG_SENDING, "sending", data, n);
}

static void on_empty(struct link *link)
{
        struct connection *c = of_link(link);

        connection_touch(c);
        if (log_wants(LOG_QUEUE_EMPTY)) {
                const struct log_about about = connection_about(c);

                log_write(LOG_QUEUE_EMPTY, &about, "queue empty");
        }
}

static void on_done(struct link *link)
{
        struct connection *c = of_link(link);

        c->mode->done(c, link);
}

static void on_link_error(struct link *link, int error)
{
        connection_close(of_link(link), error_reason(error));
}

static const struct link_events to_client_events = {
        .on_sending = on_sending,
        .on_empty = on_empty,
        .on_done = on_done,
        .on_error = on_link_error,
};

void connection_link_client(struct connection *c, struct stream *from)
{
        link_init(&c->to_client, from, &c->client, &to_client_events);
}

/* Idle time */

static int arm_idle(struct connection *c, uint64_t usec)
{
        const struct timeval wait = loop_timeval(usec);

        return evtimer_add(c->idle, &wait) < 0 ? -ENOMEM : 0;
}

/*
 * The timer is not moved with each byte: when it fires it looks when the last one moved. Bytes that
 * selectd itself holds back, and a queue that shrinks, are not idleness.
 */
static void on_idle_timer(evutil_socket_t fd, short what, void *arg)
{
        struct connection *c = arg;
        uint64_t timeout = c->service->idle_timeout_usec;
        uint64_t sent = stream_sent(&c->client), quiet;

        (void)fd;
        (void)what;
        if (link_is_waiting(&c->to_client) || sent != c->idle_sent)
                connection_touch(c);
        c->idle_sent = sent;
        quiet = loop_now_usec() - c->active_usec;
        if (quiet >= timeout)
                connection_close(c, "idle timeout");
        else if (arm_idle(c, timeout - quiet) < 0)
                connection_close(c, error_reason(-ENOMEM));
}

static int set_idle_timeout(struct connection *c, uint64_t usec)
{
        if (usec == 0) {
                if (c->idle)
                        event_free(c->idle);
                c->idle = NULL;
                return 0;
        }
        if (!c->idle) {
                c->idle = evtimer_new(loop_base(c->client.loop), on_idle_timer, c);
                if (!c->idle)
                        return -ENOMEM;
                connection_touch(c);
        }
        return arm_idle(c, usec);
}

/* The life of a connection */

static void name_client(struct connection *c, const struct address *peer)
{
        char text[ADDRESS_TEXT_SIZE];
        struct ucred cred;
        socklen_t length = sizeof(cred);

        if (peer->sa.sa_family == AF_UNIX &&
            getsockopt(c->client.fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) == 0)
                (void)snprintf(text, sizeof(text), "unix:pid=%d,uid=%u", cred.pid, cred.uid);
        else
                address_format(peer, text);
        (void)snprintf(c->client_name, sizeof(c->client_name), "%.*s", CONNECTION_CLIENT_SIZE - 1,
                       text);
}

static void connection_free(struct connection *c)
{
        if (c->idle)
                event_free(c->idle);
        link_deinit(&c->to_client);
        stream_deinit(&c->client);
        config_unref(c->config);
        free(c);
}

static void release(struct loop_task *task)
{
        struct connection *c = container_of(task, struct connection, release);

        stream_deinit(&c->client); /* its descriptor is free when the owner hears of it */
        c->owner->on_closed(c->owner, c);
        connection_free(c);
}

static int connection_configure(struct connection *c)
{
        int r = link_set_delay(&c->to_client, c->service->send_delay_usec,
                               c->service->message_bytes);

        if (r < 0 || c->reason) /* a shorter delay sends, and sending can fail */
                return r;
        return set_idle_timeout(c, c->service->idle_timeout_usec);
}

/* Begins the session on a connection that owns its socket. */
static int connection_open(struct connection *c)
{
        int r = c->mode->open(c);

        if (r == 0)
                r = connection_configure(c);
        return r < 0 ? r : stream_resume(&c->client);
}

int connection_new(struct loop *loop, struct config *config, const struct service *service, int fd,
                   const struct address *peer, uint64_t id, struct connection_owner *owner,
                   struct connection **out)
{
        struct connection *c = calloc(1, sizeof(*c));
        struct log_about about;
        int r;

        if (!c)
                return -ENOMEM;
        r = stream_init(&c->client, loop, fd, &client_events);
        if (r < 0) {
                free(c);
                return r;
        }
        c->owner = owner;
        c->mode = modes[service->mode];
        c->config = config_ref(config);
        c->service = service;
        c->release.run = release;
        c->id = id;
        c->began_usec = loop_now_usec();
        name_client(c, peer);

        r = connection_open(c);
        if (r < 0) {
                stream_stop(&c->client);
                c->client.fd = -1; /* stays the caller's */
                connection_free(c);
                return r;
        }
        about = connection_about(c);
        log_write(LOG_CONNECTED, &about, "connected");
        *out = c;
        return 0;
}

static void log_closed(const struct connection *c)
{
        const struct log_ending ending = {
                .bytes_in = c->client.in,
                .bytes_out = stream_sent(&c->client),
                .duration_usec = loop_now_usec() - c->began_usec,
                .reason = c->reason,
        };
        struct log_about about = connection_about(c);

        about.ending = &ending;
        log_write(LOG_CLOSED, &about, "closed: %s, %" PRIu64 " B in, %" PRIu64 " B out, %.3f s",
                  ending.reason, ending.bytes_in, ending.bytes_out,
                  (double)ending.duration_usec / (double)USEC_PER_SEC);
}

void connection_close(struct connection *c, const char *reason)
{
        if (c->reason)
                return;
        c->reason = reason;
        log_closed(c);
        if (c->idle)
                (void)evtimer_del(c->idle);
        link_stop(&c->to_client);
        stream_stop(&c->client);
        loop_defer(c->client.loop, &c->release);
}

void connection_reconfigure(struct connection *c, struct config *config)
{
        const struct service *service = config_find_service(config, c->service->name);
        int r;

        if (c->reason || !service || service->mode != c->service->mode)
                return;
        config_ref(config);
        config_unref(c->config);
        c->config = config;
        c->service = service;
        r = connection_configure(c);
        if (r < 0)
                connection_close(c, error_reason(r));
}
