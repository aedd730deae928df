/* Hops, in a hash table by port: of sockets of one host, ports alone hardly ever meet. */
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

/* Return: whether it is an internet address, which alone can be told apart. */
static bool make_key(const struct address *address, struct hops_key *key)
{
        *key = (struct hops_key){ .port = (uint16_t)address_port(address) };
        if (address->sa.sa_family == AF_INET) {
                memset(key->ip + 10, 0xff, 2);
                memcpy(key->ip + 12, &address->in.sin_addr, 4);
        } else if (address->sa.sa_family == AF_INET6) {
                memcpy(key->ip, &address->in6.sin6_addr, 16);
        }
        return key->port > 0;
}

static bool equal(const struct hops_key *a, const struct hops_key *b)
{
        return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
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

unsigned hops_before(struct hops *hops, const struct address *peer)
{
        struct hops_key key;
        const struct hop *hop;
        unsigned depth = 0;

        if (!make_key(peer, &key))
                return 0;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_FOREACH(hop, &hops->buckets[key.port % BUCKETS], entry)
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

void hops_add(struct hops *hops, struct hop *hop, const struct address *local, unsigned depth)
{
        if (!make_key(local, &hop->key))
                return;
        hop->depth = depth;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_INSERT_HEAD(&hops->buckets[hop->key.port % BUCKETS], hop, entry);
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
