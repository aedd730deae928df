/* SPDX-License-Identifier: MIT */
/* The life of a connection: its beginning, the callbacks of its streams and links, its settings. */
#include "connection.h"
#include "counter.h"
#include "greeter.h"
#include "quantity.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Sides */

static struct side *of_stream(struct stream *stream)
{
        return container_of(stream, struct side, stream);
}

static struct side *of_link(struct link *link)
{
        return container_of(link, struct side, link);
}

struct side *connection_other(const struct side *side)
{
        const struct connection *c = side->connection;

        return side == &c->client ? c->sides[c->n_sides - 1] : c->sides[0];
}

static void on_data(struct stream *stream, struct share *share)
{
        struct side *side = of_stream(stream);
        struct connection *c = side->connection;

        idle_touch(c);
        record_bytes(side, LOG_RECEIVED, share);
        if (c->mode->put)
                c->mode->put(side, share);
        else
                link_put_shared(&connection_other(side)->link, share);
}

static void on_end(struct stream *stream)
{
        struct side *side = of_stream(stream);

        if (side->connection->ending.failed)
                connection_advance(side->connection);
        else
                link_end(&connection_other(side)->link);
}

static void on_exception(struct stream *stream)
{
        struct connection *c = of_stream(stream)->connection;
        const struct log_about about = connection_about(c);

        log_write(LOG_EXCEPTION, &about, "exception condition");
        connection_close(c, REASON_EXCEPTION);
}

static void on_stream_error(struct stream *stream, int error)
{
        connection_fail(of_stream(stream), error);
}

/* Completes an upstream's options. A client's socket has inherited all of them. */
static void on_settled(struct stream *stream)
{
        const struct side *side = of_stream(stream);
        const struct connection *c = side->connection;

        if (side != &c->client)
                socket_options_complete(&c->config->socket, stream->fd);
}

static const struct stream_events carrying_stream_events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_error = on_stream_error,
        .on_settled = on_settled,
};

/* For an echo: urgent data ends the session. */
static const struct stream_events echo_stream_events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_exception,
        .on_error = on_stream_error,
};

static void on_sending(struct link *link, const struct share *share)
{
        struct side *side = of_link(link);

        idle_touch(side->connection);
        record_bytes(side, LOG_SENDING, share);
}

static void on_empty(struct link *link)
{
        struct connection *c = of_link(link)->connection;

        idle_touch(c);
        if (log_wants(LOG_QUEUE_EMPTY)) {
                const struct log_about about = connection_about(c);

                log_write(LOG_QUEUE_EMPTY, &about, "queue empty");
        }
        connection_advance(c);
}

static void on_done(struct link *link)
{
        struct side *side = of_link(link);
        struct connection *c = side->connection;
        int r;

        if (c->open_links == 1) {
                connection_close(c, REASON_END_OF_STREAM); /* this passes on the last end */
                return;
        }
        r = stream_shutdown(&side->stream);
        if (r < 0)
                connection_fail(side, r);
        else
                c->open_links--;
}

static void on_link_error(struct link *link, int error)
{
        connection_fail(of_link(link), error);
}

static void on_over(struct link *link, const struct fate_end *end)
{
        faults_end(of_link(link), end);
}

static void on_fault(struct link *link, unsigned faults)
{
        counters_count_faults(&of_link(link)->connection->shard->counters, faults);
}

static const struct link_events side_link_events = {
        .on_sending = on_sending,
        .on_empty = on_empty,
        .on_done = on_done,
        .on_fault = on_fault,
        .on_over = on_over,
        .on_error = on_link_error,
};

int side_init(struct side *side, struct connection *c, int fd, const char *name)
{
        int r = stream_init(&side->stream, c->loop, fd,
                            c->mode->receiver ? &carrying_stream_events : &echo_stream_events);

        if (r < 0)
                return r;
        stream_set_receive_buffer(&side->stream, c->config->socket.receive_buffer_bytes);
        side->connection = c;
        side->name = name;
        c->sides[c->n_sides++] = side;
        return 0;
}

void side_send_header(struct side *side, const uint8_t *data, size_t n)
{
        struct share share = share_of_memory(data, n);
        int r;

        record_bytes(side, LOG_SENDING, &share);
        r = stream_send_shared(&side->stream, &share);
        share_deinit(&share);
        if (r < 0)
                connection_fail(side, r);
}

/* The life of a connection */

static void name_client(struct connection *c, const struct address *peer)
{
        char text[ADDRESS_TEXT_SIZE];
        size_t n = strlen(address_format_client(c->client.stream.fd, peer, text));

        if (n >= sizeof(c->client_name))
                n = sizeof(c->client_name) - 1;
        memcpy(c->client_name, text, n);
        c->client_name[n] = '\0';
}

static void release(struct loop_task *task)
{
        struct connection *c = container_of(task, struct connection, release);

        for (unsigned i = 0; i < c->n_sides; i++) /* before on_closed */
                stream_deinit(&c->sides[i]->stream);
        if (c->mode->free)
                c->mode->free(c);
        LIST_REMOVE(c, of_shard);
        c->owner->on_closed(c->owner, c);
        faults_deinit(c);
        service_config_unref(c->config);
        service_unref(c->shard->service);
        free(c);
}

/* Settings */

/* Whether the session has ended, or will end when its last bytes have passed. */
static bool is_ending(const struct connection *c)
{
        return c->closed || c->ending.failed;
}

/* Bytes may be spliced if nothing needs to see them: they go into one link, and not into the log.
 */
static void allow_splicing(struct connection *c)
{
        bool allowed = !c->mode->put && !c->owner->log_payload;

        for (unsigned i = 0; c->started && i < c->n_sides; i++)
                link_allow_splicing(&c->sides[i]->link, allowed);
}

static void set_read_max(struct connection *c)
{
        stream_set_read_max(&connection_other(&c->client)->stream,
                            c->config->send_delay_usec ? c->config->message_bytes
                                                       : LOOP_SCRATCH_BYTES);
}

int connection_start(struct connection *c)
{
        int r;

        for (unsigned i = 0; i < c->n_sides; i++) {
                struct side *side = c->sides[i];

                link_init(&side->link, c->mode->put ? NULL : &connection_other(side)->stream,
                          &side->stream, &side_link_events);
                stream_set_total(&side->stream, side == &c->client ? &c->shard->counters.client
                                                                   : &c->shard->counters.upstream);
        }
        c->open_links = c->n_sides;
        c->started = true;
        allow_splicing(c);
        set_read_max(c);
        r = faults_play(c);
        if (r == 0 && !is_ending(c))
                r = idle_set(c);
        idle_touch(c); /* the wait for the other side does not count as idle time */
        for (unsigned i = 0; i < c->n_sides && r == 0 && !is_ending(c); i++)
                r = stream_resume(&c->sides[i]->stream);
        return r;
}

/* Begins the session when the client is known. @by: its proxy; NULL: none. */
static void connection_open(struct connection *c, const struct proxy_header *header, const char *by)
{
        const struct log_about about = connection_about(c);
        int r;

        log_write(LOG_CONNECTED, &about, "connected%s%s", by ? " by way of " : "", by ? by : "");
        r = faults_begin(c);
        c->opened = r == 0 && !c->closed;
        if (c->opened)
                r = faults_play(c);
        if (r == 0 && !c->closed)
                r = c->mode->open(c, header);
        if (r < 0)
                connection_reset_error(c, r);
}

/* Ends a session whose PROXY header is missing or wrong. */
static void reset_for_header(struct connection *c, int error)
{
        switch (error) {
        case -EPROTO:
                connection_reset_for(c, REASON_PROXY_HEADER, "malformed PROXY header");
                return;
        case -EMSGSIZE:
                connection_reset_for(c, REASON_PROXY_HEADER, "PROXY header too long");
                return;
        case -ETIMEDOUT:
                connection_reset_for(c, REASON_PROXY_HEADER, "no PROXY header in time");
                return;
        case -ENODATA:
                connection_reset_for(c, REASON_PROXY_HEADER,
                                     "end of stream before the PROXY header");
                return;
        default:
                connection_reset_error(c, error);
        }
}

static void on_header(void *arg, int error, const struct proxy_header *header)
{
        struct connection *c = arg;
        char proxy[CONNECTION_CLIENT_SIZE];

        if (error < 0) {
                reset_for_header(c, error);
                return;
        }
        c->greeter = greeter_free(c->greeter);
        memcpy(proxy, c->client_name, sizeof(proxy));
        if (header->source.sa.sa_family != AF_UNSPEC)
                name_client(c, &header->source);
        connection_open(c, header, proxy);
}

/* Waits for the PROXY header that every client of the service must send first. */
static void await_header(struct connection *c, const struct address *peer)
{
        const struct service_config *config = c->config;
        int r;

        for (size_t i = 0; i < config->n_proxy_from; i++) {
                if (!network_contains(&config->proxy_from[i], peer))
                        continue;
                r = greeter_new(c->loop, c->client.stream.fd, on_header, c, &c->greeter);
                if (r < 0)
                        connection_reset_error(c, r);
                return;
        }
        connection_reset(c, REASON_PROXY_FROM);
}

int connection_new(struct connection_owner *owner, const struct mode *mode,
                   struct service_shard *shard, const struct client *client,
                   struct connection **out)
{
        struct connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->owner = owner;
        c->loop = owner->loop;
        c->config = client->config;
        c->mode = mode;
        r = side_init(&c->client, c, client->fd, NULL);
        if (r < 0) {
                free(c);
                return r;
        }
        service_config_ref(c->config);
        c->shard = shard;
        service_ref(shard->service);
        LIST_INSERT_HEAD(&shard->connections, c, of_shard);
        counter_add(&shard->counters.accepted, 1);
        c->release.run = release;
        idle_init(c);
        faults_init(c);
        c->id = client->id;
        c->seed = owner->seed;
        c->began_usec = now_usec();
        name_client(c, &client->peer);
        *out = c;
        if (c->config->proxy_accept)
                await_header(c, &client->peer);
        else
                connection_open(c, NULL, NULL);
        return 0;
}

void connection_reconfigure(struct connection *c, struct service_config *config)
{
        struct service_config *before = c->config;
        int r = 0;

        if (config == c->config || is_ending(c) || config->mode != c->config->mode)
                return;
        c->config = service_config_ref(config);
        allow_splicing(c);
        if (c->started)
                set_read_max(c);
        if (c->opened)
                r = faults_change(c);
        if (r == 0 && !is_ending(c))
                r = idle_set(c);
        if (r < 0)
                connection_reset_error(c, r);
        service_config_unref(before); /* the previous fates point into it */
}

void connection_update_log(struct connection *c)
{
        if (!is_ending(c))
                allow_splicing(c);
}
