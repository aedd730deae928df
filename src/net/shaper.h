/* SPDX-License-Identifier: MIT */
/*
 * A shaper holds bytes until they are due by its conditions.
 *
 * It keeps chunks in order, one for each shaper_put(), and the end of the stream behind them. They
 * wait for, one after the other:
 *
 *   latency      each chunk is due this long after it arrived, plus or minus jitter; chunks overlap
 *   send delay   each chunk leaves this long after the chunk before it left (the article's delay)
 *   slices       each chunk leaves in pieces, with a pause between any two pieces
 *   rate         each piece waits until its bytes and those before it have been paid for with
 *                tokens; the burst is free. At a rate of 0 no piece leaves
 *   stall        during a stall nothing leaves
 *   limit        after this many bytes the connection is over; with a limit of 0, when the first
 *                byte would leave
 *
 * Two conditions act on arriving chunks before all of these. With discard, no chunk is kept. With
 * reset_after_data, the first chunk is not kept, and later chunks are held until the connection is
 * reset or the condition is removed.
 *
 * Several groups of conditions may apply at once; fate.h describes their joint effect.
 *
 * A shaper is plain state: the bytes, a list of (arrival, delay, length), and a few moments and
 * counters.
 *
 * Thread: the loop's.
 */
#pragma once

#include "fate.h"
#include "loop.h"

struct shaper;

/* The settings of a shaper. */
struct shaping {
        struct fates *fates;      /* valid until shaper_set() or shaper_free(); NULL: none */
        uint64_t send_delay_usec; /* 0: none */
        uint64_t hold_bytes; /* a shaper that holds this much, counting its book-keeping, is full */
        uint64_t out_bytes;  /* for shaper_new(): bytes that have left in this direction before */
};

/* What shaper_take() found. */
enum shaper_event {
        SHAPER_NOTHING, /* nothing is due; on_due follows */
        SHAPER_BYTES,
        SHAPER_END,  /* the end of the stream */
        SHAPER_OVER, /* a group ends the connection: see shaper_is_over() */
};

/* Whether this shaping needs a shaper. */
bool shaping_is_needed(const struct shaping *shaping);

/**
 * shaper_new() - make an empty shaper
 * @on_due: called with @arg when a piece is due, or when shaper_is_over() becomes true; it may free
 *          the shaper
 * @out:    set to the shaper; freed with shaper_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int shaper_new(struct loop *loop, const struct shaping *shaping,
                          void (*on_due)(void *arg), void *arg, struct shaper **out);

/**
 * shaper_free() - free a shaper and the bytes that it holds
 * Return: NULL.
 */
struct shaper *shaper_free(struct shaper *shaper);

/**
 * shaper_set() - change the shaping
 *
 * Held bytes wait no longer than the new shaping says: without a latency, a delay, a rate and a
 * stall they are due at once. If a group that has discarded bytes does not apply any more, the
 * connection is over, because its stream has a hole.
 *
 * Return: 0; -ENOMEM: the shaping has changed, but the connection may end too late.
 */
_must_use_ int shaper_set(struct shaper *shaper, const struct shaping *shaping);

/**
 * shaper_put() - append one chunk
 * @n: 1 to LOOP_SCRATCH_BYTES
 *
 * A full shaper still accepts the chunk; its source should pause.
 *
 * Return: 0; -ENOMEM: nothing was taken.
 */
_must_use_ int shaper_put(struct shaper *shaper, const void *data, size_t n);

/* Appends the end of the stream. Return: as shaper_put(). */
_must_use_ int shaper_put_end(struct shaper *shaper);

/**
 * shaper_take() - remove the first piece, if it is due
 * @buffer: LOOP_SCRATCH_BYTES bytes
 * @n:      set to the length of the piece; 0: none
 * @event:  set to what was found
 *
 * Return: 0; -ENOMEM: the timer for the next piece could not be set.
 */
_must_use_ int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n,
                           enum shaper_event *event);

/**
 * shaper_yield() - call on_due in the next turn of the loop, because more may be due
 * Return: 0; -ENOMEM.
 */
_must_use_ int shaper_yield(struct shaper *shaper);

/**
 * shaper_is_over() - ask whether a group ends the connection now
 * @end: set to how the group ends it, if it does
 */
bool shaper_is_over(struct shaper *shaper, struct fate_end *end);

/* Return: the faults that have happened so far: bits of enum conditions_fault. */
unsigned shaper_faults(const struct shaper *shaper);

/* Return: the held bytes of the stream. */
size_t shaper_bytes(const struct shaper *shaper);

/* Return: the held bytes with their book-keeping. */
size_t shaper_held(const struct shaper *shaper);

/* Whether the shaper holds neither bytes nor the end of the stream. */
bool shaper_is_empty(const struct shaper *shaper);

/* Whether the shaper holds bytes. */
bool shaper_has_bytes(const struct shaper *shaper);

/* Whether the shaper holds @hold_bytes or more. */
bool shaper_is_full(const struct shaper *shaper);

/* Whether the shaper holds something that will be due without a further call. */
bool shaper_is_waiting(const struct shaper *shaper);
