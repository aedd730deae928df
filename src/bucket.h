/*
 * A token bucket: so many bytes a second, and a burst of so many at once.
 *
 * Who wants to send reserves, and is told when he may: reservations are kept in the order they are
 * made, so that of many who share a bucket none is starved and none has to ask again.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdint.h>

struct bucket;

/**
 * bucket_new() - make a full bucket, with one reference
 * Return: 0; -ENOMEM.
 */
_must_use_ int bucket_new(struct bucket **out);

/* Return: @bucket, with one more reference. */
struct bucket *bucket_ref(struct bucket *bucket);

/**
 * bucket_unref() - give a reference back; the last one frees
 * Return: NULL.
 */
struct bucket *bucket_unref(struct bucket *bucket);

/**
 * bucket_reserve() - take tokens for @n bytes
 * @from_usec: when the bytes want to leave, of CLOCK_MONOTONIC: now or earlier
 * @rate:      bytes a second, at least 1
 * @burst:     bytes that may leave at once when nothing left for long: at least @n; or 0: each
 *             reservation waits for @n / @rate after @from_usec and after the one before it
 *
 * Return: when they may leave: @from_usec or later.
 */
uint64_t bucket_reserve(struct bucket *bucket, uint64_t from_usec, size_t n, uint64_t rate,
                        uint64_t burst);

/* Gives the tokens of a reservation back that is of no use any more. */
void bucket_return(struct bucket *bucket, size_t n, uint64_t rate);

/* Fills it. */
void bucket_fill(struct bucket *bucket);
