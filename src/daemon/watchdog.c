/* SPDX-License-Identifier: MIT */
/* The workers are asked four times in each period, so that one late answer does no harm. */
#include "watchdog.h"

static int set_timer(struct watchdog *watchdog)
{
        return timer_set(&watchdog->timer, now_usec() + watchdog->usec);
}

static void on_time(struct timer *timer)
{
        struct watchdog *watchdog = container_of(timer, struct watchdog, timer);

        (void)!set_timer(watchdog); /* the timer has just fired, so there is room */
        if (workers_answer(watchdog->workers))
                notify_alive(watchdog->notify);
}

int watchdog_start(struct watchdog *watchdog, struct loop *loop, struct workers *workers,
                   struct notify *notify)
{
        watchdog->usec = notify_watchdog_usec() / 4;
        watchdog->workers = workers;
        watchdog->notify = notify;
        timer_init(&watchdog->timer, loop_timers(loop), on_time);
        return watchdog->usec == 0 ? 0 : set_timer(watchdog);
}
