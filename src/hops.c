/* Hops, in a hash table by the local port, which few share. */
#include "hops.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define BUCKETS 1024

struct hops {
        pthread_mutex_t lock;
        unsigned limit;
        LIST_HEAD(, hop) buckets[BUCKETS];
};

static void make_end(const struct address *address, struct hops_end *end)
{
        *end = (struct hops_end){ .port = (uint16_t)address_port(address) };
        if (address->sa.sa_family == AF_INET) {
                memset(end->ip + 10, 0xff, 2);
                memcpy(end->ip + 12, &address->in.sin_addr, 4);
        } else if (address->sa.sa_family == AF_INET6) {
                memcpy(end->ip, &address->in6.sin6_addr, 16);
        }
}

/* Return: whether these are internet addresses, which alone can be told apart. */
static bool make_key(const struct address *from, const struct address *to, struct hops_key *key)
{
        make_end(from, &key->from);
        make_end(to, &key->to);
        if (address_is_any(to))
                memcpy(key->to.ip, key->from.ip, sizeof(key->to.ip));
        return key->from.port && key->to.port;
}

static bool equal_ends(const struct hops_end *a, const struct hops_end *b)
{
        return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool equal(const struct hops_key *a, const struct hops_key *b)
{
        return equal_ends(&a->from, &b->from) && equal_ends(&a->to, &b->to);
}

int hops_new(struct hops **out)
{
        struct hops *hops = calloc(1, sizeof(*hops));

        if (!hops)
                return -ENOMEM;
        (void)pthread_mutex_init(&hops->lock, NULL);
        *out = hops;
        return 0;
}

struct hops *hops_free(struct hops *hops)
{
        if (hops)
                (void)pthread_mutex_destroy(&hops->lock);
        free(hops);
        return NULL;
}

void hops_set_limit(struct hops *hops, unsigned limit)
{
        (void)pthread_mutex_lock(&hops->lock);
        hops->limit = limit;
        (void)pthread_mutex_unlock(&hops->lock);
}

unsigned hops_before(struct hops *hops, const struct address *peer, const struct address *local)
{
        struct hops_key key;
        const struct hop *hop;
        unsigned depth = 0;

        if (!make_key(peer, local, &key))
                return 0;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_FOREACH(hop, &hops->buckets[key.from.port % BUCKETS], entry)
                if (equal(&hop->key, &key))
                        depth = hop->depth;
        (void)pthread_mutex_unlock(&hops->lock);
        return depth;
}

bool hops_exceeds(struct hops *hops, unsigned depth)
{
        bool exceeds;

        (void)pthread_mutex_lock(&hops->lock);
        exceeds = depth > hops->limit;
        (void)pthread_mutex_unlock(&hops->lock);
        return exceeds;
}

void hops_add(struct hops *hops, struct hop *hop, const struct address *local,
              const struct address *peer, unsigned depth)
{
        if (!make_key(local, peer, &hop->key))
                return;
        hop->depth = depth;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_INSERT_HEAD(&hops->buckets[hop->key.from.port % BUCKETS], hop, entry);
        (void)pthread_mutex_unlock(&hops->lock);
}

void hops_remove(struct hops *hops, struct hop *hop)
{
        if (!hop->depth)
                return;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_REMOVE(hop, entry);
        (void)pthread_mutex_unlock(&hops->lock);
        *hop = (struct hop){ 0 };
}
