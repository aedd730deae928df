/* SPDX-License-Identifier: MIT */
/*
 * The token bucket grants exactly the burst and the tokens that the rate has added since, in the
 * order of the reservations, from any thread and for the largest numbers.
 *
 * The tests compare it with an exact level in millionths of a byte. The bucket counts in whole
 * nanoseconds, and may be wrong by one for each reservation.
 */
#include "bucket.h"
#include "unit.h"

#include <pthread.h>

#define BEGAN_USEC (1000 * USEC_PER_SEC)
#define THREADS    4
#define TURNS      500000

static struct bucket *bucket;

static int make(void **state)
{
        (void)state;
        return bucket_new(&bucket);
}

static int release(void **state)
{
        (void)state;
        bucket = bucket_unref(bucket);
        return 0;
}

/* Reserves @n bytes @usec after the beginning. Return: how long they have to wait. */
static uint64_t wait_of(uint64_t usec, size_t n, uint64_t rate, uint64_t burst)
{
        uint64_t now = BEGAN_USEC + usec, leave = bucket_reserve(bucket, now, n, rate, burst);

        assert_true(leave >= now);
        return leave - now;
}

/* A burst leaves at once, whole or in parts; then each reservation waits for its own bytes. */
static void burst_then_rate(void **state)
{
        (void)state;
        assert_int_equal(wait_of(0, 600, 1000, 1000), 0);
        assert_int_equal(wait_of(0, 400, 1000, 1000), 0);
        assert_int_equal(wait_of(0, 1, 1000, 1000), 1000);
        assert_int_equal(wait_of(0, 1000, 1000, 1000), 1001 * USEC_PER_MSEC);
        assert_int_equal(wait_of(USEC_PER_SEC, 499, 1000, 1000), 500 * USEC_PER_MSEC);
}

/* Unused tokens are kept, up to a burst. */
static void refill(void **state)
{
        (void)state;
        assert_int_equal(wait_of(0, 1000, 1000, 1000), 0);
        assert_int_equal(wait_of(500 * USEC_PER_MSEC, 500, 1000, 1000), 0);
        assert_int_equal(wait_of(500 * USEC_PER_MSEC, 1, 1000, 1000), USEC_PER_MSEC);
        assert_int_equal(wait_of(3600 * USEC_PER_SEC, 1000, 1000, 1000), 0);
        assert_int_equal(wait_of(3600 * USEC_PER_SEC, 1, 1000, 1000), USEC_PER_MSEC);
}

/* Without a burst, each reservation waits for its own bytes, even after a long pause. */
static void no_burst(void **state)
{
        (void)state;
        assert_int_equal(wait_of(0, 600, 1000, 0), 600 * USEC_PER_MSEC);
        assert_int_equal(wait_of(0, 1, 1000, 0), 601 * USEC_PER_MSEC);
        assert_int_equal(wait_of(100 * USEC_PER_MSEC, 9, 1000, 0), 510 * USEC_PER_MSEC);
        assert_int_equal(wait_of(3600 * USEC_PER_SEC, 65536, 1000, 0), 65536 * USEC_PER_MSEC);
        bucket_return(bucket, 65536, 1000);
        assert_int_equal(wait_of(3600 * USEC_PER_SEC, 1, 1000, 0), USEC_PER_MSEC);
}

/* The next reservation gets exactly the tokens that were returned. */
static void returned(void **state)
{
        (void)state;
        assert_int_equal(wait_of(0, 1000, 1000, 1000), 0);
        assert_int_equal(wait_of(0, 300, 1000, 1000), 300 * USEC_PER_MSEC);
        assert_int_equal(wait_of(0, 100, 1000, 1000), 400 * USEC_PER_MSEC);
        bucket_return(bucket, 300, 1000);
        assert_int_equal(wait_of(0, 100, 1000, 1000), 200 * USEC_PER_MSEC);

        /* exactly the returned tokens are available */
        assert_int_equal(wait_of(10 * USEC_PER_SEC, 1000, 1000, 1000), 0);
        assert_int_equal(wait_of(10 * USEC_PER_SEC, 1000, 1000, 1000), USEC_PER_SEC);
        bucket_return(bucket, 1000, 1000);
        assert_int_equal(wait_of(10500 * USEC_PER_MSEC, 500, 1000, 1000), 0);
        assert_int_equal(wait_of(10500 * USEC_PER_MSEC, 1, 1000, 1000), USEC_PER_MSEC);
}

static void filled(void **state)
{
        (void)state;
        assert_int_equal(wait_of(0, 65536, 1, 65536), 0);
        bucket_fill(bucket);
        assert_int_equal(wait_of(0, 65536, 1, 65536), 0);
        assert_int_equal(wait_of(0, 1, 1, 65536), USEC_PER_SEC);
}

/* Moments are rounded up to microseconds, so that no fraction is lost to the rate. */
static void fractions(void **state)
{
        const uint64_t rate = 3000000; /* 0.33 µs a byte */

        (void)state;
        assert_int_equal(wait_of(0, 1, rate, 1), 0);
        for (uint64_t i = 1; i <= 300; i++)
                assert_int_equal(wait_of(0, 1, rate, 1), (i * USEC_PER_SEC + rate - 1) / rate);
}

/* The largest and smallest rates, bursts and sizes. */
static void extremes(void **state)
{
        static const struct {
                uint64_t rate, burst;
                size_t n;
                uint64_t second_wait; /* of a second burst, or a second reservation */
        } cases[] = {
                { 1, 1, 1, USEC_PER_SEC },
                { 1, 65536, 65536, 65536 * USEC_PER_SEC },
                { 1, (uint64_t)1 << 40, 65536, 0 },
                { 1, 18446744074, 65536, 0 }, /* 2^64 ns, and a little */
                { 7, UINT64_MAX, 65536, 0 },
                { (uint64_t)1 << 40, (uint64_t)1 << 40, 65536, 0 },
                { (uint64_t)1 << 40, 65536, 65536, 1 },
                { (uint64_t)1 << 40, 1, 1, 1 },
                { UINT64_MAX, 1, 1, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void)release(state);
                assert_int_equal(make(state), 0);
                assert_int_equal(wait_of(0, cases[i].n, cases[i].rate, cases[i].burst), 0);
                assert_in_range(wait_of(0, cases[i].n, cases[i].rate, cases[i].burst),
                                cases[i].second_wait ? cases[i].second_wait - 1 : 0,
                                cases[i].second_wait);
        }
}

/* The level of the bucket at @now, in millionths of a byte; below 0: reserved in advance. */
struct level {
        __int128 micro;
        uint64_t now, rate, burst;
};

static void rise(struct level *level, uint64_t usec)
{
        __int128 brim = (__int128)level->burst * 1000000;

        level->micro += (__int128)level->rate * usec;
        level->now += usec;
        if (level->micro > brim)
                level->micro = brim;
}

/* Random sizes at random times. */
static void random_row(struct level *level)
{
        uint64_t last = 0;

        level->micro = (__int128)level->burst * 1000000;
        for (size_t i = 0; i < 1000; i++) {
                size_t n = random_between(1, level->burst && level->burst < 65536 ? level->burst
                                                                                  : 65536);
                __int128 owed;
                uint64_t waits, exact = 0;

                rise(level,
                     random() % 3 ? 0 : random_between(0, 3 * n * USEC_PER_SEC / level->rate));
                level->micro -= (__int128)n * 1000000;
                owed = -level->micro;
                if (owed > 0)
                        exact = (uint64_t)((owed + level->rate - 1) / level->rate);
                waits = wait_of(level->now, n, level->rate, level->burst);
                assert_in_range(waits + 1 + (i + 2) / 1000, exact, exact + 2 + (i + 2) / 1000);
                assert_true(level->now + waits >= last); /* in the order of the reservations */
                last = level->now + waits;
        }
}

static void random_rows(void **state)
{
        seed_random();
        for (int i = 0; i < 200; i++) {
                struct level level = {
                        .rate = random_between(1, (size_t)1 << random_between(0, 30)),
                        .burst = random_between(1, (size_t)1 << random_between(0, 20))
                };

                if (i % 8 == 0)
                        level.burst = 0;
                (void)release(state);
                assert_int_equal(make(state), 0);
                random_row(&level);
        }
}

/* From several threads at once */

static pthread_barrier_t start;

static void *reserve_many(void *arg)
{
        uint64_t *leaves = arg;

        (void)pthread_barrier_wait(&start);
        for (size_t i = 0; i < TURNS; i++)
                leaves[i] = bucket_reserve(bucket_ref(bucket), BEGAN_USEC, 1, 1000000, 1);
        for (size_t i = 0; i < TURNS; i++)
                bucket_unref(bucket);
        return NULL;
}

/* Each moment is granted once, and in order within each thread. */
static void threads(void **state)
{
        static uint64_t leaves[THREADS][TURNS];
        static bool given[THREADS * TURNS];
        pthread_t ids[THREADS];

        (void)state;
        assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&ids[i], NULL, reserve_many, leaves[i]), 0);
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(pthread_barrier_destroy(&start), 0);
        memset(given, 0, sizeof(given));
        for (size_t i = 0; i < THREADS; i++) {
                for (size_t j = 0; j < TURNS; j++) {
                        assert_in_range(leaves[i][j], BEGAN_USEC, BEGAN_USEC + THREADS * TURNS - 1);
                        assert_false(given[leaves[i][j] - BEGAN_USEC]);
                        given[leaves[i][j] - BEGAN_USEC] = true;
                        assert_true(j == 0 || leaves[i][j] > leaves[i][j - 1]);
                }
        }
}

static void references(void **state)
{
        (void)state;
        assert_ptr_equal(bucket_ref(bucket), bucket);
        assert_null(bucket_unref(bucket));
        assert_int_equal(wait_of(0, 1, 1, 1), 0); /* still there */
        assert_null(bucket_unref(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(burst_then_rate, make, release),
                cmocka_unit_test_setup_teardown(no_burst, make, release),
                cmocka_unit_test_setup_teardown(refill, make, release),
                cmocka_unit_test_setup_teardown(returned, make, release),
                cmocka_unit_test_setup_teardown(filled, make, release),
                cmocka_unit_test_setup_teardown(fractions, make, release),
                cmocka_unit_test_setup_teardown(extremes, make, release),
                cmocka_unit_test_setup_teardown(random_rows, make, release),
                cmocka_unit_test_setup_teardown(threads, make, release),
                cmocka_unit_test_setup_teardown(references, make, release),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
