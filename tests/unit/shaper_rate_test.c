/* SPDX-License-Identifier: MIT */
/*
 * The rate of the shaper: with a burst, without a burst, and in a bucket that several shapers
 * share.
 */
#include "shaper_fixture.h"

/* A burst leaves at once, and then the rate: never more, and at most one piece less. */
static void rate(void **state)
{
        const uint64_t rate = 100000, burst = 4000, began = stopped_usec;
        uint64_t n = 0;

        (void)state;
        conditions.rate = rate;
        conditions.burst_bytes = burst;
        set();
        for (size_t i = 0; i < 60; i++)
                put(1 + i * 37 % 1500);
        put(10000); /* more than a burst: leaves in pieces of the size of one */
        pass(HOUR);
        assert_true(shaper_is_empty(shaper));
        expect_rate(rate, burst);
        for (size_t i = 0; i < n_departures; i++) {
                uint64_t span = departures[i].usec - began;

                n += departures[i].n;
                assert_in_range(departures[i].n, 1, burst);
                if (span > 0) /* a timer is late by much less than two bytes take */
                        assert_in_range(burst * USEC_PER_SEC + rate * span, 0,
                                        (n + 2) * USEC_PER_SEC);
        }
        assert_int_equal(shaper_faults(shaper), FAULT_RATE);

        /* however long a pause is, only one burst follows it */
        n_departures = 0;
        for (size_t i = 0; i < 20; i++)
                put(1000);
        pass(10 * USEC_PER_MSEC);
        expect_rate(rate, burst);
        assert_in_range(n_departures, 4, 5);
}

/* pass() asks for a piece within 3 µs of its moment. */
static void expect_usec(uint64_t usec, uint64_t expected)
{
        assert_in_range(usec, expected, expected + 3);
}

/*
 * Without a burst, each chunk leaves whole when its own bytes have been paid for. That takes its
 * length divided by the rate, after its arrival and after the chunk before it was paid for.
 */
static void no_burst(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.rate = 100000;
        conditions.burst_bytes = 0;
        set();
        put(1000);
        put(50000);
        put(1);
        put_end();
        pass(HOUR);
        assert_int_equal(n_departures, 3);
        expect_usec(departures[0].usec - began, 10 * USEC_PER_MSEC);
        expect_usec(departures[1].usec - began, 510 * USEC_PER_MSEC);
        assert_int_equal(departures[1].n, 50000);
        expect_usec(departures[2].usec - began, 510010);
        assert_int_equal(end_usec, departures[2].usec);
        assert_int_equal(shaper_faults(shaper), FAULT_RATE);

        renew();
        pass(HOUR);
        for (size_t i = 0; i < 5; i++) {
                uint64_t came = put(2000);

                pass(USEC_PER_SEC);
                assert_int_equal(n_departures, i + 1);
                expect_usec(departures[i].usec - came, 20 * USEC_PER_MSEC);
        }
}

/* A late timer does not delay later chunks; a destination that takes nothing earns no burst. */
static void no_burst_late(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.rate = 100000;
        conditions.burst_bytes = 0;
        set();
        for (size_t i = 0; i < 30; i++)
                put(1000);
        for (size_t i = 1; i <= 10; i++) { /* each is taken 1 to 9 ms after it was due */
                stopped_usec = began + i * 10 * USEC_PER_MSEC + i % 10 * USEC_PER_MSEC;
                (void)take_due();
                assert_int_equal(n_departures, i);
        }
        pass(10 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 11);
        expect_usec(departures[10].usec - began, 110 * USEC_PER_MSEC);
        stopped_usec += USEC_PER_SEC;
        (void)take_due(); /* the chunk that was paid for, and the next one: 10 ms are forgiven */
        assert_int_equal(n_departures, 13);
        pass(9 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 13);
}

/* No time is lost between many small chunks, on the loop's own timers. */
static void no_burst_small(void **state)
{
        uint64_t began = now_usec();

        (void)state;
        conditions.rate = 1000000;
        conditions.burst_bytes = 0;
        set();
        for (size_t i = 0; i < 1000; i++)
                put(100);
        follow_until(n_departures == 1000);
        assert_true(departures[999].usec >= began + 100 * USEC_PER_MSEC);
        assert_in_range(n_due, 1, 1100);
}

/* Setting the same rate again, however often, takes no tokens. */
static void rate_set_again(void **state)
{
        (void)state;
        conditions.rate = 1000;
        conditions.burst_bytes = 100;
        set();
        put(2000);
        for (size_t i = 0; i < 200; i++) {
                pass(10 * USEC_PER_MSEC);
                set();
        }
        assert_in_range(model.out_bytes, 1900, 2000);
        expect_rate(1000, 100);
}

/* A new rate or burst starts with a full bucket. */
static void rate_changed(void **state)
{
        (void)state;
        conditions.rate = 1;
        conditions.burst_bytes = 60000;
        set();
        put(60000);
        put(1000);
        pass(USEC_PER_SEC);
        assert_int_equal(n_departures, 1);
        conditions.rate = 1000000;
        conditions.burst_bytes = 1000;
        set();
        pass(USEC_PER_MSEC);
        assert_int_equal(n_departures, 2);

        /* even if the new burst is smaller */
        conditions.rate = 1000;
        conditions.burst_bytes = 60000;
        set();
        put(60000);
        assert_int_equal(n_departures, 3);
        conditions.burst_bytes = 100;
        set();
        put(100);
        pass(100 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 4);
}

/* The largest and smallest rates and bursts: what fits into the burst leaves at once. */
static void rate_extremes(void **state)
{
        static const struct {
                uint64_t rate, burst;
        } cases[] = {
                { 1, (uint64_t)1 << 40 },
                { 1, 18446744074 }, /* 2^64 ns, and a little */
                { (uint64_t)1 << 40, (uint64_t)1 << 40 },
                { (uint64_t)1 << 40, 65536 },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                conditions.rate = cases[i].rate;
                conditions.burst_bytes = cases[i].burst;
                renew();
                put(LOOP_SCRATCH_BYTES);
                assert_int_equal(n_departures, 1);
        }
}

/* A shared bucket, on a stopped clock */

#define MEMBERS   5
#define TICK_USEC ((uint64_t)100)

static struct member {
        struct shaper *shaper;
        uint64_t out_bytes;
} members[MEMBERS];

static void on_member_due(void *arg)
{
        (void)arg;
        fail();
}

static void make_members(void)
{
        conditions.shared = true;
        assert_int_equal(bucket_new(&shared_bucket), 0);
        fates_free(draw_fates(stopped_usec));
        for (size_t i = 0; i < MEMBERS; i++) {
                members[i] = (struct member){ 0 };
                assert_int_equal(shaper_new(loop, &shaping, on_member_due, NULL,
                                            &members[i].shaper),
                                 0);
        }
        shared_bucket = bucket_unref(shared_bucket); /* the fates have a reference */
}

static void free_members(void)
{
        for (size_t i = 0; i < MEMBERS; i++)
                members[i].shaper = shaper_free(members[i].shaper);
}

static void put_for_member(size_t i, size_t n)
{
        static const uint8_t data[LOOP_SCRATCH_BYTES];

        assert_int_equal(shaper_put(members[i].shaper, data, n), 0);
}

/* Takes everything that is due for a member. Return: the number of bytes. */
static uint64_t take_for_member(size_t i)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        uint64_t sum = 0;
        size_t n;

        do {
                assert_int_equal(shaper_take(members[i].shaper, buffer, &n, &event), 0);
                sum += n;
        } while (event == SHAPER_BYTES);
        members[i].out_bytes += sum;
        return sum;
}

/* All members together use up the rate and no more; no member is far ahead of another. */
static void shared(void **state)
{
        const uint64_t rate = 100000, burst = 2000, began = stopped_usec, total = MEMBERS * 20000;
        uint64_t sum = 0;

        (void)state;
        conditions.rate = rate;
        conditions.burst_bytes = burst;
        make_members();
        for (size_t i = 0; i < MEMBERS; i++)
                for (size_t j = 0; j < 20; j++)
                        put_for_member(i, 1000);
        for (; sum < total; stopped_usec += TICK_USEC) {
                uint64_t span = stopped_usec - began, least = UINT64_MAX, most = 0, allowed;

                /* each time another member is first */
                for (size_t i = 0; i < MEMBERS; i++)
                        sum += take_for_member((span / TICK_USEC * 3 + i) % MEMBERS);
                allowed = burst + rate * span / USEC_PER_SEC;
                assert_in_range(sum, 0, allowed);
                if (sum < total)
                        assert_true(sum + 1000 + rate * TICK_USEC / USEC_PER_SEC >= allowed);
                for (size_t i = 0; i < MEMBERS; i++) {
                        least = model_least(least, members[i].out_bytes);
                        most = model_most(most, members[i].out_bytes);
                }
                assert_in_range(most - least, 0, burst + 1000);
        }
        free_members();
}

/* Each member gets @n bytes: the first one's leave, the others have reserved tokens. */
static void make_members_wait(size_t n)
{
        make_members();
        for (size_t i = 0; i < MEMBERS; i++)
                put_for_member(i, n);
        for (size_t i = 0; i < MEMBERS; i++)
                assert_int_equal(take_for_member(i), i == 0 ? n : 0);
}

/* A member does not wait long behind members that leave with reserved tokens. */
static void shared_behind_leavers(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.rate = 100000;
        conditions.burst_bytes = 50000;
        make_members_wait(50000);
        for (size_t i = 0; i + 1 < MEMBERS; i++)
                members[i].shaper = shaper_free(members[i].shaper);
        while (take_for_member(MEMBERS - 1) == 0 && stopped_usec < began + HOUR)
                stopped_usec += TICK_USEC;
        assert_in_range(stopped_usec - began, 1, MEMBERS * 10 * USEC_PER_MSEC);
        free_members();
}

/* A member that leaves returns the tokens that it had reserved. */
static void shared_tokens_returned(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.rate = 1000;
        conditions.burst_bytes = 1000;
        make_members_wait(1000);
        for (size_t i = 1; i < MEMBERS; i++)
                members[i].shaper = shaper_free(members[i].shaper);
        put_for_member(0, 500);
        for (uint64_t sum = 0; (sum += take_for_member(0)) < 500 && stopped_usec < began + HOUR;)
                stopped_usec += TICK_USEC;
        assert_in_range(stopped_usec - began, USEC_PER_SEC / 2, USEC_PER_SEC / 2 + TICK_USEC);
        free_members();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                STOPPED(rate),
                STOPPED(no_burst),
                STOPPED(no_burst_late),
                ON_LOOP(no_burst_small),
                STOPPED(rate_set_again),
                STOPPED(rate_changed),
                STOPPED(rate_extremes),
                STOPPED(shared),
                STOPPED(shared_tokens_returned),
                STOPPED(shared_behind_leavers),
        };

        return run_on_all_backends(tests);
}
