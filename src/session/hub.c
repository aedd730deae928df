/* SPDX-License-Identifier: MIT */
/*
 * Hub. Each member's link goes back to itself, like an echo's, and what it sends is put into all
 * the links but its own: one read at a time, so that two members' reads never mix within one.
 * Nobody is slowed down for another; who has more than the quota waiting is reset.
 *
 * A member that ends its stream leaves: its own end follows as soon as nothing waits for it.
 *
 * All members of a hub are on one worker, in its shard of the service.
 */
#include "hub.h"

#include <errno.h>
#include <inttypes.h>

struct member {
        LIST_ENTRY(member) entry;
        struct connection *connection;
        bool present; /* in the list */
};

static int hub_open(struct connection *c, const struct proxy_header *header)
{
        (void)header;
        c->member = calloc(1, sizeof(*c->member));
        if (!c->member)
                return -ENOMEM;
        c->member->connection = c;
        c->member->present = true;
        LIST_INSERT_HEAD(&c->shard->members, c->member, entry);
        return connection_start(c);
}

/* The member receives no more. */
static void hub_stop(struct connection *c)
{
        if (!c->member || !c->member->present)
                return;
        c->member->present = false;
        LIST_REMOVE(c->member, entry);
}

static void hub_free(struct connection *c)
{
        free(c->member);
}

static void hub_give(struct connection *c, struct share *share)
{
        uint64_t quota = c->config->quota_bytes;
        char reason[64];

        link_put_shared(&c->client.link, share);
        if (link_held(&c->client.link) <= quota)
                return;
        (void)snprintf(reason, sizeof(reason), "fell behind by more than %" PRIu64 " B", quota);
        connection_reset_for(c, REASON_FELL_BEHIND, reason);
}

static void hub_put(struct side *side, struct share *share)
{
        struct member *self = side->connection->member, *member, *next;
        struct service_shard *shard = side->connection->shard;

        /* One that is reset leaves the list; the next one stays. */
        for (member = LIST_FIRST(&shard->members); member; member = next) {
                next = LIST_NEXT(member, entry);
                if (member != self && !stream_has_ended(&member->connection->client.stream))
                        hub_give(member->connection, share);
        }
}

const struct mode hub_mode = {
        .receiver = "members",
        .open = hub_open,
        .put = hub_put,
        .stop = hub_stop,
        .free = hub_free,
};
