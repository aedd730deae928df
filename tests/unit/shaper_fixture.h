/* SPDX-License-Identifier: MIT */
/*
 * A shaper and its model, which the tests of the shaper drive side by side.
 *
 * The model (shaper_model.h) checks the moment at which each byte leaves. Some tests stop the clock
 * and set it themselves, so that moments are exact and a seed repeats them. The others turn a loop
 * on a real backend.
 */
#pragma once

#include "bucket.h"
#include "fates.h"
#include "turning.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#define CHECK(condition) assert_true(condition)
#include "shaper_model.h"

#define DEPARTURES_MAX 20000
#define HOLD_BYTES     ((uint64_t)256 * 1024)
#define HOUR           (3600 * USEC_PER_SEC)
#define ALL_FAULTS                                                              \
        (FAULT_LATENCY | FAULT_RATE | FAULT_SLICE | FAULT_LIMIT | FAULT_STALL | \
         FAULT_CLOSE_DELAY | FAULT_DISCARD | FAULT_RESET_DATA)

/* The clock and the loop's timerfd */

static uint64_t stopped_usec; /* the time that a stopped clock shows; 0: the clock runs */
static uint64_t seen_usec;    /* the first time read since the test set this to 0 */

/* The process reads every clock through this function, which replaces the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
        int r = 0;

        if (stopped_usec && clock == CLOCK_MONOTONIC)
                *now = (struct timespec){ .tv_sec = (time_t)(stopped_usec / USEC_PER_SEC),
                                          .tv_nsec = (long)(stopped_usec % USEC_PER_SEC * 1000) };
        else
                r = (int)syscall(SYS_clock_gettime, clock, now);
        if (clock != CLOCK_MONOTONIC)
                return r;
        if (!seen_usec)
                seen_usec = (uint64_t)now->tv_sec * USEC_PER_SEC + (uint64_t)now->tv_nsec / 1000;
        return r;
}

/* Return: the moment of the last call. The test sets @seen_usec to 0 before the call. */
static inline uint64_t call_usec(void)
{
        return seen_usec ? seen_usec : now_usec();
}

static int timer_fd;        /* the timerfd of the loop */
static uint64_t armed_usec; /* the moment that @timer_fd is set to; or never */

/* Replaces the C library's. libevent's own timers have relative times. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
        const struct timespec *at = &value->it_value;

        if (flags & TFD_TIMER_ABSTIME) {
                timer_fd = fd;
                armed_usec = MODEL_NEVER;
                if (at->tv_sec || at->tv_nsec)
                        armed_usec =
                                (uint64_t)at->tv_sec * USEC_PER_SEC + (uint64_t)at->tv_nsec / 1000;
        }
        return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
}

/* Whether the kernel has fired the loop's timer and the loop has not noticed yet. */
static inline bool timer_has_fired(void)
{
        struct pollfd poll_fd = { .fd = timer_fd, .events = POLLIN };

        return poll(&poll_fd, 1, 0) == 1;
}

/* The shaper and its model */

static struct shaper *shaper;
static struct model model;
static struct conditions conditions;             /* the first group; a test sets its values */
static struct conditions more[MODEL_GROUPS - 1]; /* further groups, each with a name of its own */
static size_t n_more;
static struct shaping shaping = { .hold_bytes = HOLD_BYTES };

/* The last DEPARTURES_MAX pieces that have left. */
static struct {
        uint64_t usec;
        size_t n;
} departures[DEPARTURES_MAX];
static size_t n_departures;
static size_t n_due;      /* calls of on_due() */
static uint64_t end_usec; /* when the end of the stream left; 0: it has not */

/* Takes once from the shaper. Return: what shaper_take() found. */
static inline enum shaper_event take(void)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES], expected[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        size_t n = SIZE_MAX;
        uint64_t now;

        seen_usec = 0;
        assert_int_equal(shaper_take(shaper, buffer, &n, &event), 0);
        now = call_usec();
        assert_in_range(n, 0, sizeof(buffer));
        model_write(expected, n, model.out_bytes);
        assert_memory_equal(buffer, expected, n);
        model_take(&model, now, event, n);
        model_compare(&model, shaper);
        if (event == SHAPER_END) {
                assert_int_equal(end_usec, 0);
                end_usec = now;
        }
        if (event == SHAPER_BYTES) {
                departures[n_departures % DEPARTURES_MAX].usec = now;
                departures[n_departures++ % DEPARTURES_MAX].n = n;
        }
        return event;
}

/* Takes everything that is due, as a link does. Return: SHAPER_NOTHING or SHAPER_OVER. */
static inline enum shaper_event take_due(void)
{
        enum shaper_event event;

        do
                event = take();
        while (event == SHAPER_BYTES || event == SHAPER_END);
        return event;
}

static inline void on_due(void *arg)
{
        assert_ptr_equal(arg, &shaper);
        n_due++;
        (void)take_due();
}

/* Draws the fates of the current groups. Return: those until now, for the caller to free. */
static inline struct fates *draw_fates(uint64_t now)
{
        struct conditions groups[MODEL_GROUPS] = { conditions };

        memcpy(groups + 1, more, n_more * sizeof(more[0]));
        return redraw(&shaping.fates, groups, 1 + n_more, now, shaper ? model.out_bytes : 0);
}

/* Makes a new shaper with the current shaping. */
static inline void renew(void)
{
        uint64_t now = now_usec();

        shaper = shaper_free(shaper);
        shaping.fates = fates_free(shaping.fates);
        n_departures = n_due = 0;
        end_usec = 0;
        (void)draw_fates(now);
        seen_usec = 0;
        assert_int_equal(shaper_new(loop, &shaping, on_due, &shaper, &shaper), 0);
        model_init(&model, now, call_usec(), &shaping);
        model_compare(&model, shaper);
}

/* Set-up of a test: makes a shaper without conditions. */
static inline int make_shaper(void **state)
{
        if (start_loop(state) < 0)
                return -1;
        conditions = conditions_none;
        n_more = 0;
        shaping.send_delay_usec = 0;
        shaping.hold_bytes = HOLD_BYTES;
        renew();
        return 0;
}

/* Set-up of a test: stops the clock, and makes a shaper without conditions. */
static inline int stop_clock(void **state)
{
        stopped_usec = 1000 * USEC_PER_SEC;
        return make_shaper(state);
}

/* Tear-down of a test. */
static inline int free_shaper(void **state)
{
        stopped_usec = 0;
        shaper = shaper_free(shaper);
        shaping.fates = fates_free(shaping.fates);
        return stop_loop(state);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, make_shaper, free_shaper)
#define STOPPED(test) cmocka_unit_test_setup_teardown(test, stop_clock, free_shaper)

/* Changes the shaper to the current shaping and conditions. */
static inline void set(void)
{
        uint64_t now = now_usec();
        struct fates *before = draw_fates(now);

        seen_usec = 0;
        assert_int_equal(shaper_set(shaper, &shaping), 0);
        model_set(&model, now, call_usec(), &shaping);
        fates_free(before);
        (void)take_due();
}

static inline void set_delay(uint64_t usec)
{
        shaping.send_delay_usec = usec;
        set();
}

static inline void set_none(void)
{
        conditions = conditions_none;
        n_more = 0;
        set_delay(0);
}

/* Puts a chunk of @n bytes into the shaper. Return: the moment. */
static inline uint64_t put(size_t n)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];
        uint64_t now;

        model_write(data, n, model.in_bytes);
        seen_usec = 0;
        assert_int_equal(shaper_put(shaper, data, n), 0);
        now = call_usec();
        (void)model_put(&model, now, n);
        (void)take_due();
        return now;
}

static inline void put_end(void)
{
        seen_usec = 0;
        assert_int_equal(shaper_put_end(shaper), 0);
        (void)model_put(&model, call_usec(), 0);
        (void)take_due();
}

/* Advances a stopped clock by @usec, and takes at each moment at which bytes fall due. */
static inline void pass(uint64_t usec)
{
        uint64_t until = stopped_usec + usec;

        while (model.wake_usec <= until) {
                stopped_usec = model.wake_usec;
                (void)take_due();
                assert_true(model.wake_usec > stopped_usec);
        }
        stopped_usec = until;
        (void)take_due();
}

/*
 * Turns the loop once.
 *
 * The timer must not be set later than the moment at which bytes fall due. How late the kernel
 * fires it is not checked: on a busy machine the moment may have passed long before the timerfd is
 * readable. But when it is readable, this turn of the loop must call on_due().
 */
static inline void follow(void)
{
        uint64_t began = now_usec();
        size_t before = n_due;
        bool must_call = false;

        if (model.wake_usec != MODEL_NEVER) {
                /* Two timers may each be set a microsecond later than asked; see timer_set(). */
                assert_true(armed_usec <= model.wake_usec + 1);
                must_call = began > model.wake_usec && timer_has_fired();
        }
        turn();
        if (must_call)
                assert_true(n_due > before);
}

#define follow_until(condition)                                                   \
        do {                                                                      \
                uint64_t deadline_ = now_usec() + DEADLINE_USEC;                  \
                                                                                  \
                while (!(condition)) {                                            \
                        if (now_usec() > deadline_)                               \
                                fail_msg("never so on %s: " #condition, backend); \
                        follow();                                                 \
                }                                                                 \
        } while (0)

/* Turns for so long that an event that must not happen would happen. */
static inline void follow_a_while(void)
{
        for (int i = 0; i < 20; i++)
                follow();
}

/* Checks that no span of time saw more bytes leave than the burst and the rate allow. */
static inline void expect_rate(uint64_t rate, uint64_t burst)
{
        for (size_t i = 0; i < n_departures; i++) {
                uint64_t n = 0;

                for (size_t j = i; j < n_departures; j++) {
                        uint64_t span = departures[j].usec - departures[i].usec;

                        n += departures[j].n;
                        assert_in_range(n * USEC_PER_SEC, 0,
                                        burst * USEC_PER_SEC + rate * (span + 3));
                }
        }
}
