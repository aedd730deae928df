/* SPDX-License-Identifier: MIT */
/*
 * A service at run time. It is made when a configuration first names it, and lives as long as the
 * set of services, a listening socket, a client on its way to a worker or a connection holds a
 * reference. A new configuration replaces its settings, and the service stays the same.
 *
 * Each worker has a shard of the service, which only that worker uses.
 *
 * Thread: any, unless a member says otherwise.
 */
#pragma once

#include "bucket.h"
#include "counters.h"
#include "service_config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct connection;
struct member;
struct service;

/* A change of a service that a worker has yet to apply. */
struct service_change {
        STAILQ_ENTRY(service_shard) entry;
        struct service_config *config; /* the newest settings, a reference; NULL: nothing to do */
        uint64_t end_to_id;            /* see sessions_change_service() */
};

/* No two threads write to one line of the cache. The size is that of x86-64 and most ARM64. */
#define CACHE_LINE_BYTES 64

/* A worker's shard of a service. Thread: that worker's, unless a member says otherwise. */
struct service_shard {
        _Alignas(CACHE_LINE_BYTES) struct counters counters;
        struct service *service;
        struct service_change pending; /* protected by the worker's lock */
        struct service_change current; /* the worker has taken it */
        LIST_HEAD(, connection) connections;
        LIST_HEAD(, member) members; /* of the hub, while there are any */
};

/**
 * service_new() - make a service
 * @n_shards: the number of workers
 * @out:      set to the service, with one reference
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int service_new(const char *name, size_t n_shards, struct service **out);

/* Return: @service, with one more reference. */
struct service *service_ref(struct service *service);

/**
 * service_unref() - return a reference; the last one frees the service
 * Return: NULL.
 */
struct service *service_unref(struct service *service);

/* For _cleanup_(). */
static inline void service_unrefp(struct service **service)
{
        service_unref(*service);
}

/* Return: whether the caller's reference is the only one. */
bool service_is_unused(const struct service *service);

const char *service_name(const struct service *service);

/* Return: the shard of a worker. */
struct service_shard *service_shard(struct service *service, size_t worker);

/* Counts a client that is turned away. Thread: main. */
void service_count_turned_away(struct service *service, enum turned_away why);

/* Sets @sum to what all workers and the main thread have counted. */
void service_count(const struct service *service, struct counters *sum);

/* Clients that wait for an upstream */

/* Counts one more client, unless there are @max; 0: no limit. Return: whether it was counted. */
bool service_begin_dialing(struct service *service, uint64_t max);

/* Takes a client off the count again. */
void service_end_dialing(struct service *service);

/* Shared buckets */

/* Connections that agree in all of these share a bucket. */
struct bucket_key {
        const char *group; /* the name of the group of conditions */
        enum direction direction;
        uint64_t rate, burst_bytes;
};

/**
 * service_take_bucket() - find or make the bucket that connections share
 * @out: set to the bucket, with a reference for the caller
 *
 * An unused bucket is kept until it is full again, so that clients that come one after the other
 * do not each get a burst.
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int service_take_bucket(struct service *service, const struct bucket_key *key,
                                   struct bucket **out);
