/* SPDX-License-Identifier: MIT */
/* The living service. */
#include "service.h"
#include "counter.h"
#include "timer.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A bucket that connections of the service share. */
struct shared_bucket {
        LIST_ENTRY(shared_bucket) entry;
        struct bucket_key key;
        char *group;           /* of @key */
        struct bucket *bucket; /* a reference */
};

struct service {
        unsigned refs;
        char *name;
        uint64_t n_dialing;
        pthread_mutex_t lock; /* protects @buckets */
        LIST_HEAD(, shared_bucket) buckets;
        struct counters main; /* of the main thread */
        size_t n_shards;
        struct service_shard shards[];
};

int service_new(const char *name, size_t n_shards, struct service **out)
{
        size_t size = sizeof(struct service) + n_shards * sizeof(struct service_shard);
        _cleanup_(service_unrefp) struct service *service = aligned_alloc(CACHE_LINE_BYTES, size);

        if (!service)
                return -ENOMEM;
        memset(service, 0, size);
        service->refs = 1;
        (void)pthread_mutex_init(&service->lock, NULL);
        LIST_INIT(&service->buckets);
        for (size_t i = 0; i < n_shards; i++) {
                service->shards[i].service = service;
                LIST_INIT(&service->shards[i].connections);
                LIST_INIT(&service->shards[i].members);
        }
        service->n_shards = n_shards;
        service->name = strdup(name);
        if (!service->name)
                return -ENOMEM;
        *out = service;
        service = NULL;
        return 0;
}

struct service *service_ref(struct service *service)
{
        (void)__atomic_add_fetch(&service->refs, 1, __ATOMIC_RELAXED);
        return service;
}

static void shared_bucket_free(struct shared_bucket *shared)
{
        bucket_unref(shared->bucket);
        free(shared->group);
        free(shared);
}

struct service *service_unref(struct service *service)
{
        struct shared_bucket *shared;

        if (!service || __atomic_sub_fetch(&service->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        while ((shared = LIST_FIRST(&service->buckets))) {
                LIST_REMOVE(shared, entry);
                shared_bucket_free(shared);
        }
        (void)pthread_mutex_destroy(&service->lock);
        free(service->name);
        free(service);
        return NULL;
}

bool service_is_unused(const struct service *service)
{
        return __atomic_load_n(&service->refs, __ATOMIC_ACQUIRE) == 1;
}

const char *service_name(const struct service *service)
{
        return service->name;
}

struct service_shard *service_shard(struct service *service, size_t worker)
{
        return &service->shards[worker];
}

void service_count_turned_away(struct service *service, enum turned_away why)
{
        counter_add(&service->main.turned_away[why], 1);
}

void service_count(const struct service *service, struct counters *sum)
{
        memset(sum, 0, sizeof(*sum));
        counters_add_up(sum, &service->main);
        for (size_t i = 0; i < service->n_shards; i++)
                counters_add_up(sum, &service->shards[i].counters);
}

/* Clients that wait for an upstream */

bool service_begin_dialing(struct service *service, uint64_t max)
{
        uint64_t n = __atomic_add_fetch(&service->n_dialing, 1, __ATOMIC_RELAXED);

        if (max == 0 || n <= max)
                return true;
        service_end_dialing(service);
        return false;
}

void service_end_dialing(struct service *service)
{
        (void)__atomic_sub_fetch(&service->n_dialing, 1, __ATOMIC_RELAXED);
}

/* Shared buckets */

static bool is_same(const struct bucket_key *a, const struct bucket_key *b)
{
        return a->direction == b->direction && a->rate == b->rate &&
               a->burst_bytes == b->burst_bytes && strcmp(a->group, b->group) == 0;
}

static int shared_bucket_new(const struct bucket_key *key, struct shared_bucket **out)
{
        struct shared_bucket *shared = calloc(1, sizeof(*shared));

        if (!shared)
                return -ENOMEM;
        shared->key = *key;
        shared->key.group = shared->group = strdup(key->group);
        if (!shared->group || bucket_new(&shared->bucket) < 0) {
                shared_bucket_free(shared);
                return -ENOMEM;
        }
        *out = shared;
        return 0;
}

/* Frees the buckets that nobody uses and that a new one would equal. */
static void prune_buckets(struct service *service)
{
        struct shared_bucket *shared, *next;
        uint64_t now = now_usec();

        for (shared = LIST_FIRST(&service->buckets); shared; shared = next) {
                next = LIST_NEXT(shared, entry);
                if (!bucket_is_unused(shared->bucket, now))
                        continue;
                LIST_REMOVE(shared, entry);
                shared_bucket_free(shared);
        }
}

/* Return: 0; -ENOMEM. */
static int take_bucket(struct service *service, const struct bucket_key *key, struct bucket **out)
{
        struct shared_bucket *shared;
        int r;

        LIST_FOREACH(shared, &service->buckets, entry) {
                if (!is_same(&shared->key, key))
                        continue;
                *out = bucket_ref(shared->bucket);
                return 0;
        }
        prune_buckets(service);
        r = shared_bucket_new(key, &shared);
        if (r < 0)
                return r;
        LIST_INSERT_HEAD(&service->buckets, shared, entry);
        *out = bucket_ref(shared->bucket);
        return 0;
}

int service_take_bucket(struct service *service, const struct bucket_key *key, struct bucket **out)
{
        int r;

        (void)pthread_mutex_lock(&service->lock);
        r = take_bucket(service, key, out);
        (void)pthread_mutex_unlock(&service->lock);
        return r;
}
