/* SPDX-License-Identifier: MIT */
/*
 * An index of addresses. It finds an address that equals or overlaps another one without comparing
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
 * @max: how many addresses it can hold
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
 * address_index_add() - add a copy of an address; at most as many as address_index_new() was told
 * @owner: whose address it is; the index only hands this pointer back
 */
void address_index_add(struct address_index *index, const struct address *address,
                       const void *owner);

/**
 * address_index_find_equal() - find an address that is address_equal() to @address
 * @owner: set to its owner if there is one; may be NULL
 *
 * Return: the address, which lives as long as the index; NULL: there is none.
 */
const struct address *address_index_find_equal(const struct address_index *index,
                                               const struct address *address, const void **owner);

/* As address_index_find_equal(), but finds an address that overlaps: see address_overlaps(). */
const struct address *address_index_find_overlap(const struct address_index *index,
                                                 const struct address *address, const void **owner);

/* As address_index_find_equal(), but finds an address that a connection to @to arrives at: see
 * address_reaches(). */
const struct address *address_index_find_reached(const struct address_index *index,
                                                 const struct address *to, const void **owner);
