/* SPDX-License-Identifier: MIT */
/*
 * The retries of upstreams that could not be reached.
 *
 * All on one loop who wait for the same upstreams share their retries: one of them tries, the
 * others wait. The pause before a try is 100 ms, and doubles up to RETRY_MOST_USEC with each
 * failure. Each success lets the next two try at once, so that all are served soon after the
 * upstream is back, and it is not flooded: at most RETRY_TRYING of them try at a time. Whoever
 * tries and leaves is replaced after the pause.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include <sys/queue.h>

#define RETRY_FIRST_USEC (100 * USEC_PER_MSEC)
#define RETRY_MOST_USEC  (3200 * USEC_PER_MSEC)
#define RETRY_TRYING     64

#define RETRY_BUCKETS 64

struct retry;

/* The retries of one loop. Embedded in its owner; all members are its own. */
struct retries {
        struct loop *loop;
        LIST_HEAD(, retry) buckets[RETRY_BUCKETS];
};

/* One who waits, or tries; embedded in its owner. All zero but for @on_turn: neither. */
struct waiter {
        TAILQ_ENTRY(waiter) entry;
        struct retry *retry;
        bool trying;
        /* It is to try now, and to call retries_wait() or waiter_leave() later, not from within. */
        void (*on_turn)(struct waiter *waiter);
};

void retries_init(struct retries *retries, struct loop *loop);

/**
 * retries_wait() - wait for a turn: for the first time, or after a try that failed
 * @key: the same pointer for all who wait for the same upstreams
 *
 * Return: 0; -ENOMEM: it does not wait.
 */
_must_use_ int retries_wait(struct retries *retries, const void *key, struct waiter *waiter);

/* Somebody has reached the upstreams of @key, whether or not it has waited. */
void retries_succeeded(struct retries *retries, const void *key);

/* It waits no more, and has tried; does nothing for one who does not wait. */
void waiter_leave(struct waiter *waiter);
