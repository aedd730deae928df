/* SPDX-License-Identifier: MIT */
/* Retries are in a hash table by their key. A retry exists while a client waits or tries. */
#include "retry.h"

#include <errno.h>

struct retry {
        LIST_ENTRY(retry) entry;
        const void *key;
        TAILQ_HEAD(, waiter) waiting;
        struct timer turn; /* when the next client tries */
        uint64_t pause_usec;
        unsigned n_trying;
        unsigned n_due; /* how many try at the next turn, after successes; 0: one */
};

static size_t bucket_of(const void *key)
{
        return (uintptr_t)key / 64 % RETRY_BUCKETS;
}

static struct retry *find(const struct retries *retries, const void *key)
{
        struct retry *retry;

        LIST_FOREACH(retry, &retries->buckets[bucket_of(key)], entry)
                if (retry->key == key)
                        return retry;
        return NULL;
}

static void on_turn(struct timer *timer)
{
        struct retry *retry = container_of(timer, struct retry, turn);
        unsigned due = retry->n_due ? retry->n_due : 1;
        struct waiter *waiter;

        retry->n_due = 0;
        for (; due > 0 && retry->n_trying < RETRY_TRYING_MAX; due--) {
                waiter = TAILQ_FIRST(&retry->waiting);
                if (!waiter)
                        return;
                TAILQ_REMOVE(&retry->waiting, waiter, entry);
                waiter->trying = true;
                retry->n_trying++;
                waiter->on_turn(waiter);
        }
}

/*
 * Sets the timer for the next turn, unless a client is trying: its result leads here again. If the
 * timer cannot be set, the next client that comes or leaves sets it, or the waiting clients end
 * after their connect_wait.
 */
static void settle(struct retry *retry)
{
        if (retry->n_trying > 0)
                return;
        if (TAILQ_EMPTY(&retry->waiting)) {
                timer_stop(&retry->turn);
                LIST_REMOVE(retry, entry);
                free(retry);
                return;
        }
        if (timer_is_set(&retry->turn) ||
            timer_set(&retry->turn, now_usec() + retry->pause_usec) < 0)
                return;
        retry->pause_usec *= 2;
        if (retry->pause_usec > RETRY_MAX_USEC)
                retry->pause_usec = RETRY_MAX_USEC;
}

void retries_init(struct retries *retries, struct loop *loop)
{
        retries->loop = loop;
        for (size_t i = 0; i < RETRY_BUCKETS; i++)
                LIST_INIT(&retries->buckets[i]);
}

static int retry_new(struct retries *retries, const void *key, struct retry **out)
{
        struct retry *retry = calloc(1, sizeof(*retry));

        if (!retry)
                return -ENOMEM;
        retry->key = key;
        retry->pause_usec = RETRY_MIN_USEC;
        TAILQ_INIT(&retry->waiting);
        timer_init(&retry->turn, loop_timers(retries->loop), on_turn);
        LIST_INSERT_HEAD(&retries->buckets[bucket_of(key)], retry, entry);
        *out = retry;
        return 0;
}

int retries_wait(struct retries *retries, const void *key, struct waiter *waiter)
{
        struct retry *retry = find(retries, key);
        int r = retry ? 0 : retry_new(retries, key, &retry);

        if (r < 0)
                return r;
        if (waiter->trying)
                retry->n_trying--;
        waiter->trying = false;
        waiter->retry = retry;
        TAILQ_INSERT_TAIL(&retry->waiting, waiter, entry);
        settle(retry);
        return 0;
}

void retries_succeeded(struct retries *retries, const void *key)
{
        struct retry *retry = find(retries, key);

        if (!retry)
                return;
        retry->pause_usec = RETRY_MIN_USEC;
        if (TAILQ_EMPTY(&retry->waiting))
                return;
        retry->n_due += 2;
        if (timer_set(&retry->turn, now_usec()) < 0)
                retry->n_due = 0; /* the next success or failure sets the timer */
}

void waiter_leave(struct waiter *waiter)
{
        struct retry *retry = waiter->retry;

        if (!retry)
                return;
        if (waiter->trying)
                retry->n_trying--;
        else
                TAILQ_REMOVE(&retry->waiting, waiter, entry);
        waiter->trying = false;
        waiter->retry = NULL;
        settle(retry);
}
