/* SPDX-License-Identifier: MIT */
/*
 * The budget: a bound for the bytes that all links of the process hold together.
 *
 * Each link counts the bytes that it holds. When the bound is reached, a link that holds bytes
 * stops reading and waits for room. A link that holds none may read once, so that every connection
 * makes progress. So all links hold at most the bound and one read for each link.
 *
 * Thread: struct budget: any; there is one for the process. struct holders and struct holder: the
 * loop's.
 */
#pragma once

#include "timer.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* The members are private, and accessed atomically. */
struct budget {
        uint64_t max_bytes; /* 0: no bound */
        uint64_t held_bytes;
};

/* A holder of bytes; embedded in its owner. */
struct holder {
        TAILQ_ENTRY(holder) entry; /* in the list of waiting holders */
        uint64_t bytes;
        bool waits;
};

/* The holders of one loop; embedded in it. */
struct holders {
        struct budget *budget; /* NULL: no bound */
        TAILQ_HEAD(, holder) waiting;
        struct timer timer; /* checks for room; set while a holder waits */
        void (*on_room)(struct holder *holder);
};

/* Changes the bound; 0: none. */
void budget_set_max(struct budget *budget, uint64_t bytes);

/* @budget: NULL: no bound; else it outlives the holders. */
void holders_init(struct holders *holders, struct timers *timers, struct budget *budget);

/* No holder may wait any more. */
void holders_deinit(struct holders *holders);

/* Whether the holders of the process have reached the bound. */
bool holders_are_full(const struct holders *holders);

/* Sets the number of bytes that the holder holds. */
void holder_count(struct holder *holder, struct holders *holders, uint64_t bytes);

/**
 * holder_wait() - ask for one call when there is room
 * @on_room: called from the loop within BUDGET_LOOK_USEC after there is room, without a callback of
 *           the holder on the stack; the same function for all holders of the loop
 *
 * Return: 0; -ENOMEM: there will be no call.
 */
_must_use_ int holder_wait(struct holder *holder, struct holders *holders,
                           void (*on_room)(struct holder *holder));

/* Cancels holder_wait(). */
void holder_stop_waiting(struct holder *holder, struct holders *holders);

/* The interval between checks for room, which other threads make without a notice. */
#define BUDGET_LOOK_USEC (10 * USEC_PER_MSEC)
