/* SPDX-License-Identifier: MIT */
/*
 * Each member has one side, like an echo. The bytes of one read of a member are put into the links
 * of all others before the next read, so that reads of different members never mix. No member is
 * slowed down for another one; a member for which more than the quota waits is reset.
 *
 * A member that ends its stream leaves the hub. Its own end follows when no more bytes wait for it.
 *
 * All members of a hub are on one worker, in its shard of the service.
 */
#include "hub.h"

#include <errno.h>
#include <inttypes.h>

struct member {
        LIST_ENTRY(member) entry;
        struct connection *connection;
        bool present; /* it is in the list */
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

/* From now on the member receives nothing. */
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

        /* hub_give() may take this member out of the list, but not the next one. */
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
