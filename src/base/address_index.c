/* SPDX-License-Identifier: MIT */
/*
 * The index is made of hash tables with chains. Every address is in a chain by its bytes, and in a
 * chain by its port. Wildcards have port chains of their own, because an address that is not a
 * wildcard overlaps only with its equal and with wildcards. A wildcard is compared with every
 * address of its port; a port has at most three different wildcards.
 */
#include "address_index.h"

#include <errno.h>
#include <stdint.h>

/* An item of a chain. Items are numbered from 1; 0 ends a chain. */
struct item {
        struct address address;
        const void *owner;
        uint32_t next_equal; /* in the chain of the same bytes */
        uint32_t next_port;  /* in the chain of the same port */
};

struct address_index {
        struct item *items; /* items[0] is not used */
        uint32_t n;
        uint32_t n_chains; /* of each of the following; a power of two */
        uint32_t *equal;
        uint32_t *wildcards, *others; /* by port */
};

int address_index_new(size_t max, struct address_index **out)
{
        _cleanup_(address_index_freep) struct address_index *index = calloc(1, sizeof(*index));

        if (!index)
                return -ENOMEM;
        index->n_chains = 1;
        while (index->n_chains < max)
                index->n_chains *= 2;
        index->items = calloc(max + 1, sizeof(*index->items));
        index->equal = calloc(index->n_chains, sizeof(*index->equal));
        index->wildcards = calloc(index->n_chains, sizeof(*index->wildcards));
        index->others = calloc(index->n_chains, sizeof(*index->others));
        if (!index->items || !index->equal || !index->wildcards || !index->others)
                return -ENOMEM;
        *out = index;
        index = NULL;
        return 0;
}

struct address_index *address_index_free(struct address_index *index)
{
        if (!index)
                return NULL;
        free(index->items);
        free(index->equal);
        free(index->wildcards);
        free(index->others);
        free(index);
        return NULL;
}

/* The head of the chain for the bytes of @address; the hash is FNV-1a. */
static uint32_t *equal_chain(const struct address_index *index, const struct address *address)
{
        const uint8_t *bytes = (const uint8_t *)&address->storage;
        uint32_t hash = 2166136261;

        for (socklen_t i = 0; i < address->length; i++)
                hash = (hash ^ bytes[i]) * 16777619;
        return &index->equal[(hash ^ hash >> 16) & (index->n_chains - 1)];
}

static uint32_t port_chain(const struct address_index *index, const struct address *address)
{
        return address_port(address) & (index->n_chains - 1);
}

/* Puts an item at the front of a chain. @next: the item's link in that chain. */
static void chain(uint32_t *first, uint32_t *next, uint32_t item)
{
        *next = *first;
        *first = item;
}

void address_index_add(struct address_index *index, const struct address *address,
                       const void *owner)
{
        uint32_t *of_port = address_is_any(address) ? index->wildcards : index->others;
        uint32_t number = ++index->n;
        struct item *item = &index->items[number];

        item->address = *address;
        item->owner = owner;
        chain(equal_chain(index, address), &item->next_equal, number);
        if (address_port(address))
                chain(&of_port[port_chain(index, address)], &item->next_port, number);
}

static const struct address *found(const struct item *item, const void **owner)
{
        if (owner)
                *owner = item->owner;
        return &item->address;
}

const struct address *address_index_find_equal(const struct address_index *index,
                                               const struct address *address, const void **owner)
{
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): made by address_index_new() */
        for (uint32_t i = *equal_chain(index, address); i; i = index->items[i].next_equal)
                if (address_equal(&index->items[i].address, address))
                        return found(&index->items[i], owner);
        return NULL;
}

/* Finds the first address in the chain of @address's port that overlaps with @address. */
static const struct address *find_in_port(const struct address_index *index, const uint32_t *chains,
                                          const struct address *address, const void **owner)
{
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): made by address_index_new() */
        for (uint32_t i = chains[port_chain(index, address)]; i; i = index->items[i].next_port)
                if (address_overlaps(&index->items[i].address, address))
                        return found(&index->items[i], owner);
        return NULL;
}

const struct address *address_index_find_overlap(const struct address_index *index,
                                                 const struct address *address, const void **owner)
{
        const struct address *other;

        if (address->sa.sa_family == AF_UNIX)
                return address_index_find_equal(index, address, owner);
        if (address_port(address) == 0)
                return NULL;
        other = address_index_find_equal(index, address, owner);
        if (!other)
                other = find_in_port(index, index->wildcards, address, owner);
        if (!other && address_is_any(address))
                other = find_in_port(index, index->others, address, owner);
        return other;
}

const struct address *address_index_find_reached(const struct address_index *index,
                                                 const struct address *to, const void **owner)
{
        const struct address there = address_destination(to);

        const struct address *listen = address_index_find_equal(index, &there, owner);

        if (!listen && address_is_loopback(&there))
                listen = address_index_find_overlap(index, &there, owner);
        return listen;
}
