/* SPDX-License-Identifier: MIT */
/*
 * The shaper under random chunks, conditions and times; a seed repeats them.
 */
#include "shaper_fixture.h"

/*
 * Random chunks arrive at random times, and the send delay changes from time to time. Each chunk
 * leaves whole and in order. It waits at least the shortest delay that applied while it was held,
 * both after its arrival and after the chunk before it left.
 */
static void random_schedules(void **state)
{
        struct {
                uint64_t put_usec, delay_usec;
                size_t n;
        } chunks[400];
        uint64_t delay = USEC_PER_MSEC;
        size_t n_chunks = 0;

        (void)state;
        seed_random();
        set_delay(delay);
        while (n_chunks < ELEMENTS(chunks)) {
                size_t burst = random_between(0, 6);

                for (; burst > 0 && n_chunks < ELEMENTS(chunks); burst--, n_chunks++) {
                        chunks[n_chunks].delay_usec = delay;
                        chunks[n_chunks].n = random_between(1, 3000);
                        chunks[n_chunks].put_usec = put(chunks[n_chunks].n);
                }
                if (random() % 8 == 0) {
                        delay = (uint64_t)random_between(0, 5) * 400;
                        for (size_t i = n_departures; i < n_chunks; i++)
                                if (delay < chunks[i].delay_usec)
                                        chunks[i].delay_usec = delay;
                        set_delay(delay);
                }
                follow();
        }
        follow_until(n_departures == n_chunks);
        assert_true(shaper_is_empty(shaper));
        for (size_t i = 0; i < n_chunks; i++) {
                uint64_t due = chunks[i].put_usec + chunks[i].delay_usec;

                assert_int_equal(departures[i].n, chunks[i].n);
                assert_true(departures[i].usec >= due);
                if (i > 0)
                        assert_true(departures[i].usec >=
                                    departures[i - 1].usec + chunks[i].delay_usec);
        }
}

/* All conditions */

/* A random number from @min to @max, or in three cases of five @none. */
static uint64_t maybe(uint64_t none, uint64_t min, uint64_t max)
{
        return random() % 5 < 3 ? none : random_between(min, max);
}

static void draw_stall(struct conditions *c)
{
        c->stall_for_usec = maybe(0, 1, 8000);
        if (!c->stall_for_usec)
                return;
        if (random() % 4 == 0)
                c->stall_for_usec = CONDITIONS_FOREVER;
        if (random() % 2)
                c->stall_after_bytes = random_between(0, 50000);
        else
                c->stall_after_usec = random_between(0, 200000);
}

/* What discards, and what ends the connection. */
static void draw_ends(struct conditions *c)
{
        if (random() % 16 == 0)
                c->limit_bytes = random() % 4 ? random_between(0, 20000) : 0;
        if (random() % 16 == 0) {
                c->discard = true;
                c->discard_idle_usec = maybe(CONDITIONS_NEVER, 1, 3000);
        }
        if (random() % 16 == 0)
                c->reset_after_data_usec = random_between(0, 3000);
}

static bool with_ends; /* the groups may discard, and may end the connection */

/* Draws a group, but for its name. */
static void draw_group(struct conditions *c)
{
        char name[sizeof(c->name)];

        memcpy(name, c->name, sizeof(name));
        *c = conditions_none;
        memcpy(c->name, name, sizeof(name));
        c->version = random_between(0, 2);
        c->probability = random() % 4 ? 1.0 : 0.5;
        c->latency_usec = maybe(0, 1, 5000);
        c->jitter_usec = maybe(0, 1, 3000);
        c->rate = maybe(CONDITIONS_UNLIMITED, 20000, 5000000);
        if (random() % 16 == 0)
                c->rate = 0;
        c->burst_bytes = random() % 4 ? random_between(1, 20000) : 0;
        if (random() % 4 == 0) {
                c->rate = 1000000; /* the same for all that share the bucket */
                c->burst_bytes = 5000;
                c->shared = true;
        }
        c->slice_bytes = maybe(0, 1, 2000);
        c->slice_variation_bytes = c->slice_bytes ? random_between(0, c->slice_bytes - 1) : 0;
        c->slice_delay_usec = maybe(0, 1, 500);
        c->close_delay_usec = maybe(0, 1, 5000);
        draw_stall(c);
        if (with_ends)
                draw_ends(c);
}

/*
 * Draws the shaping. Each further group is kept, left out, put back or changed. @first: nothing is
 * kept from the life before.
 */
static void draw(bool first)
{
        static struct conditions others[MODEL_GROUPS - 1] = {
                { .name = "a" },
                { .name = "b" },
                { .name = "c" },
        };

        shaping.send_delay_usec = maybe(0, 1, 1000);
        shaping.hold_bytes = random_between(1, 20000);
        if (first || random() % 2)
                draw_group(&conditions);
        n_more = 0;
        for (size_t i = 0; i < ELEMENTS(others); i++) {
                if (first || random() % 4 == 0)
                        draw_group(&others[i]);
                if (random() % 3)
                        more[n_more++] = others[i];
        }
}

/* Lets a little time pass: a turn of the loop, or a jump of the stopped clock. */
static void let_time_pass(void)
{
        uint64_t wake = model.wake_usec;

        if (!stopped_usec) {
                follow();
                return;
        }
        if (wake != MODEL_NEVER && random() % 2)
                stopped_usec = random() % 2 ? wake : model_most(stopped_usec, wake - 1);
        else
                stopped_usec += random_between(0, 2000);
        (void)take_due();
}

/* Runs one shaper from its beginning to its end, with @steps random steps: put, change or wait. */
static void random_life(size_t steps)
{
        conditions = conditions_none;
        with_ends = random() % 2;
        draw(true);
        renew();
        for (size_t i = 0; i < steps && !model.over; i++) {
                for (size_t chunks = random_between(0, 3); chunks > 0; chunks--)
                        put(random_between(1, random() % 8 ? 3000 : LOOP_SCRATCH_BYTES));
                if (random() % 10 == 0) {
                        draw(false);
                        set();
                }
                let_time_pass();
        }
        if (!model.over)
                put_end();
        for (size_t i = 0; i < steps && !model_is_empty(&model) && !model.over; i++)
                let_time_pass();
}

/*
 * Follows @lives shapers. The model checks that bytes leave in order and when they are due; at the
 * end, without conditions, all must have left. Return: the faults that were seen.
 */
static unsigned random_lives(size_t lives, size_t steps)
{
        unsigned faults = 0;

        for (size_t i = 0; i < lives; i++) {
                assert_int_equal(bucket_new(&shared_bucket), 0);
                random_life(steps);
                faults |= shaper_faults(shaper);
                if (!model.over) {
                        set_none();
                        assert_true(model_is_empty(&model));
                        assert_int_equal(model.out_bytes, model.in_bytes);
                        assert_true(end_usec > 0);
                }
                shared_bucket = bucket_unref(shared_bucket);
        }
        return faults;
}

static void random_conditions(void **state)
{
        (void)state;
        seed_random();
        assert_int_equal(random_lives(300, 60), ALL_FAULTS);
}

/* Random lives on the loop's own timers. */
static void random_conditions_on_loop(void **state)
{
        (void)state;
        seed_random();
        (void)random_lives(12, 40);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_LOOP(random_schedules),
                ON_LOOP(random_conditions_on_loop),
                STOPPED(random_conditions),
        };

        return run_on_all_backends(tests);
}
