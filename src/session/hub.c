/* SPDX-License-Identifier: MIT */
/*
 * Hub. Each member's link goes back to itself, like an echo's, and what it sends is put into all
 * the links but its own: one read at a time, so that two members' reads never mix within one.
 * Nobody is slowed down for another; who has more than the quota waiting is reset.
 *
 * A member that ends its stream leaves: its own end follows as soon as nothing waits for it.
 *
 * A hub is there while it has members, all of them on one loop.
 */
#include "hub.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct member {
        LIST_ENTRY(member) entry;
        struct hub *hub; /* NULL: it has left */
        struct connection *connection;
};

struct hub {
        LIST_ENTRY(hub) entry;
        LIST_HEAD(, member) members;
        char *name;
};

/* The hub of that name, made if there is none; NULL: out of memory. */
static struct hub *hub_get(struct hub_list *hubs, const char *name)
{
        struct hub *hub;

        LIST_FOREACH(hub, hubs, entry)
                if (strcmp(hub->name, name) == 0)
                        return hub;
        hub = calloc(1, sizeof(*hub));
        if (!hub)
                return NULL;
        hub->name = strdup(name);
        if (!hub->name) {
                free(hub);
                return NULL;
        }
        LIST_INIT(&hub->members);
        LIST_INSERT_HEAD(hubs, hub, entry);
        return hub;
}

static int hub_open(struct connection *c, const struct proxy_header *header)
{
        struct hub *hub;

        (void)header;
        c->member = calloc(1, sizeof(*c->member));
        hub = c->member ? hub_get(&c->owner->hubs, c->service->name) : NULL;
        if (!hub)
                return -ENOMEM;
        c->member->hub = hub;
        c->member->connection = c;
        LIST_INSERT_HEAD(&hub->members, c->member, entry);
        return connection_start(c);
}

/* The member receives no more; the last one to leave ends the hub. */
static void hub_stop(struct connection *c)
{
        struct hub *hub = c->member ? c->member->hub : NULL;

        if (!hub)
                return;
        LIST_REMOVE(c->member, entry);
        c->member->hub = NULL;
        if (!LIST_EMPTY(&hub->members))
                return;
        LIST_REMOVE(hub, entry);
        free(hub->name);
        free(hub);
}

static void hub_free(struct connection *c)
{
        free(c->member);
}

static void hub_give(struct connection *c, struct share *share)
{
        uint64_t quota = c->service->quota_bytes;
        char reason[64];

        link_put_shared(&c->client.link, share);
        if (link_held(&c->client.link) <= quota)
                return;
        (void)snprintf(reason, sizeof(reason), "fell behind by more than %" PRIu64 " B", quota);
        connection_reset(c, reason);
}

static void hub_put(struct side *side, struct share *share)
{
        struct member *self = side->connection->member, *member, *next;

        /* One that is reset leaves the list; the next one stays. */
        for (member = LIST_FIRST(&self->hub->members); member; member = next) {
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
