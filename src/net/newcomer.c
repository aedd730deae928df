/* SPDX-License-Identifier: MIT */
/*
 * Newcomers wait in two lists, so that joining reads no clock. A tick settles the older list, and
 * the other list becomes the older one.
 */
#include "newcomer.h"

/* The most newcomers that settle in one turn of the loop. Each makes about ten system calls. */
#define SETTLE_BATCH 64

static int tick_later(struct newcomers *newcomers, uint64_t usec)
{
        return timer_set(&newcomers->tick, now_usec() + usec);
}

/* Settles up to SETTLE_BATCH of the older newcomers. Return: whether all of them have settled. */
static bool settle_older(struct newcomers *newcomers)
{
        struct newcomer_list *older = &newcomers->lists[!newcomers->latest];

        for (unsigned i = 0; i < SETTLE_BATCH && !LIST_EMPTY(older); i++) {
                struct newcomer *newcomer = LIST_FIRST(older);

                newcomer_leave(newcomer);
                newcomer->on_settle(newcomer);
        }
        return LIST_EMPTY(older);
}

static void on_tick(struct timer *timer)
{
        struct newcomers *newcomers = container_of(timer, struct newcomers, tick);

        /* This cannot fail here, because the timer's place in the heap is still free. */
        (void)!tick_later(newcomers, 0);
        if (!settle_older(newcomers))
                return;
        newcomers->latest = !newcomers->latest;
        if (LIST_EMPTY(&newcomers->lists[!newcomers->latest]))
                timer_stop(timer);
        else
                (void)!tick_later(newcomers, SETTLE_USEC);
}

void newcomers_init(struct newcomers *newcomers, struct timers *timers)
{
        *newcomers = (struct newcomers){ 0 };
        timer_init(&newcomers->tick, timers, on_tick);
}

void newcomers_deinit(struct newcomers *newcomers)
{
        timer_stop(&newcomers->tick);
}

int newcomer_join(struct newcomer *newcomer, struct newcomers *newcomers,
                  void (*on_settle)(struct newcomer *newcomer))
{
        int r = timer_is_set(&newcomers->tick) ? 0 : tick_later(newcomers, SETTLE_USEC);

        if (r < 0)
                return r;
        newcomer->on_settle = on_settle;
        newcomer->waits = true;
        LIST_INSERT_HEAD(&newcomers->lists[newcomers->latest], newcomer, entry);
        return 0;
}

void newcomer_leave(struct newcomer *newcomer)
{
        if (!newcomer->waits)
                return;
        LIST_REMOVE(newcomer, entry);
        newcomer->waits = false;
}
