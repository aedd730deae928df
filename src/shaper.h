/*
 * Holds bytes back until they are due.
 *
 * A shaper keeps chunks, one for each shaper_put(), in order. With a send delay, each chunk is due
 * that long after the one before it left, the first one that long after it arrived: three that
 * arrive at once at a delay of 5 s leave at 5, 10 and 15 s. It is plain state: the bytes, a list of
 * (arrival, length), the time of the last departure.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"

/* A shaper that holds this much, counting its own book-keeping, is full: its source must wait. */
#define SHAPER_HOLD_BYTES (256 * 1024)

struct shaper;

/**
 * shaper_new() - make an empty shaper without a delay
 * @on_due: called with @arg when the first chunk falls due; it may free the shaper
 * @out:    set to the shaper; freed with shaper_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int shaper_new(struct loop *loop, void (*on_due)(void *arg), void *arg,
                          struct shaper **out);

/**
 * shaper_free() - free a shaper and what it holds
 * Return: NULL.
 */
struct shaper *shaper_free(struct shaper *shaper);

/* The send delay from now on, for chunks already held too; 0: all are due. */
void shaper_set_delay(struct shaper *shaper, uint64_t usec);

/**
 * shaper_put() - append one chunk
 * @n: 1 to LOOP_SCRATCH_BYTES
 *
 * A full shaper takes it all the same: being full asks the source to stop, it does not refuse.
 *
 * Return: 0; -ENOMEM: nothing was taken.
 */
_must_use_ int shaper_put(struct shaper *shaper, const void *data, size_t n);

/**
 * shaper_take() - remove the first chunk, if it is due
 * @buffer: LOOP_SCRATCH_BYTES bytes
 *
 * @n:      set to the chunk's length; 0: none is due
 *
 * When the first chunk is not due yet, on_due will be called as soon as it is.
 *
 * Return: 0; -ENOMEM: nothing would tell when it is.
 */
_must_use_ int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n);

/* Bytes held, counting their book-keeping. */
size_t shaper_held(const struct shaper *shaper);

bool shaper_is_empty(const struct shaper *shaper);
bool shaper_is_full(const struct shaper *shaper);
