/* SPDX-License-Identifier: MIT */
/*
 * The bytes that all links of the process hold together, and their bound.
 *
 * A link counts what it holds. While all hold as much as the bound, a link that holds something
 * stops reading and waits for room. One that holds nothing may read once, so that the bound never
 * stops everything: what is held in all is at most the bound and one read for each link.
 *
 * Thread: struct budget is the process's, and any thread's; struct holders and struct holder are
 * one loop's.
 */
#pragma once

#include "timer.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* All members are the budget's own; they are changed and read atomically. */
struct budget {
        uint64_t max_bytes; /* 0: no bound */
        uint64_t held_bytes;
};

/* Who holds bytes; embedded in its owner. */
struct holder {
        TAILQ_ENTRY(holder) entry; /* of those that wait */
        uint64_t bytes;
        bool waits;
};

/* The holders of one loop; embedded in it. */
struct holders {
        struct budget *budget; /* NULL: no bound */
        TAILQ_HEAD(, holder) waiting;
        struct timer timer; /* looks for room; set while somebody waits */
        void (*on_room)(struct holder *holder);
};

/* Changes the bound; 0: none. */
void budget_set_max(struct budget *budget, uint64_t bytes);

/* @budget: NULL: no bound; else it outlives the holders. */
void holders_init(struct holders *holders, struct timers *timers, struct budget *budget);

/* Nobody waits any more. */
void holders_deinit(struct holders *holders);

/* Whether all holders of the process hold as much as they may. */
bool holders_are_full(const struct holders *holders);

/* Counts what the holder holds now. */
void holder_count(struct holder *holder, struct holders *holders, uint64_t bytes);

/**
 * holder_wait() - be told of room, once
 * @on_room: called from the loop, within BUDGET_LOOK_USEC of the moment when there is room, and
 * without a callback of the holder on the stack; the same function for all holders of the loop
 *
 * Return: 0; -ENOMEM: nothing would tell.
 */
_must_use_ int holder_wait(struct holder *holder, struct holders *holders,
                           void (*on_room)(struct holder *holder));

/* Waits no longer. */
void holder_stop_waiting(struct holder *holder, struct holders *holders);

/* How often those that wait look for room: other threads make it, and do not tell. */
#define BUDGET_LOOK_USEC (10 * USEC_PER_MSEC)
