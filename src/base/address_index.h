/* SPDX-License-Identifier: MIT */
/*
 * An index of addresses. It finds an address that equals or overlaps a given one without comparing
 * all of them: with thousands of addresses a look-up takes about a microsecond, even when many
 * share a port.
 *
 * Thread: any, one at a time.
 */
#pragma once

#include "address.h"

struct address_index;

/**
 * address_index_new() - make an empty index
 * @max: how many addresses the index can hold
 * @out: set to the index; freed with address_index_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int address_index_new(size_t max, struct address_index **out);

/* Return: NULL. */
struct address_index *address_index_free(struct address_index *index);

/* For _cleanup_(). */
static inline void address_index_freep(struct address_index **index)
{
        address_index_free(*index);
}

/**
 * address_index_add() - add a copy of an address; the index must have room for it
 * @owner: whose address it is; the look-ups return this pointer
 */
void address_index_add(struct address_index *index, const struct address *address,
                       const void *owner);

/**
 * address_index_find_equal() - find an address that is address_equal() to @address
 * @owner: set to the owner of the address that was found; may be NULL
 *
 * Return: the address, which lives as long as the index; NULL: none was found.
 */
const struct address *address_index_find_equal(const struct address_index *index,
                                               const struct address *address, const void **owner);

/* Like address_index_find_equal(), but with address_overlaps() for address_equal(). */
const struct address *address_index_find_overlap(const struct address_index *index,
                                                 const struct address *address, const void **owner);

/* Like address_index_find_equal(), but finds an address at which a connection to @to arrives, as
 * address_reaches() says. */
const struct address *address_index_find_reached(const struct address_index *index,
                                                 const struct address *to, const void **owner);
