/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: a rate in bytes a second, and a burst that may leave at once.
 *
 * A sender reserves tokens and learns when it may send. Reservations are served in the order in
 * which they are made, so that no sender of a shared bucket starves and none has to ask again.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
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
 * bucket_unref() - return a reference; the last one frees the bucket
 * Return: NULL.
 */
struct bucket *bucket_unref(struct bucket *bucket);

/**
 * bucket_reserve() - take tokens for @n bytes
 * @from_usec: when the bytes were ready to be sent, on CLOCK_MONOTONIC: now or earlier
 * @rate:      bytes a second, at least 1
 * @burst:     bytes that may leave at once after a pause, at least @n; 0: each reservation waits
 *             for @n / @rate, after @from_usec and after the reservation before it
 *
 * Return: when they may leave: @from_usec or later.
 */
uint64_t bucket_reserve(struct bucket *bucket, uint64_t from_usec, size_t n, uint64_t rate,
                        uint64_t burst);

/* Returns the tokens of a reservation that is not used. */
void bucket_return(struct bucket *bucket, size_t n, uint64_t rate);

/* Fills the bucket. */
void bucket_fill(struct bucket *bucket);

/* Return: whether the caller holds the only reference, and the bucket is full at @now_usec. */
bool bucket_is_unused(struct bucket *bucket, uint64_t now_usec);
