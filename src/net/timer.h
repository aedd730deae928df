/* SPDX-License-Identifier: MIT */
/*
 * Timers: callbacks at given moments. A loop may have thousands of them.
 *
 * All timers of a loop wait in one heap behind one timerfd(2), which is set only when the earliest
 * moment changes. libevent's own timers are not used: its precise ones set a timerfd in every turn
 * of the loop, its others read a coarse clock and are up to 2.7 ms early or late (measured), and
 * under poll and select Linux lets them oversleep by 0.1 % of the wait (fs/select.c).
 *
 * Thread: the loop's; now_usec(): any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>

struct event_base;
struct timers;

/* One timer; embedded in its owner, who may read @until_usec while it is set. */
struct timer {
        struct timers *timers;
        void (*on_time)(struct timer *timer);
        uint64_t until_usec; /* CLOCK_MONOTONIC */
        size_t place;        /* in the heap, from 1; 0: not set */
};

/**
 * timers_new() - make the heap of a loop
 * @base: the loop's; outlives the heap
 * @out:  set to the heap; freed with timers_free()
 *
 * Return: 0; -ENOMEM; what timerfd_create(2) fails with: -EMFILE, …
 */
_must_use_ int timers_new(struct event_base *base, struct timers **out);

/**
 * timers_free() - free the heap; timers that are still set never fire
 * Return: NULL.
 */
struct timers *timers_free(struct timers *timers);

/* Prepares a timer. @on_time may set, stop and free any timer, including this one. */
void timer_init(struct timer *timer, struct timers *timers, void (*on_time)(struct timer *timer));

/**
 * timer_set() - call back at @until_usec, instead of at the moment set before
 *
 * A timer is never early. It is late by about as many microseconds as there are timers set, but at
 * most half a millisecond: timers that are close together share a wake-up, which costs more than
 * the work in it (measured with 1,000 timers within 100 ms: 22 µs each instead of 40). A moment in
 * the past is due in the next turn of the loop.
 *
 * Return: 0; -ENOMEM: the timer is unchanged.
 */
_must_use_ int timer_set(struct timer *timer, uint64_t until_usec);

/* Stops the timer. Has no effect on a timer that is not set, or all zero. */
void timer_stop(struct timer *timer);

bool timer_is_set(const struct timer *timer);

/* CLOCK_MONOTONIC in microseconds. */
uint64_t now_usec(void);
