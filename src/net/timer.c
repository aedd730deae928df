/* SPDX-License-Identifier: MIT */
/*
 * The heap is an array in which the timer at place i is no later than those at 2i and 2i + 1.
 * Places count from 1.
 */
#include "timer.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/timerfd.h>
#include <time.h>

/* The coarsest grid to which timers are rounded: a power of two. */
#define GRID_MAX_USEC ((uint64_t)512)

#define HEAP_MIN 16

struct timers {
        struct event *event; /* @fd is readable */
        int fd;
        struct timer **heap; /* [1] to [n] */
        size_t n, room;
        uint64_t armed_usec; /* when @fd fires; UINT64_MAX: never */
        bool firing;         /* callbacks are running; @fd is armed after the last one */
};

uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* The heap */

static void put(struct timers *timers, struct timer *timer, size_t place)
{
        timers->heap[place] = timer;
        timer->place = place;
}

/* Moves @timer from @place towards the top, past all later timers. */
static void move_up(struct timers *timers, struct timer *timer, size_t place)
{
        for (; place > 1 && timers->heap[place / 2]->until_usec > timer->until_usec; place /= 2)
                put(timers, timers->heap[place / 2], place);
        put(timers, timer, place);
}

/* Moves @timer from @place towards the bottom, past all earlier timers. */
static void move_down(struct timers *timers, struct timer *timer, size_t place)
{
        for (size_t next = 2 * place; next <= timers->n; place = next, next *= 2) {
                if (next < timers->n &&
                    timers->heap[next + 1]->until_usec < timers->heap[next]->until_usec)
                        next++;
                if (timers->heap[next]->until_usec >= timer->until_usec)
                        break;
                put(timers, timers->heap[next], place);
        }
        put(timers, timer, place);
}

/* Moves @timer, whose moment has changed, to its new place. @place was its own, or is free. */
static void move(struct timers *timers, struct timer *timer, size_t place)
{
        if (place > 1 && timers->heap[place / 2]->until_usec > timer->until_usec)
                move_up(timers, timer, place);
        else
                move_down(timers, timer, place);
}

static int make_room(struct timers *timers)
{
        size_t room = timers->room ? 2 * timers->room : HEAP_MIN;
        struct timer **heap;

        if (timers->n + 1 < timers->room)
                return 0;
        heap = reallocarray(timers->heap, room, sizeof(struct timer *));
        if (!heap)
                return -ENOMEM;
        timers->heap = heap;
        timers->room = room;
        return 0;
}

/* The clock */

/* Sets @fd to the earliest moment, or disarms it. After either it is not readable any more. */
static void arm(struct timers *timers)
{
        uint64_t usec = timers->n ? timers->heap[1]->until_usec : UINT64_MAX;
        struct itimerspec when = { 0 };

        if (timers->n) {
                when.it_value.tv_sec = (time_t)(usec / USEC_PER_SEC);
                when.it_value.tv_nsec = (long)(usec % USEC_PER_SEC) * 1000;
                if (usec == 0)
                        when.it_value.tv_nsec = 1; /* zero would disarm it */
        }
        /* This can only fail for a descriptor that is not a timerfd, or an invalid time. */
        (void)timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL);
        timers->armed_usec = usec;
}

/*
 * Calls the timers that are due, but no more calls than there are timers now: a timer that its
 * callback sets again does not block the loop.
 */
static void on_fire(evutil_socket_t fd, short what, void *arg)
{
        struct timers *timers = arg;
        uint64_t now = now_usec();

        (void)fd;
        (void)what;
        timers->firing = true;
        for (size_t left = timers->n; left > 0 && timers->n > 0; left--) {
                struct timer *timer = timers->heap[1];

                if (timer->until_usec > now)
                        break;
                timer_stop(timer);
                timer->on_time(timer);
        }
        timers->firing = false;
        arm(timers);
}

static void timers_freep(struct timers **timers)
{
        timers_free(*timers);
}

int timers_new(struct event_base *base, struct timers **out)
{
        _cleanup_(timers_freep) struct timers *timers = calloc(1, sizeof(*timers));

        if (!timers)
                return -ENOMEM;
        timers->armed_usec = UINT64_MAX;
        timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (timers->fd < 0)
                return -errno;
        timers->event = event_new(base, timers->fd, EV_READ | EV_PERSIST, on_fire, timers);
        if (!timers->event || event_add(timers->event, NULL) < 0)
                return -ENOMEM;
        *out = timers;
        timers = NULL;
        return 0;
}

struct timers *timers_free(struct timers *timers)
{
        if (!timers)
                return NULL;
        if (timers->event)
                event_free(timers->event);
        closep(&timers->fd);
        free(timers->heap);
        free(timers);
        return NULL;
}

/* One timer */

/*
 * Rounds up to a grid of about as many microseconds as there are timers. The marks of a coarser
 * grid are also marks of a finer one, so timers of different grids still share wake-ups.
 */
static uint64_t to_grid(const struct timers *timers, uint64_t until)
{
        uint64_t grid = 1;

        while (grid < timers->n && grid < GRID_MAX_USEC)
                grid *= 2;
        return (until + grid - 1) / grid * grid;
}

void timer_init(struct timer *timer, struct timers *timers, void (*on_time)(struct timer *timer))
{
        *timer = (struct timer){ .timers = timers, .on_time = on_time };
}

int timer_set(struct timer *timer, uint64_t until)
{
        struct timers *timers = timer->timers;
        size_t place = timer->place;

        if (!place) {
                if (make_room(timers) < 0)
                        return -ENOMEM;
                place = ++timers->n;
        }
        timer->until_usec = to_grid(timers, until);
        move(timers, timer, place);
        if (!timers->firing && timers->heap[1]->until_usec < timers->armed_usec)
                arm(timers);
        return 0;
}

/* The timerfd stays armed, because a needless wake-up is rarer than a stopped timer. */
void timer_stop(struct timer *timer)
{
        struct timers *timers = timer->timers;
        struct timer *last;
        size_t place = timer->place;

        if (!place)
                return;
        timer->place = 0;
        last = timers->heap[timers->n--];
        if (last != timer)
                move(timers, last, place);
}

bool timer_is_set(const struct timer *timer)
{
        return timer->place > 0;
}
