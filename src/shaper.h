/*
 * Holds bytes back until they are due, and makes the line as bad as its conditions say.
 *
 * A shaper keeps chunks, one for each shaper_put(), in order, and the end of the stream behind
 * them. What they wait for, one after the other:
 *
 *   latency      each is due that long after it arrived, and jitter more or less; they overlap
 *   send delay   the article's: each leaves that long after the one before it left
 *   slices       each leaves in pieces, with a pause between any two
 *   rate         each piece waits for its tokens: until its own bytes and those before it have been
 *                paid for, but for the burst, which is free
 *   stall        for a while nothing leaves
 *   limit        after so many bytes it is over; a limit of 0 ends it when the first byte would
 * leave
 *
 * It is plain state: the bytes, a list of (arrival, delay, length), and a few moments and counters.
 *
 * Thread: the loop's.
 */
#pragma once

#include "bucket.h"
#include "conditions.h"
#include "loop.h"
#include "random.h"

struct shaper;

/* What a shaper goes by. */
struct shaping {
        const struct conditions *conditions; /* not NULL; copied */
        uint64_t send_delay_usec;            /* 0: none */
        uint64_t hold_bytes; /* a shaper that holds this much, counting its book-keeping, is full */
        uint64_t began_usec; /* the connection */
        uint64_t out_bytes;  /* that left this way before there was a shaper; looked at by a new one
                              */
};

/* What shaper_take() found. */
enum shaper_event {
        SHAPER_NOTHING, /* nothing is due: on_due will be called as soon as something is */
        SHAPER_BYTES,
        SHAPER_END,   /* of the stream; there is nothing behind it */
        SHAPER_LIMIT, /* so many bytes have left that the connection is over */
};

/* Whether it takes a shaper. */
bool shaping_is_needed(const struct shaping *shaping);

/**
 * shaper_new() - make an empty shaper
 * @random: for jitter and slices
 * @on_due: called with @arg when something falls due; it may free the shaper
 * @out:    set to the shaper; freed with shaper_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int shaper_new(struct loop *loop, const struct shaping *shaping,
                          const struct random *random, void (*on_due)(void *arg), void *arg,
                          struct shaper **out);

/**
 * shaper_free() - free a shaper and what it holds
 * Return: NULL.
 */
struct shaper *shaper_free(struct shaper *shaper);

/*
 * Goes by @shaping from now on. What is held waits no longer than it says: so without a latency, a
 * delay, a rate or a stall it is due.
 */
void shaper_set(struct shaper *shaper, const struct shaping *shaping);

/**
 * shaper_put() - append one chunk
 * @n: 1 to LOOP_SCRATCH_BYTES
 *
 * A full shaper takes it all the same: being full asks the source to stop, it does not refuse.
 *
 * Return: 0; -ENOMEM: nothing was taken.
 */
_must_use_ int shaper_put(struct shaper *shaper, const void *data, size_t n);

/* The same, for the end of the stream. */
_must_use_ int shaper_put_end(struct shaper *shaper);

/**
 * shaper_take() - remove the first piece, if it is due
 * @buffer: LOOP_SCRATCH_BYTES bytes
 * @n:      set to the length of the piece; 0: none
 * @event:  set to what was found
 *
 * Return: 0; -ENOMEM: nothing would tell when the next one is due.
 */
_must_use_ int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n,
                           enum shaper_event *event);

/**
 * shaper_yield() - call on_due in the next turn of the loop: there may be more that is due
 * Return: 0; -ENOMEM.
 */
_must_use_ int shaper_yield(struct shaper *shaper);

/* What has been done to its bytes so far: bits of enum conditions_fault. */
unsigned shaper_faults(const struct shaper *shaper);

/* Bytes held, counting their book-keeping. */
size_t shaper_held(const struct shaper *shaper);

/* Whether nothing is held, the end of the stream either; whether bytes are. */
bool shaper_is_empty(const struct shaper *shaper);
bool shaper_has_bytes(const struct shaper *shaper);
bool shaper_is_full(const struct shaper *shaper);

/* Whether something is held that will fall due by itself. */
bool shaper_is_waiting(const struct shaper *shaper);
