/* SPDX-License-Identifier: MIT */
/*
 * The shaper's conditions other than delays and rate: slices, limit, stall and the delay of the
 * end. For every condition, also its removal and its replacement by another one.
 */
#include "shaper_fixture.h"

/* Adds a group without conditions, in force with the next set(). */
static struct conditions *add(const char *name)
{
        struct conditions *group = &more[n_more++];

        *group = conditions_none;
        (void)snprintf(group->name, sizeof(group->name), "%s", name);
        return group;
}

/* Pieces of about slice_size, with pauses between; the last piece of a chunk may be shorter. */
static void slices(void **state)
{
        size_t at = 0, least = SIZE_MAX, most = 0;

        (void)state;
        conditions.slice_bytes = 100;
        conditions.slice_variation_bytes = 30;
        conditions.slice_delay_usec = 5 * USEC_PER_MSEC;
        set();
        for (size_t i = 0; i < 10; i++)
                put(2000);
        pass(HOUR);
        assert_true(shaper_is_empty(shaper));
        for (size_t i = 0; i < n_departures; i++) {
                size_t n = departures[i].n;

                if (i > 0)
                        assert_int_equal(departures[i].usec - departures[i - 1].usec,
                                         5 * USEC_PER_MSEC);
                at += n;
                if (at % 2000 == 0)
                        continue;
                assert_in_range(n, 70, 130);
                least = model_least(least, n);
                most = model_most(most, n);
        }
        assert_int_equal(at, 20000);
        assert_in_range(least, 70, 73);
        assert_in_range(most, 127, 130);
        assert_int_equal(shaper_faults(shaper), FAULT_SLICE);
}

/* Without a variation all slices are equal; without a delay they leave at once. */
static void slices_alone(void **state)
{
        (void)state;
        conditions.slice_bytes = 300;
        set();
        put(1000);
        assert_int_equal(n_departures, 4);
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(departures[i].n, i < 3 ? 300 : 100);
        put(300);
        assert_int_equal(n_departures, 5);
        assert_int_equal(shaper_faults(shaper), FAULT_SLICE);
}

/* The pause is also between two chunks, and is reported as a fault. */
static void slice_delay_alone(void **state)
{
        uint64_t began;

        (void)state;
        conditions.slice_delay_usec = 10 * USEC_PER_MSEC;
        set();
        began = put(1000);
        put(1000);
        assert_int_equal(n_departures, 1);
        pass(HOUR);
        assert_int_equal(departures[1].usec, began + 10 * USEC_PER_MSEC);
        assert_int_equal(shaper_faults(shaper), FAULT_SLICE);
}

/* The limit is exact to the byte, and final. */
static void limit(void **state)
{
        (void)state;
        conditions.limit_bytes = 1000;
        set();
        for (size_t i = 0; i < 3; i++) {
                put(300);
                assert_int_equal(departures[i].n, 300);
                assert_false(model.limited);
        }
        assert_int_equal(shaper_faults(shaper), 0);
        put(300);
        put_end();
        assert_int_equal(model.out_bytes, 1000);
        assert_int_equal(n_departures, 4);
        assert_int_equal(shaper_faults(shaper), FAULT_LIMIT);
        pass(HOUR);
        assert_int_equal(take(), SHAPER_OVER);
        assert_int_equal(model.out_bytes, 1000);
        assert_int_equal(end_usec, 0);
}

/* A limit of 0 is reached when the first byte would leave; an end without bytes passes. */
static void limit_of_zero(void **state)
{
        (void)state;
        conditions.limit_bytes = 0;
        conditions.latency_usec = 100 * USEC_PER_MSEC;
        set();
        pass(HOUR);
        assert_false(model.limited);
        put(300);
        put(1);
        pass(100 * USEC_PER_MSEC - 1);
        assert_false(model.limited);
        pass(1);
        assert_true(model.limited);
        assert_int_equal(take(), SHAPER_OVER);
        assert_int_equal(model.out_bytes, 0);
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY | FAULT_LIMIT);

        renew();
        put_end();
        pass(HOUR);
        assert_false(model.limited);
        assert_true(end_usec > 0);
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY);
}

/*
 * Bytes that left before the group came into force do not count; those before the limit was changed
 * do. When they exceed it, the next byte ends the connection.
 */
static void limit_set_late(void **state)
{
        (void)state;
        put(500);
        conditions.limit_bytes = 1000;
        set();
        put(499);
        assert_false(model.limited);
        conditions.limit_bytes = 998;
        set();
        pass(HOUR);
        assert_false(model.limited);
        put(1);
        assert_true(model.limited);
        assert_int_equal(model.out_bytes, 999);
        assert_int_equal(shaper_faults(shaper), FAULT_LIMIT);

        renew();
        conditions.limit_bytes = CONDITIONS_NEVER;
        set();
        put(500);
        add("added")->limit_bytes = 100;
        set();
        put(99);
        assert_false(model.limited);
        put(2);
        assert_true(model.limited);
        assert_int_equal(model.out_bytes, 600);
}

/* The stall begins after so many bytes, once. */
static void stall_by_bytes(void **state)
{
        uint64_t began;

        (void)state;
        conditions.stall_after_bytes = 500;
        conditions.stall_for_usec = 50 * USEC_PER_MSEC;
        set();
        put(300);
        pass(USEC_PER_SEC);
        began = put(300);
        assert_int_equal(n_departures, 2);
        assert_int_equal(departures[1].n, 200);
        pass(USEC_PER_MSEC);
        put(400);
        pass(48 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 2);
        pass(HOUR);
        assert_int_equal(n_departures, 4);
        assert_int_equal(departures[2].usec, began + 50 * USEC_PER_MSEC);
        assert_int_equal(departures[3].usec, began + 50 * USEC_PER_MSEC);
        put(10000);
        assert_int_equal(n_departures, 5);
        assert_int_equal(shaper_faults(shaper), FAULT_STALL);
}

/* The stall begins this long after the connection began, once. */
static void stall_by_time(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.stall_after_usec = 20 * USEC_PER_MSEC;
        conditions.stall_for_usec = 50 * USEC_PER_MSEC;
        set();
        put(1);
        assert_int_equal(n_departures, 1);
        pass(19 * USEC_PER_MSEC);
        put(2);
        assert_int_equal(n_departures, 2);
        assert_int_equal(shaper_faults(shaper), 0);
        pass(USEC_PER_MSEC);
        put(3);
        put_end();
        pass(HOUR);
        assert_int_equal(n_departures, 3);
        assert_int_equal(departures[2].usec, began + 70 * USEC_PER_MSEC);
        assert_int_equal(end_usec, began + 70 * USEC_PER_MSEC);
        assert_int_equal(shaper_faults(shaper), FAULT_STALL);
}

/* A stall during which nothing was held is not a fault. */
static void stall_unseen(void **state)
{
        (void)state;
        conditions.stall_after_usec = 20 * USEC_PER_MSEC;
        conditions.stall_for_usec = 50 * USEC_PER_MSEC;
        set();
        pass(USEC_PER_SEC);
        put(1);
        assert_int_equal(n_departures, 1);
        assert_int_equal(shaper_faults(shaper), 0);
}

static void stall_forever(void **state)
{
        (void)state;
        conditions.stall_after_bytes = 1000;
        conditions.stall_for_usec = CONDITIONS_FOREVER;
        set();
        put(800);
        put(800);
        put_end();
        pass(365 * 24 * HOUR);
        assert_int_equal(model.out_bytes, 1000);
        assert_int_equal(end_usec, 0);
        set(); /* the same stall does not begin again */
        assert_int_equal(model.out_bytes, 1000);
        set_none();
        assert_int_equal(model.out_bytes, 1600);
        assert_int_equal(end_usec, stopped_usec);
        assert_int_equal(shaper_faults(shaper), FAULT_STALL);
}

/* A stall whose beginning has passed when it is set begins at once, by time and by bytes. */
static void stall_set_late(void **state)
{
        (void)state;
        put(1000);
        pass(HOUR);
        for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
                uint64_t asked = stopped_usec;

                conditions = conditions_none;
                if (by_bytes)
                        conditions.stall_after_bytes = 500;
                else
                        conditions.stall_after_usec = USEC_PER_SEC;
                conditions.stall_for_usec = 10 * USEC_PER_SEC;
                set();
                pass(USEC_PER_SEC);
                put(1);
                pass(HOUR);
                assert_int_equal(departures[n_departures - 1].usec, asked + 10 * USEC_PER_SEC);
                set(); /* the same stall does not begin again */
                put(1);
                assert_int_equal(departures[n_departures - 1].usec, stopped_usec);
        }
}

/* A stall does not fill the bucket. */
static void stall_and_rate(void **state)
{
        (void)state;
        conditions.rate = 100000;
        conditions.burst_bytes = 1000;
        conditions.stall_after_usec = 20 * USEC_PER_MSEC;
        conditions.stall_for_usec = USEC_PER_SEC;
        set();
        for (size_t i = 0; i < 10; i++)
                put(1000);
        pass(HOUR);
        assert_int_equal(model.out_bytes, 10000);
        expect_rate(100000, 1000);
}

/* The end comes that much later, also behind data that waits. */
static void close_delay(void **state)
{
        uint64_t came;

        (void)state;
        conditions.close_delay_usec = 200 * USEC_PER_MSEC;
        set();
        put(1000);
        assert_int_equal(n_departures, 1);
        pass(50 * USEC_PER_MSEC);
        came = stopped_usec;
        put_end();
        pass(HOUR);
        assert_int_equal(end_usec, came + 200 * USEC_PER_MSEC);
        assert_int_equal(shaper_faults(shaper), FAULT_CLOSE_DELAY);

        conditions.rate = 1000;
        conditions.burst_bytes = 1000;
        renew();
        put(2000);
        put_end();
        pass(HOUR);
        assert_in_range(departures[1].usec, came + USEC_PER_SEC, UINT64_MAX);
        assert_int_equal(end_usec, departures[1].usec + 200 * USEC_PER_MSEC);
        assert_int_equal(shaper_faults(shaper), FAULT_RATE | FAULT_CLOSE_DELAY);
}

/* Several groups */

/* Each jitter is drawn by itself: the sums are spread over both ranges. */
static void latencies(void **state)
{
        uint64_t shortest = UINT64_MAX, longest = 0;

        (void)state;
        conditions.latency_usec = 10 * USEC_PER_MSEC;
        conditions.jitter_usec = 5 * USEC_PER_MSEC;
        add("more")->latency_usec = 10 * USEC_PER_MSEC;
        more[0].jitter_usec = 5 * USEC_PER_MSEC;
        set();
        for (size_t i = 0; i < 200; i++) {
                uint64_t came = put(1);

                pass(HOUR);
                shortest = model_least(shortest, departures[i].usec - came);
                longest = model_most(longest, departures[i].usec - came);
        }
        assert_in_range(shortest, 10 * USEC_PER_MSEC, 15 * USEC_PER_MSEC);
        assert_in_range(longest, 25 * USEC_PER_MSEC, 30 * USEC_PER_MSEC);
}

/* Two stalls that overlap stop the line until both are over. */
static void stalls(void **state)
{
        const uint64_t began = stopped_usec;

        (void)state;
        conditions.stall_after_usec = 0;
        conditions.stall_for_usec = 20 * USEC_PER_MSEC;
        add("later");
        more[0].stall_after_usec = 10 * USEC_PER_MSEC;
        more[0].stall_for_usec = 30 * USEC_PER_MSEC;
        renew();
        put(1);
        pass(HOUR);
        assert_int_equal(departures[0].usec, began + 40 * USEC_PER_MSEC);
}

/* What discards */

/* No byte is kept; the end passes, and what came before discard passes. */
static void discard(void **state)
{
        (void)state;
        conditions.latency_usec = 10 * USEC_PER_MSEC;
        set();
        put(100);
        conditions.discard = true;
        set();
        put(1000);
        assert_int_equal(model.discarded_bytes, 1000);
        assert_int_equal(shaper_bytes(shaper), 100);
        put_end();
        pass(HOUR);
        assert_int_equal(model.out_bytes, 100);
        assert_true(end_usec > 0);
        assert_false(model.over);
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY | FAULT_DISCARD);
}

/* The connection is over when no chunk came for discard_idle; each chunk begins the time anew. */
static void discard_idle(void **state)
{
        struct fate_end end;

        (void)state;
        conditions.discard = true;
        conditions.discard_idle_usec = 300 * USEC_PER_MSEC;
        set();
        for (int i = 0; i < 5; i++) {
                pass(299 * USEC_PER_MSEC);
                put(1);
        }
        pass(300 * USEC_PER_MSEC - 1);
        assert_false(model.over);
        assert_false(shaper_is_over(shaper, &end));
        stopped_usec++;
        assert_int_equal(take(), SHAPER_OVER);
        assert_true(shaper_is_over(shaper, &end));
        assert_int_equal(end.why, FATE_IDLE);
        assert_ptr_equal(end.group, shaping.fates->list[0].group);
        assert_int_equal(shaper_faults(shaper), FAULT_DISCARD);

        renew(); /* the end of the stream ends the wait */
        put_end();
        pass(HOUR);
        assert_false(model.over);
}

/* When the group goes that discarded, the connection is over; not when its values change. */
static void discard_ended(void **state)
{
        struct fate_end end;

        (void)state;
        add("hole")->discard = true;
        set();
        put(5);
        more[0].latency_usec = USEC_PER_SEC;
        set();
        assert_false(model.over);
        n_more = 0;
        set();
        assert_true(model.over);
        assert_true(shaper_is_over(shaper, &end));
        assert_int_equal(end.why, FATE_DISCARD_ENDED);
}

/* The first chunk is not kept, what follows stays, and then the connection is over. */
static void reset_after_data(void **state)
{
        struct fate_end end;
        uint64_t came;

        (void)state;
        add("reset")->reset_after_data_usec = 200 * USEC_PER_MSEC;
        set();
        pass(HOUR);
        assert_false(model.over);
        came = put(100);
        assert_int_equal(model.discarded_bytes, 100);
        pass(100 * USEC_PER_MSEC);
        put(50);
        put_end();
        assert_int_equal(n_departures, 0);
        pass(100 * USEC_PER_MSEC - 1);
        assert_false(model.over);
        stopped_usec = came + 200 * USEC_PER_MSEC;
        assert_int_equal(take(), SHAPER_OVER);
        assert_true(shaper_is_over(shaper, &end));
        assert_int_equal(end.why, FATE_RESET);
        assert_int_equal(shaper_faults(shaper), FAULT_RESET_DATA);

        renew(); /* the group is removed in time: what was held goes at once */
        put(100);
        put(50);
        put_end();
        n_more = 0;
        set();
        assert_int_equal(model.out_bytes, 50);
        assert_int_equal(end_usec, stopped_usec);
        pass(HOUR);
        assert_false(model.over);
}

/* Bytes that came before the group are let through, and its own first chunk is not. */
static void reset_after_data_added(void **state)
{
        (void)state;
        conditions.latency_usec = 10 * USEC_PER_MSEC;
        set();
        put(30);
        add("reset")->reset_after_data_usec = USEC_PER_SEC;
        set();
        put(40);
        put(50);
        pass(USEC_PER_SEC / 2);
        assert_int_equal(model.out_bytes, 30);
        assert_int_equal(shaper_bytes(shaper), 50);
        n_more = 0;
        set();
        assert_int_equal(model.out_bytes, 80);
}

/* Every condition that can hold bytes */

static void hold_by_send_delay(void)
{
        shaping.send_delay_usec = HOUR;
}

static void hold_by_latency(void)
{
        conditions.latency_usec = HOUR;
        conditions.jitter_usec = HOUR / 2;
}

static void hold_by_rate(void)
{
        conditions.rate = conditions.burst_bytes = 1;
}

static void hold_by_rate_of_zero(void)
{
        conditions.rate = 0;
}

static void hold_by_slices(void)
{
        conditions.slice_bytes = 1;
        conditions.slice_delay_usec = HOUR;
}

static void hold_by_stall(void)
{
        conditions.stall_after_usec = 0;
        conditions.stall_for_usec = CONDITIONS_FOREVER;
}

static void hold_by_close_delay(void)
{
        conditions.close_delay_usec = HOUR;
}

static void hold_by_all(void)
{
        hold_by_latency();
        hold_by_rate();
        hold_by_slices();
        hold_by_stall();
        hold_by_close_delay();
}

static const struct {
        void (*hold)(void);
        unsigned fault;
} holders[] = {
        { hold_by_send_delay, 0 },
        { hold_by_latency, FAULT_LATENCY },
        { hold_by_rate, FAULT_RATE },
        { hold_by_rate_of_zero, FAULT_RATE },
        { hold_by_slices, FAULT_SLICE },
        { hold_by_stall, FAULT_STALL },
        { hold_by_close_delay, FAULT_CLOSE_DELAY },
        { hold_by_all, FAULT_LATENCY },
};

/* Makes a shaper that holds two chunks and their end, or only the end. */
static void hold(size_t i)
{
        conditions = conditions_none;
        shaping.send_delay_usec = 0;
        holders[i].hold();
        renew();
        put(700);
        put(300);
        put_end();
        pass(USEC_PER_MSEC);
        assert_false(shaper_is_empty(shaper));
        assert_int_equal(end_usec, 0);
        if (holders[i].hold == hold_by_close_delay)
                assert_int_equal(model.out_bytes, 1000);
        else
                assert_in_range(model.out_bytes, 0, 1);
}

/* When the condition is removed, everything leaves at once, and only that condition is reported. */
static void removed(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(holders); i++) {
                hold(i);
                set_none();
                assert_true(shaper_is_empty(shaper));
                assert_int_equal(model.out_bytes, 1000);
                assert_int_equal(end_usec, stopped_usec);
                assert_int_equal(shaper_faults(shaper), holders[i].fault);
        }
}

/* Any condition can replace any other without losing a byte. */
static void exchanged(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(holders); i++) {
                for (size_t j = 0; j < ELEMENTS(holders); j++) {
                        hold(i);
                        conditions = conditions_none;
                        shaping.send_delay_usec = 0;
                        holders[j].hold();
                        set();
                        pass(USEC_PER_MSEC);
                        set_none();
                        assert_true(shaper_is_empty(shaper));
                        assert_int_equal(model.out_bytes, 1000);
                        assert_true(end_usec > 0);
                }
        }
}

/* The end of the stream waits behind its data, and comes right after the data. */
static void end_waits(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(holders); i++) {
                uint64_t last_usec;

                hold(i);
                if (conditions.stall_for_usec)
                        conditions.stall_for_usec = HOUR;
                if (conditions.rate == 0)
                        conditions.rate = CONDITIONS_UNLIMITED;
                set();
                pass(10000 * HOUR);
                assert_true(shaper_is_empty(shaper));
                assert_int_equal(model.out_bytes, 1000);
                last_usec = departures[n_departures - 1].usec;
                if (holders[i].hold == hold_by_latency) /* the end has its own jitter */
                        assert_in_range(end_usec, last_usec, last_usec + HOUR);
                else
                        assert_int_equal(end_usec, last_usec + conditions.close_delay_usec);
        }
}

/* Every condition at once, on the loop's own timers. */
static void timers(void **state)
{
        (void)state;
        conditions.latency_usec = 5 * USEC_PER_MSEC;
        conditions.jitter_usec = 2 * USEC_PER_MSEC;
        conditions.rate = 20000;
        conditions.burst_bytes = 100;
        conditions.slice_bytes = 80;
        conditions.slice_delay_usec = USEC_PER_MSEC;
        conditions.stall_after_bytes = 1500;
        conditions.stall_for_usec = 30 * USEC_PER_MSEC;
        conditions.close_delay_usec = 10 * USEC_PER_MSEC;
        conditions.limit_bytes = 4000;
        set();
        for (int i = 0; i < 3; i++)
                put(1300);
        put_end();
        follow_until(end_usec > 0);
        assert_int_equal(model.out_bytes, 3900);
        /* A process that is not scheduled for 30 ms sees no stall; stall_by_bytes() checks that
         * fault. */
        assert_int_equal(shaper_faults(shaper) | FAULT_STALL,
                         ALL_FAULTS & ~(unsigned)(FAULT_LIMIT | FAULT_DISCARD | FAULT_RESET_DATA));
        assert_true(end_usec >= departures[n_departures - 1].usec + 10 * USEC_PER_MSEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_LOOP(timers),
                STOPPED(slices),
                STOPPED(slices_alone),
                STOPPED(slice_delay_alone),
                STOPPED(limit),
                STOPPED(limit_of_zero),
                STOPPED(limit_set_late),
                STOPPED(stall_by_bytes),
                STOPPED(stall_by_time),
                STOPPED(stall_unseen),
                STOPPED(stall_forever),
                STOPPED(stall_set_late),
                STOPPED(latencies),
                STOPPED(stalls),
                STOPPED(discard),
                STOPPED(discard_idle),
                STOPPED(discard_ended),
                STOPPED(reset_after_data),
                STOPPED(reset_after_data_added),
                STOPPED(stall_and_rate),
                STOPPED(close_delay),
                STOPPED(removed),
                STOPPED(exchanged),
                STOPPED(end_waits),
        };

        return run_on_all_backends(tests);
}
