/* Hops, in a hash table by the local end, which few share. */
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

/* The abstract name that a unix socket is given to connect with (unix(7)); 0: it has none. */
static size_t own_name(const struct address *address)
{
        const size_t head = offsetof(struct sockaddr_un, sun_path);

        if (address->sa.sa_family != AF_UNIX || address->length <= head ||
            address->un.sun_path[0] != '\0')
                return 0;
        return address->length - head;
}

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

/* Return: whether these can be told apart from others. A name that a unix socket has is its own. */
static bool make_key(const struct address *from, const struct address *to, struct hops_key *key)
{
        size_t n = own_name(from);

        *key = (struct hops_key){ 0 };
        if (n > 0 && n <= sizeof(key->from.ip)) {
                memcpy(key->from.ip, from->un.sun_path, n);
                return true;
        }
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

static size_t bucket(const struct hops_key *key)
{
        size_t hash = key->from.port;

        for (size_t i = 0; i < sizeof(key->from.ip); i++)
                hash = hash * 31 + key->from.ip[i];
        return hash % BUCKETS;
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
        LIST_FOREACH(hop, &hops->buckets[bucket(&key)], entry) {
                if (!equal(&hop->key, &key))
                        continue;
                depth = hop->depth;
                break;
        }
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

static void add_locked(struct hops *hops, struct hop *hop, const struct address *local,
                       const struct address *peer)
{
        if (hop->added)
                LIST_REMOVE(hop, entry);
        hop->added = make_key(local, peer, &hop->key);
        if (hop->added)
                LIST_INSERT_HEAD(&hops->buckets[bucket(&hop->key)], hop, entry);
}

void hops_add(struct hops *hops, struct hop *hop, const struct address *local,
              const struct address *peer)
{
        (void)pthread_mutex_lock(&hops->lock);
        add_locked(hops, hop, local, peer);
        (void)pthread_mutex_unlock(&hops->lock);
}

/*
 * The other end may be accepted, on another thread, before connect(2) has returned here; but who
 * asks for it there waits for the lock. Connecting never blocks.
 */
int hops_connect(struct hops *hops, struct hop *hop, int fd, const struct address *peer,
                 struct address *local)
{
        struct address own = { .length = sizeof(own.storage) };
        int r = 0;

        (void)pthread_mutex_lock(&hops->lock);
        if (hop->added)
                LIST_REMOVE(hop, entry);
        hop->added = false;
        if ((connect(fd, &peer->sa, peer->length) < 0 && errno != EINPROGRESS) ||
            getsockname(fd, &own.sa, &own.length) < 0)
                r = -errno;
        else
                add_locked(hops, hop, &own, peer);
        (void)pthread_mutex_unlock(&hops->lock);
        if (r == 0)
                *local = own;
        return r;
}

void hops_remove(struct hops *hops, struct hop *hop)
{
        if (!hop->added)
                return;
        (void)pthread_mutex_lock(&hops->lock);
        LIST_REMOVE(hop, entry);
        hop->added = false;
        (void)pthread_mutex_unlock(&hops->lock);
}
