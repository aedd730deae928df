/* SPDX-License-Identifier: MIT */
#include "budget.h"

void budget_set_max(struct budget *budget, uint64_t bytes)
{
        __atomic_store_n(&budget->max_bytes, bytes, __ATOMIC_RELAXED);
}

bool holders_are_full(const struct holders *holders)
{
        const struct budget *budget = holders->budget;
        uint64_t max = budget ? __atomic_load_n(&budget->max_bytes, __ATOMIC_RELAXED) : 0;

        return max && __atomic_load_n(&budget->held_bytes, __ATOMIC_RELAXED) >= max;
}

void holder_count(struct holder *holder, struct holders *holders, uint64_t bytes)
{
        if (bytes == holder->bytes)
                return;
        if (holders->budget) /* the difference may be negative: unsigned addition wraps */
                (void)__atomic_add_fetch(&holders->budget->held_bytes, bytes - holder->bytes,
                                         __ATOMIC_RELAXED);
        holder->bytes = bytes;
}

static int look_later(struct holders *holders)
{
        return timer_set(&holders->timer, now_usec() + BUDGET_LOOK_USEC);
}

static void on_timer(struct timer *timer)
{
        struct holders *holders = container_of(timer, struct holders, timer);

        /* This cannot fail here, because the timer's place in the heap is still free. */
        (void)!look_later(holders);
        while (!TAILQ_EMPTY(&holders->waiting) && !holders_are_full(holders)) {
                struct holder *holder = TAILQ_FIRST(&holders->waiting);

                holder_stop_waiting(holder, holders);
                holders->on_room(holder);
        }
        if (TAILQ_EMPTY(&holders->waiting))
                timer_stop(&holders->timer);
}

void holders_init(struct holders *holders, struct timers *timers, struct budget *budget)
{
        *holders = (struct holders){ .budget = budget };
        TAILQ_INIT(&holders->waiting);
        timer_init(&holders->timer, timers, on_timer);
}

void holders_deinit(struct holders *holders)
{
        timer_stop(&holders->timer);
}

int holder_wait(struct holder *holder, struct holders *holders,
                void (*on_room)(struct holder *holder))
{
        int r = timer_is_set(&holders->timer) ? 0 : look_later(holders);

        if (r < 0 || holder->waits)
                return r;
        holders->on_room = on_room;
        holder->waits = true;
        TAILQ_INSERT_TAIL(&holders->waiting, holder, entry);
        return 0;
}

void holder_stop_waiting(struct holder *holder, struct holders *holders)
{
        if (!holder->waits)
                return;
        TAILQ_REMOVE(&holders->waiting, holder, entry);
        holder->waits = false;
}
