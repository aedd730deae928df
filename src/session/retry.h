/* SPDX-License-Identifier: MIT */
/*
 * Retries of upstreams that could not be reached.
 *
 * Clients on one loop that wait for the same upstreams share their retries: one of them tries, and
 * the others wait. The pause before a retry is 100 ms, and doubles with each failure up to
 * RETRY_MAX_USEC. Each success lets the next two clients try at once, so that all are connected
 * soon after the upstream is back. At most RETRY_TRYING_MAX clients try at the same time, so that
 * the upstream is not flooded. If a client leaves while it tries, the next one tries after the
 * pause.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include <sys/queue.h>

#define RETRY_MIN_USEC   (100 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (3200 * USEC_PER_MSEC)
#define RETRY_TRYING_MAX 64

#define RETRY_BUCKETS 64

struct retry;

/* The retries of one loop. Embedded in its owner. The members are private. */
struct retries {
        struct loop *loop;
        LIST_HEAD(, retry) buckets[RETRY_BUCKETS];
};

/* A client that waits or tries; embedded in its owner. All zero except @on_turn: it does neither.
 */
struct waiter {
        TAILQ_ENTRY(waiter) entry;
        struct retry *retry;
        bool trying;
        /* Try now. Later, but not from within, call retries_wait() or waiter_leave(). */
        void (*on_turn)(struct waiter *waiter);
};

void retries_init(struct retries *retries, struct loop *loop);

/**
 * retries_wait() - wait for a turn, for the first time or after a failed attempt
 * @key: the same pointer for all clients that wait for the same upstreams
 *
 * Return: 0; -ENOMEM: @waiter does not wait.
 */
_must_use_ int retries_wait(struct retries *retries, const void *key, struct waiter *waiter);

/* Reports that a client has reached an upstream of @key, whether or not that client has waited. */
void retries_succeeded(struct retries *retries, const void *key);

/* Stops waiting or trying. Has no effect on a waiter that does neither. */
void waiter_leave(struct waiter *waiter);
