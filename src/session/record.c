/* SPDX-License-Identifier: MIT */
#include "record.h"
#include "connection.h"
#include "escape.h"

#include <inttypes.h>

/* The bytes of each read and send that log_payload shows. */
#define PAYLOAD_SHOWN_BYTES 64

struct log_about connection_about(const struct connection *c)
{
        return (struct log_about){
                .service = service_name(c->shard->service),
                .client = c->client_name,
                .connection = c->id,
        };
}

/* Bytes */

/*
 * Logs "received 5 bytes", or for an upstream "received 5 bytes from 127.0.0.1:5432". With
 * log_payload, the bytes follow.
 */
__attribute__((noinline)) static void write_bytes(const struct side *side, enum log_kind kind,
                                                  const struct share *share)
{
        const struct log_about about = connection_about(side->connection);
        const char *verb = kind == LOG_RECEIVED ? "received" : "sending";
        const char *way = !side->name ? "" : kind == LOG_RECEIVED ? " from " : " to ";
        const char *name = side->name ? side->name : "";
        char payload[ESCAPE_SIZE(PAYLOAD_SHOWN_BYTES)];
        bool cut = share->n > PAYLOAD_SHOWN_BYTES;

        if (share->place != SHARE_MEMORY || !side->connection->owner->log_payload) {
                log_write(kind, &about, "%s %zu bytes%s%s", verb, share->n, way, name);
                return;
        }
        escape_bytes(payload, share->data, cut ? PAYLOAD_SHOWN_BYTES : share->n);
        log_write(kind, &about, "%s %zu bytes%s%s \"%s\"%s", verb, share->n, way, name, payload,
                  cut ? "…" : "");
}

/* Every message passes here twice. With write_bytes() inlined, that took 61 instructions more. */
void record_bytes(const struct side *side, enum log_kind kind, const struct share *share)
{
        if (log_wants(kind))
                write_bytes(side, kind, share);
}

/* The end */

/*
 * Names the conditions that affected the session: "to_client: latency, rate; to_upstream: stall;
 * reset_after". Return: @out; NULL: none did.
 */
static const char *describe_faults(const struct connection *c, char *out, size_t size)
{
        const unsigned faults[] = {
                c->started ? link_faults(&c->sides[0]->link) : 0,
                c->started && c->n_sides == 2 ? link_faults(&c->sides[1]->link) : 0,
                c->faults.played,
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

/* Return: "; lost: 5 B to client, 7 B to upstream"; "": no byte is lost. */
static const char *describe_losses(const struct connection *c, const struct losses *lost, char *out,
                                   size_t size)
{
        size_t n = 0;

        out[0] = '\0';
        if (lost->to_client)
                n += (size_t)snprintf(out, size, "; lost: %" PRIu64 " B to client",
                                      lost->to_client);
        if (lost->to_other)
                (void)snprintf(out + n, size - n, "%s%" PRIu64 " B to %s",
                               n ? ", " : "; lost: ", lost->to_other, c->mode->receiver);
        return out;
}

void record_end(const struct connection *c, const char *reason, const struct losses *lost)
{
        char fault[3 * (CONDITIONS_TEXT_SIZE + 16)], loss[128];
        const struct log_ending ending = {
                .bytes_in = c->client.stream.in,
                .bytes_out = stream_sent(&c->client.stream),
                .bytes_lost = lost->to_client + lost->to_other,
                .duration_usec = now_usec() - c->began_usec,
                .reason = reason,
                .fault = describe_faults(c, fault, sizeof(fault)),
        };
        struct log_about about = connection_about(c);

        about.ending = &ending;
        log_write(LOG_CLOSED, &about,
                  "closed: %s, %" PRIu64 " B in, %" PRIu64 " B out, %.3f s%s%s%s", reason,
                  ending.bytes_in, ending.bytes_out,
                  (double)ending.duration_usec / (double)USEC_PER_SEC,
                  describe_losses(c, lost, loss, sizeof(loss)),
                  ending.fault ? "; affected by " : "", ending.fault ? ending.fault : "");
}
