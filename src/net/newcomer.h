/* SPDX-License-Identifier: MIT */
/*
 * Newcomers: sockets that have just been opened.
 *
 * Some settings of a socket, such as keepalive, take system calls and matter only for a connection
 * that lasts. They are made when the newcomer settles, SETTLE_USEC to 2 * SETTLE_USEC after it was
 * opened. Most short connections end before that and do without them.
 *
 * Thread: the loop's.
 */
#pragma once

#include "timer.h"
#include <stdbool.h>
#include <sys/queue.h>

#define SETTLE_USEC (100 * USEC_PER_MSEC)

/* One newcomer. Embedded in its owner. The members are private. */
struct newcomer {
        LIST_ENTRY(newcomer) entry;
        void (*on_settle)(struct newcomer *newcomer);
        bool waits;
};

LIST_HEAD(newcomer_list, newcomer);

/* The newcomers of one loop. Embedded in it. The members are private. */
struct newcomers {
        struct newcomer_list lists[2]; /* those that joined since the last tick, and before it */
        unsigned latest;               /* the list of those that joined since the last tick */
        struct timer tick;             /* set while there are newcomers */
};

void newcomers_init(struct newcomers *newcomers, struct timers *timers);

/* Ends the wait of all newcomers. None of them settles. */
void newcomers_deinit(struct newcomers *newcomers);

/**
 * newcomer_join() - make a newcomer settle once, later
 * @newcomer:  all zero, or one that does not wait any more
 * @on_settle: called from the loop, without another callback on the stack
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int newcomer_join(struct newcomer *newcomer, struct newcomers *newcomers,
                             void (*on_settle)(struct newcomer *newcomer));

/* Ends the wait without on_settle. Has no effect on a newcomer that does not wait. */
void newcomer_leave(struct newcomer *newcomer);
