/* SPDX-License-Identifier: MIT */
/*
 * The shaper's delays: the send delay on the loop's own timers, and latency and jitter on a stopped
 * clock. Also how much a shaper holds.
 */
#include "shaper_fixture.h"

/* The send delay, on the loop's own timers */

/* The article's delay: chunks that arrive together leave one after the other, a delay apart. */
static void three_at_once(void **state)
{
        const uint64_t delay = 30 * USEC_PER_MSEC;
        uint64_t began;

        (void)state;
        set_delay(delay);
        assert_true(shaper_is_empty(shaper));
        began = put(10);
        put(LOOP_SCRATCH_BYTES);
        put(1);
        assert_false(shaper_is_empty(shaper));
        assert_int_equal(n_departures, 0);
        follow_until(n_departures == 3);
        assert_true(shaper_is_empty(shaper));
        assert_int_equal(n_due, 3);
        assert_int_equal(departures[0].n, 10);
        assert_int_equal(departures[1].n, LOOP_SCRATCH_BYTES);
        assert_int_equal(departures[2].n, 1);
        for (size_t i = 0; i < 3; i++) {
                assert_true(departures[i].usec >= began + (i + 1) * delay);
                assert_true(departures[i].usec < began + (i + 1) * delay + DEADLINE_USEC);
        }
        assert_int_equal(shaper_faults(shaper), 0);

        /* a chunk that arrives at an empty shaper waits for the whole delay */
        follow_a_while();
        began = put(5);
        follow_until(n_departures == 4);
        assert_true(departures[3].usec >= began + delay);
}

/* Not all of 20 timers are late. */
static void punctual(void **state)
{
        uint64_t least_late = UINT64_MAX;

        (void)state;
        set_delay(3 * USEC_PER_MSEC);
        for (size_t i = 0; i < 20; i++) {
                uint64_t due = put(1) + 3 * USEC_PER_MSEC;

                follow_until(n_departures > i);
                assert_true(departures[i].usec >= due);
                if (departures[i].usec - due < least_late)
                        least_late = departures[i].usec - due;
        }
        assert_in_range(least_late, 0, 5 * USEC_PER_MSEC);
}

/* A long wait is one timer: it ends in time (see follow()), and not in many steps. */
static void punctual_after_long(void **state)
{
        uint64_t due;

        (void)state;
        set_delay(600 * USEC_PER_MSEC);
        due = put(1) + 600 * USEC_PER_MSEC;
        follow_until(n_departures == 1);
        assert_true(departures[0].usec >= due);
        assert_int_equal(n_due, 1);
}

static void delay_removed(void **state)
{
        (void)state;
        set_delay(HOUR);
        for (size_t i = 1; i <= 100; i++)
                put(i);
        follow_a_while();
        assert_int_equal(n_departures, 0);
        set_delay(0);
        assert_int_equal(n_departures, 100);
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(departures[i].n, i + 1);
        assert_true(shaper_is_empty(shaper));
}

/* A shorter delay applies to chunks that are held already: on_due() follows the new delay. */
static void delay_shortened(void **state)
{
        uint64_t began;

        (void)state;
        set_delay(HOUR);
        began = put(1);
        put(1);
        set_delay(10 * USEC_PER_MSEC);
        follow_until(n_departures == 2);
        assert_true(departures[1].usec >= began + 20 * USEC_PER_MSEC);
}

/* A shaper is full at hold_bytes, however small its chunks are, and still accepts more. */
static void full(void **state)
{
        static const size_t sizes[] = { 1, 1000, LOOP_SCRATCH_BYTES };
        static uint8_t data[LOOP_SCRATCH_BYTES], buffer[LOOP_SCRATCH_BYTES];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                enum shaper_event event;
                size_t chunks = 0, left = 0, n;

                shaping.send_delay_usec = HOUR;
                assert_int_equal(shaper_set(shaper, &shaping), 0);
                assert_false(shaper_is_full(shaper));
                while (!shaper_is_full(shaper)) {
                        assert_int_equal(shaper_put(shaper, data, sizes[i]), 0);
                        assert_in_range(++chunks * sizes[i], 1, HOLD_BYTES + sizes[i]);
                }
                if (sizes[i] == 1) /* book-keeping counts: at least a due time for each byte */
                        assert_in_range(chunks, 1, HOLD_BYTES / (1 + sizeof(uint64_t)));
                else
                        assert_true(chunks * (sizes[i] + 64) >= HOLD_BYTES);
                assert_int_equal(shaper_put(shaper, data, sizes[i]), 0);
                assert_true(shaper_is_full(shaper));
                shaping.send_delay_usec = 0;
                assert_int_equal(shaper_set(shaper, &shaping), 0);
                for (;; left++) {
                        assert_int_equal(shaper_take(shaper, buffer, &n, &event), 0);
                        if (event != SHAPER_BYTES)
                                break;
                        assert_int_equal(n, sizes[i]);
                }
                assert_int_equal(left, chunks + 1);
                assert_false(shaper_is_full(shaper));
        }
}

/* hold_bytes can change while the shaper holds bytes. */
static void hold_changed(void **state)
{
        (void)state;
        set_delay(HOUR);
        put(1000);
        assert_false(shaper_is_full(shaper));
        shaping.hold_bytes = 1000;
        set();
        assert_true(shaper_is_full(shaper));
        shaping.hold_bytes = HOLD_BYTES;
        set();
        assert_false(shaper_is_full(shaper));
}

static void free_and_note(void *arg)
{
        shaper = shaper_free(shaper);
        *(bool *)arg = true;
}

/* on_due() may free the shaper. */
static void freed_when_due(void **state)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        bool freed = false;
        size_t n;

        (void)state;
        shaper = shaper_free(shaper);
        shaping.send_delay_usec = USEC_PER_MSEC;
        assert_int_equal(shaper_new(loop, &shaping, free_and_note, &freed, &shaper), 0);
        assert_int_equal(shaper_put(shaper, buffer, 100), 0);
        assert_int_equal(shaper_take(shaper, buffer, &n, &event), 0);
        assert_int_equal(event, SHAPER_NOTHING);
        assert_int_equal(n, 0);
        turn_until(freed);
        turn_a_while();
        assert_null(shaper_free(NULL));
}

/* Latency and jitter, on a stopped clock */

/* Delays overlap: chunks that arrive together leave together. */
static void latency(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.latency_usec = 100 * USEC_PER_MSEC;
        set();
        for (size_t i = 0; i < 10; i++) {
                put(100 + i);
                put(10);
                pass(30 * USEC_PER_MSEC);
        }
        pass(HOUR);
        assert_int_equal(n_departures, 20);
        for (size_t i = 0; i < 20; i++) {
                assert_int_equal(departures[i].n, i % 2 ? 10 : 100 + i / 2);
                assert_int_equal(departures[i].usec - began, (100 + i / 2 * 30) * USEC_PER_MSEC);
        }
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY);
}

/* A chunk keeps the latency that applied when it arrived, unless the new one is shorter. */
static void latency_changed(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.latency_usec = 10 * USEC_PER_MSEC;
        set();
        put(1);
        conditions.latency_usec = 50 * USEC_PER_MSEC;
        set();
        put(2);
        pass(15 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 1);
        assert_int_equal(departures[0].usec - began, 10 * USEC_PER_MSEC);
        conditions.latency_usec = 20 * USEC_PER_MSEC;
        set();
        pass(HOUR);
        assert_int_equal(n_departures, 2);
        assert_int_equal(departures[1].usec - began, 20 * USEC_PER_MSEC);
}

/* Puts @n chunks, one at a time. @usec: set to how long the first piece of each took. */
static void measure_delays(uint64_t *usec, size_t n)
{
        renew();
        for (size_t i = 0; i < n; i++) {
                size_t before = n_departures;
                uint64_t came = put(1000);

                pass(USEC_PER_SEC);
                assert_true(n_departures > before);
                usec[i] = departures[before].usec - came;
        }
}

/* Uniform from latency - jitter to latency + jitter; reproducible; independent of slicing. */
static void jitter(void **state)
{
        uint64_t usec[1000], again[1000], least = UINT64_MAX, most = 0, sum = 0;

        (void)state;
        conditions.latency_usec = 100 * USEC_PER_MSEC;
        conditions.jitter_usec = 40 * USEC_PER_MSEC;
        measure_delays(usec, 1000);
        for (size_t i = 0; i < 1000; i++) {
                assert_in_range(usec[i], 60 * USEC_PER_MSEC, 140 * USEC_PER_MSEC);
                least = model_least(least, usec[i]);
                most = model_most(most, usec[i]);
                sum += usec[i];
        }
        assert_in_range(least, 0, 61 * USEC_PER_MSEC);
        assert_in_range(most, 139 * USEC_PER_MSEC, UINT64_MAX);
        assert_in_range(sum / 1000, 97 * USEC_PER_MSEC, 103 * USEC_PER_MSEC);
        measure_delays(again, 1000);
        assert_memory_equal(usec, again, sizeof(usec));

        /* slicing does not shift the jitter sequence */
        conditions.slice_bytes = 300;
        conditions.slice_variation_bytes = 100;
        measure_delays(again, 1000);
        assert_memory_equal(usec, again, sizeof(usec));
}

/* With more jitter than latency, no chunk leaves before it arrived. */
static void jitter_alone(void **state)
{
        uint64_t usec[200];
        size_t at_once = 0;

        (void)state;
        conditions.jitter_usec = 40 * USEC_PER_MSEC;
        measure_delays(usec, 200);
        for (size_t i = 0; i < 200; i++) {
                assert_in_range(usec[i], 0, 40 * USEC_PER_MSEC);
                at_once += usec[i] == 0;
        }
        assert_in_range(at_once, 70, 130);
}

/* A chunk that is due before an earlier chunk waits for that one. */
static void jitter_keeps_order(void **state)
{
        size_t together = 0;

        (void)state;
        conditions.latency_usec = 20 * USEC_PER_MSEC;
        conditions.jitter_usec = 20 * USEC_PER_MSEC;
        set();
        for (size_t i = 1; i <= 200; i++) {
                put(i);
                pass(USEC_PER_MSEC);
        }
        pass(HOUR);
        assert_int_equal(n_departures, 200);
        for (size_t i = 0; i < 200; i++) {
                assert_int_equal(departures[i].n, i + 1);
                together += i > 0 && departures[i].usec == departures[i - 1].usec;
        }
        assert_in_range(together, 50, 199); /* chunks had to wait often enough */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_LOOP(three_at_once),      ON_LOOP(punctual),        ON_LOOP(punctual_after_long),
                ON_LOOP(delay_removed),      ON_LOOP(delay_shortened), ON_LOOP(full),
                ON_LOOP(hold_changed),       ON_LOOP(freed_when_due),  STOPPED(latency),
                STOPPED(latency_changed),    STOPPED(jitter),          STOPPED(jitter_alone),
                STOPPED(jitter_keeps_order),
        };

        return run_on_all_backends(tests);
}
