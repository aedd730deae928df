/* SPDX-License-Identifier: MIT */
/*
 * Timers on each backend: never early, in order, exact when few, grouped when many, changed and
 * stopped by callbacks, compared with a plain list, and what they cost in system calls.
 */
#include "turning.h"

#include <dlfcn.h>
#include <event2/event.h>
#include <sys/timerfd.h>

#define ALARMS 1000

static struct alarm {
        struct timer timer;
        uint64_t due_usec;
        unsigned rings, again; /* how many more times it sets itself */
        struct alarm *stops;   /* another alarm, which this one stops */
} alarms[ALARMS];

static unsigned rings;
static uint64_t last_rung_usec; /* the moment of the last alarm that rang */
static bool in_order;

/* Replaces the C library's, and counts calls. */
static unsigned n_settime;

int timerfd_settime(int fd, int flags, const struct itimerspec *new_value,
                    struct itimerspec *old_value)
{
        static int (*real)(int, int, const struct itimerspec *, struct itimerspec *);

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "timerfd_settime");
        n_settime++;
        return real(fd, flags, new_value, old_value);
}

static void set_alarm(struct alarm *alarm, uint64_t usec)
{
        alarm->due_usec = now_usec() + usec;
        assert_int_equal(timer_set(&alarm->timer, alarm->due_usec), 0);
        assert_true(timer_is_set(&alarm->timer));
        assert_in_range(alarm->timer.until_usec - alarm->due_usec, 0, 511);
}

static void on_alarm(struct timer *timer)
{
        struct alarm *alarm = container_of(timer, struct alarm, timer);

        assert_true(now_usec() >= alarm->due_usec);
        assert_false(timer_is_set(timer));
        in_order = in_order && timer->until_usec >= last_rung_usec;
        last_rung_usec = timer->until_usec;
        alarm->rings++;
        rings++;
        if (alarm->stops)
                timer_stop(&alarm->stops->timer);
        if (alarm->again && alarm->again--)
                set_alarm(alarm, 100);
}

static void make_alarms(void)
{
        rings = 0;
        last_rung_usec = 0;
        in_order = true;
        for (size_t i = 0; i < ALARMS; i++) {
                alarms[i] = (struct alarm){ 0 };
                timer_init(&alarms[i].timer, loop_timers(loop), on_alarm);
        }
}

static void stop_alarms(void)
{
        for (size_t i = 0; i < ALARMS; i++)
                timer_stop(&alarms[i].timer);
}

static void a_few(void **state)
{
        (void)state;
        make_alarms();
        set_alarm(&alarms[0], 30 * USEC_PER_MSEC);
        assert_int_equal(alarms[0].timer.until_usec, alarms[0].due_usec); /* to the microsecond */
        turn_until(rings == 1);

        alarms[0].again = 3;
        set_alarm(&alarms[0], 0);
        turn_until(rings == 5);

        set_alarm(&alarms[0], 1);
        set_alarm(&alarms[0], 20 * USEC_PER_MSEC); /* replaces the earlier moment */
        set_alarm(&alarms[1], 1);
        timer_stop(&alarms[1].timer);
        timer_stop(&alarms[1].timer);
        assert_false(timer_is_set(&alarms[1].timer));
        turn_until(rings == 6);
        assert_int_equal(alarms[0].rings, 6);

        assert_int_equal(timer_set(&alarms[2].timer, 0), 0); /* long ago */
        turn_until(rings == 7);
        turn_a_while();
        assert_int_equal(rings, 7);
        set_alarm(&alarms[0], 1000); /* as precise as at first: timers that are over do not count */
        assert_int_equal(alarms[0].timer.until_usec, alarms[0].due_usec);
        stop_alarms();
}

/* No timer is early. A busy machine may delay any of them, but hardly all. */
static void punctual(void **state)
{
        uint64_t least_late = UINT64_MAX;

        (void)state;
        make_alarms();
        for (unsigned i = 0; i < 40; i++) {
                uint64_t late;

                set_alarm(&alarms[i], i * 337);
                turn_until(alarms[i].rings);
                late = now_usec() - alarms[i].due_usec;
                least_late = late < least_late ? late : least_late;
        }
        assert_in_range(least_late, 0, USEC_PER_MSEC);
}

/* Timers are grouped at few moments, soon after they are due. */
static void many(void **state)
{
        unsigned moments = 0;
        uint64_t last = 0;

        (void)state;
        make_alarms();
        for (size_t i = 0; i < ALARMS; i++)
                set_alarm(&alarms[i], 50 * USEC_PER_MSEC);
        for (size_t i = 0; i < ALARMS; i++)
                set_alarm(&alarms[i], 50 * USEC_PER_MSEC + 100 * i);
        for (size_t i = 0; i < ALARMS; i++) {
                moments += alarms[i].timer.until_usec != last;
                last = alarms[i].timer.until_usec;
        }
        /* 100 ms in steps of half a millisecond, and the time for setting them */
        assert_in_range(moments, 100, 300);
        turn_until(rings == ALARMS);
        turn_a_while();
        assert_true(in_order);
        for (size_t i = 0; i < ALARMS; i++)
                assert_int_equal(alarms[i].rings, 1);
}

/* The timerfd is set when the earliest timer changes, not for each timer or in each turn. */
static void few_system_calls(void **state)
{
        unsigned before;

        (void)state;
        make_alarms();
        before = n_settime;
        set_alarm(&alarms[0], 3600 * USEC_PER_SEC);
        for (size_t i = 1; i < ALARMS; i++)
                set_alarm(&alarms[i], 3601 * USEC_PER_SEC);
        turn_a_while();
        stop_alarms();
        turn_a_while();
        assert_int_equal(n_settime - before, 1);
}

/* A callback stops timers that are due in the same turn. */
static void stopped_by_another(void **state)
{
        (void)state;
        make_alarms();
        for (size_t i = 0; i < ALARMS; i++)
                alarms[i].stops = &alarms[ALARMS - 1 - i];
        for (size_t i = 0; i < ALARMS; i++)
                set_alarm(&alarms[i], 0);
        turn_until(rings == ALARMS / 2);
        turn_a_while();
        for (size_t i = 0; i < ALARMS; i++)
                assert_int_equal(alarms[i].rings + alarms[ALARMS - 1 - i].rings, 1);
}

/* Timers are set, moved and stopped. Those that are still set fire, in order. */
static void at_random(void **state)
{
        unsigned set = 0;

        (void)state;
        seed_random();
        make_alarms();
        for (int i = 0; i < 20000; i++) {
                struct alarm *alarm = &alarms[random_between(0, ALARMS - 1)];

                if (random_between(0, 2))
                        set_alarm(alarm,
                                  60 * USEC_PER_MSEC + random_between(0, 60 * USEC_PER_MSEC));
                else
                        timer_stop(&alarm->timer);
        }
        assert_int_equal(rings, 0);
        for (size_t i = 0; i < ALARMS; i++)
                set += timer_is_set(&alarms[i].timer);
        turn_until(rings == set);
        turn_a_while();
        assert_true(in_order);
        for (size_t i = 0; i < ALARMS; i++)
                assert_in_range(alarms[i].rings, 0, 1);
        assert_int_equal(rings, set);
}

/* A timer whose callback sets it anew fires at most once or twice in a turn of the loop. */
static void once_a_turn(void **state)
{
        int turns = 0;

        (void)state;
        make_alarms();
        alarms[0].again = UINT32_MAX;
        alarms[0].due_usec = 0;
        assert_int_equal(timer_set(&alarms[0].timer, 0), 0);
        while (turns < 100) {
                turn();
                turns++;
        }
        assert_in_range(alarms[0].rings, 1, 200);
        stop_alarms();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_few, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(punctual, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(many, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(few_system_calls, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(stopped_by_another, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(at_random, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(once_a_turn, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
