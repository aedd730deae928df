/*
 * The shaper: each condition alone, what changing and removing one does, and all of them at random.
 *
 * A model goes along (shaper_model.h) and checks the moment of everything that leaves. Some tests
 * stop the clock and put it where they like: moments are exact there, and a seed repeats them. In
 * the others the loop turns on a backend; late is what is still there at the end of a turn that
 * began after its moment, however slow the machine.
 */
#include "bucket.h"
#include "turning.h"

#include <sys/syscall.h>

#define CHECK(condition) assert_true(condition)
#include "shaper_model.h"

#define MOST       20000
#define HOLD_BYTES ((uint64_t)256 * 1024)
#define HOUR       (3600 * USEC_PER_SEC)
#define ALL_FAULTS \
        (FAULT_LATENCY | FAULT_RATE | FAULT_SLICE | FAULT_LIMIT | FAULT_STALL | FAULT_CLOSE_DELAY)

/* The clock */

static uint64_t stopped_usec; /* what it shows; 0: it goes on */
static uint64_t seen_usec;    /* what it first showed since this was set to 0 */

/* Every look at the clock passes here, in place of the C library's. */
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

/* When the call was made that began with @seen_usec set to 0. */
static uint64_t call_usec(void)
{
        return seen_usec ? seen_usec : loop_now_usec();
}

/* A shaper with its model */

static struct shaper *shaper;
static struct model model;
static struct conditions conditions;
static struct shaping shaping = { .conditions = &conditions, .hold_bytes = HOLD_BYTES };
static const struct random row = { .state = 42 };

/* What has left: when, and how much. Of more than so many, the last. */
static struct {
        uint64_t usec;
        size_t n;
} departures[MOST];
static size_t n_departures, n_due;
static uint64_t end_usec;     /* when the end left; 0: it has not */
static uint64_t setting_usec; /* what the timer may be late by, for a take is not done at once */

/* Takes once. Return: what was found. */
static enum shaper_event take(void)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES], expected[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        size_t n = SIZE_MAX;
        uint64_t now;

        seen_usec = 0;
        assert_int_equal(shaper_take(shaper, buffer, &n, &event), 0);
        now = call_usec();
        setting_usec = loop_now_usec() - now;
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
                departures[n_departures % MOST].usec = now;
                departures[n_departures++ % MOST].n = n;
        }
        return event;
}

/* As a link does. Return: what was found last: nothing, or the limit. */
static enum shaper_event take_due(void)
{
        enum shaper_event event;

        do
                event = take();
        while (event == SHAPER_BYTES || event == SHAPER_END);
        return event;
}

static void on_due(void *arg)
{
        assert_ptr_equal(arg, &shaper);
        n_due++;
        (void)take_due();
}

/* Makes the shaper, or another one in its place. */
static void renew(void)
{
        shaper = shaper_free(shaper);
        n_departures = n_due = 0;
        end_usec = 0;
        shaping.began_usec = loop_now_usec();
        seen_usec = 0;
        assert_int_equal(shaper_new(loop, &shaping, &row, on_due, &shaper, &shaper), 0);
        model_init(&model, call_usec(), &shaping, &row);
        model_compare(&model, shaper);
}

/* Without any conditions. */
static int make_shaper(void **state)
{
        if (start_loop(state) < 0)
                return -1;
        conditions = conditions_none;
        shaping.send_delay_usec = 0;
        shaping.hold_bytes = HOLD_BYTES;
        renew();
        return 0;
}

/* The same, on a clock that stands still. */
static int stop_clock(void **state)
{
        stopped_usec = 1000 * USEC_PER_SEC;
        return make_shaper(state);
}

static int free_shaper(void **state)
{
        stopped_usec = 0;
        shaper = shaper_free(shaper);
        return stop_loop(state);
}

/* Puts the conditions and the shaping in force. */
static void set(void)
{
        seen_usec = 0;
        shaper_set(shaper, &shaping);
        model_set(&model, call_usec(), &shaping);
        (void)take_due();
}

static void set_delay(uint64_t usec)
{
        shaping.send_delay_usec = usec;
        set();
}

static void set_none(void)
{
        conditions = conditions_none;
        set_delay(0);
}

/* Puts a chunk. Return: when. */
static uint64_t put(size_t n)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];
        uint64_t now;

        model_write(data, n, model.in_bytes);
        seen_usec = 0;
        assert_int_equal(shaper_put(shaper, data, n), 0);
        now = call_usec();
        model_put(&model, now, n);
        (void)take_due();
        return now;
}

static void put_end(void)
{
        seen_usec = 0;
        assert_int_equal(shaper_put_end(shaper), 0);
        model_put(&model, call_usec(), 0);
        (void)take_due();
}

/* Lets a clock that stands still go on by so much, and takes what falls due on the way. */
static void pass(uint64_t usec)
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

/* Turns the loop once, and judges. */
static void follow(void)
{
        uint64_t began = loop_now_usec(), latest = model.wake_usec + setting_usec;
        size_t before = n_due;

        turn();
        if (model.wake_usec != MODEL_NEVER && began > latest)
                assert_true(n_due > before);
}

#define follow_until(condition)                                                   \
        do {                                                                      \
                uint64_t deadline_ = loop_now_usec() + DEADLINE_USEC;             \
                                                                                  \
                while (!(condition)) {                                            \
                        if (loop_now_usec() > deadline_)                          \
                                fail_msg("never so on %s: " #condition, backend); \
                        follow();                                                 \
                }                                                                 \
        } while (0)

static void follow_a_while(void)
{
        for (int i = 0; i < 20; i++)
                follow();
}

/* Never in any span more than the burst and what the rate gives. */
static void expect_rate(uint64_t rate, uint64_t burst)
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

/* The send delay, by the loop's own timers */

/* The article's: what comes at once leaves one after the other, a delay apart. */
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
        assert_in_range(n_due, 3, 30); /* a timer may be some µs early, but there is no spinning */
        assert_int_equal(departures[0].n, 10);
        assert_int_equal(departures[1].n, LOOP_SCRATCH_BYTES);
        assert_int_equal(departures[2].n, 1);
        for (size_t i = 0; i < 3; i++) {
                assert_true(departures[i].usec >= began + (i + 1) * delay);
                assert_true(departures[i].usec < began + (i + 1) * delay + DEADLINE_USEC);
        }
        assert_int_equal(shaper_faults(shaper), 0);

        /* one that comes when nothing waits has its own whole pause */
        follow_a_while();
        began = put(5);
        follow_until(n_departures == 4);
        assert_true(departures[3].usec >= began + delay);
}

/* Timers are as good as the loop's: hardly all of them are late. */
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

/* Nor is a long wait waited for too long, or in many steps. */
static void punctual_after_long(void **state)
{
        uint64_t due;

        (void)state;
        set_delay(600 * USEC_PER_MSEC);
        due = put(1) + 600 * USEC_PER_MSEC;
        follow_until(n_departures == 1);
        assert_true(departures[0].usec >= due);
        assert_in_range(n_due, 1, 10);
}

static void delay_taken_away(void **state)
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

/* A shorter delay holds for what is held already: on_due comes by the new one. */
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

/* Full at what it may hold, however small the chunks; never refusing. */
static void full(void **state)
{
        static const size_t sizes[] = { 1, 1000, LOOP_SCRATCH_BYTES };
        static uint8_t data[LOOP_SCRATCH_BYTES], buffer[LOOP_SCRATCH_BYTES];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                enum shaper_event event;
                size_t chunks = 0, left = 0, n;

                shaping.send_delay_usec = HOUR;
                shaper_set(shaper, &shaping);
                assert_false(shaper_is_full(shaper));
                while (!shaper_is_full(shaper)) {
                        assert_int_equal(shaper_put(shaper, data, sizes[i]), 0);
                        assert_in_range(++chunks * sizes[i], 1, HOLD_BYTES + sizes[i]);
                }
                if (sizes[i] == 1) /* the book-keeping counts: each byte has at least its time */
                        assert_in_range(chunks, 1, HOLD_BYTES / (1 + sizeof(uint64_t)));
                else
                        assert_true(chunks * (sizes[i] + 64) >= HOLD_BYTES);
                assert_int_equal(shaper_put(shaper, data, sizes[i]), 0);
                assert_true(shaper_is_full(shaper));
                shaping.send_delay_usec = 0;
                shaper_set(shaper, &shaping);
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

/* What it may hold can be changed while it holds. */
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

static void freed_when_due(void **state)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        bool freed = false;
        size_t n;

        (void)state;
        shaper = shaper_free(shaper);
        shaping.send_delay_usec = USEC_PER_MSEC;
        assert_int_equal(shaper_new(loop, &shaping, &row, free_and_note, &freed, &shaper), 0);
        assert_int_equal(shaper_put(shaper, buffer, 100), 0);
        assert_int_equal(shaper_take(shaper, buffer, &n, &event), 0);
        assert_int_equal(event, SHAPER_NOTHING);
        assert_int_equal(n, 0);
        turn_until(freed);
        turn_a_while();
        assert_null(shaper_free(NULL));
}

/*
 * Random chunks at random times under a delay that changes now and then. Each leaves in its turn,
 * whole, and no earlier than the least delay there was after it came, and after the one before it.
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

/* Each condition, on a clock that stands still */

/* Chunks are under way at the same time; what comes at once leaves at once. */
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

/* What is under way has the latency it began with, unless there is less by now. */
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

/* How long each of @n chunks takes that come one at a time; if in pieces, the first of them. */
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

/* From latency - jitter to latency + jitter, and as likely here as there; a row of its own. */
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

        /* the fate of a chunk does not hang on what else is done to it */
        conditions.slice_bytes = 300;
        conditions.slice_variation_bytes = 100;
        measure_delays(again, 1000);
        assert_memory_equal(usec, again, sizeof(usec));
}

/* More jitter than latency: none leaves before it came. */
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

/* A chunk that is due before one that came earlier waits for that. */
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
        assert_in_range(together, 50, 199); /* it had to wait often enough */
}

/* A burst at once, then by the rate: neither more than that at any moment, nor a piece less. */
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
        put(10000); /* more than a burst: in pieces of one */
        pass(HOUR);
        assert_true(shaper_is_empty(shaper));
        expect_rate(rate, burst);
        for (size_t i = 0; i < n_departures; i++) {
                uint64_t span = departures[i].usec - began;

                n += departures[i].n;
                assert_in_range(departures[i].n, 1, burst);
                if (span > 0) /* but for what a timer is late: much less than two bytes */
                        assert_in_range(burst * USEC_PER_SEC + rate * span, 0,
                                        (n + 2) * USEC_PER_SEC);
        }
        assert_int_equal(shaper_faults(shaper), FAULT_RATE);

        /* however long nothing leaves, there is no more than one burst after it */
        n_departures = 0;
        for (size_t i = 0; i < 20; i++)
                put(1000);
        pass(10 * USEC_PER_MSEC);
        expect_rate(rate, burst);
        assert_in_range(n_departures, 4, 5);
}

/* At that moment, but for what pass() is later than it: a piece is asked for within 3 µs. */
static void expect_usec(uint64_t usec, uint64_t expected)
{
        assert_in_range(usec, expected, expected + 3);
}

/*
 * Without a burst each chunk leaves whole when its own bytes have been paid for: its length by the
 * rate after the one before it was paid, and never less than that after it came.
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

/* A late timer costs the chunks behind it nothing; a destination that takes nothing gains nothing.
 */
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
        (void)take_due(); /* the one that was paid for, and the one behind it: 10 ms are forgiven */
        assert_int_equal(n_departures, 13);
        pass(9 * USEC_PER_MSEC);
        assert_int_equal(n_departures, 13);
}

/* However small and many they are, no time is lost between them, by the loop's own timers. */
static void no_burst_small(void **state)
{
        uint64_t began = loop_now_usec();

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

/* What is asked for anew does not cost anew, however often. */
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

/* A bucket does not remember what it was asked for before. */
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

        /* nor a smaller one, what a larger one gave away */
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

/* What can leave at once leaves at once, at the ends of what can be asked for. */
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

/* About that size, with a pause between any two; the fate of a chunk's last piece is to be less. */
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

/* Without a variation all are equal; without a delay they leave at once. */
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

/* Between two chunks too; a played pause is told. */
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

/* To the byte, and for good. */
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
        assert_int_equal(take(), SHAPER_LIMIT);
        assert_int_equal(model.out_bytes, 1000);
        assert_int_equal(end_usec, 0);
}

/* Not a byte passes; nothing ends before the first one would leave, and the end passes alone. */
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
        assert_int_equal(take(), SHAPER_LIMIT);
        assert_int_equal(model.out_bytes, 0);
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY | FAULT_LIMIT);

        renew();
        put_end();
        pass(HOUR);
        assert_false(model.limited);
        assert_true(end_usec > 0);
        assert_int_equal(shaper_faults(shaper), FAULT_LATENCY);
}

/* What has gone already counts; and what has gone beyond a new limit has reached it. */
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
        assert_true(model.limited);
        assert_int_equal(model.out_bytes, 999);
}

/* After so many bytes, once. */
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

/* After so long, once, counted from the connection's beginning. */
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

/* What nobody sees is no fault. */
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
        set(); /* the same: nothing new */
        assert_int_equal(model.out_bytes, 1000);
        set_none();
        assert_int_equal(model.out_bytes, 1600);
        assert_int_equal(end_usec, stopped_usec);
        assert_int_equal(shaper_faults(shaper), FAULT_STALL);
}

/* One that is asked for when its beginning has passed begins then, by time and by bytes. */
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
                set(); /* the same: nothing new */
                put(1);
                assert_int_equal(departures[n_departures - 1].usec, stopped_usec);
        }
}

/* Time that is stalled away does not add to a burst. */
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

/* The end comes that much later, behind its data as well. */
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

/* Whatever holds them */

static void by_send_delay(void)
{
        shaping.send_delay_usec = HOUR;
}

static void by_latency(void)
{
        conditions.latency_usec = HOUR;
        conditions.jitter_usec = HOUR / 2;
}

static void by_rate(void)
{
        conditions.rate = conditions.burst_bytes = 1;
}

static void by_slices(void)
{
        conditions.slice_bytes = 1;
        conditions.slice_delay_usec = HOUR;
}

static void by_stall(void)
{
        conditions.stall_after_usec = 0;
        conditions.stall_for_usec = CONDITIONS_FOREVER;
}

static void by_close_delay(void)
{
        conditions.close_delay_usec = HOUR;
}

static void by_all(void)
{
        by_latency();
        by_rate();
        by_slices();
        by_stall();
        by_close_delay();
}

static const struct {
        void (*hold)(void);
        unsigned fault;
} holders[] = {
        { by_send_delay, 0 },      { by_latency, FAULT_LATENCY },
        { by_rate, FAULT_RATE },   { by_slices, FAULT_SLICE },
        { by_stall, FAULT_STALL }, { by_close_delay, FAULT_CLOSE_DELAY },
        { by_all, FAULT_LATENCY },
};

/* Makes a shaper that holds two chunks and their end, or the end alone. */
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
        if (holders[i].hold == by_close_delay)
                assert_int_equal(model.out_bytes, 1000);
        else
                assert_in_range(model.out_bytes, 0, 1);
}

/* All leaves at once with what held it, and only that is told. */
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

/* One for another, from any to any, and all back: nothing is lost on the way. */
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

/* The end of the stream waits behind its data, and comes at once when that has gone. */
static void end_waits(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(holders); i++) {
                uint64_t last_usec;

                hold(i);
                if (conditions.stall_for_usec)
                        conditions.stall_for_usec = HOUR;
                set();
                pass(10000 * HOUR);
                assert_true(shaper_is_empty(shaper));
                assert_int_equal(model.out_bytes, 1000);
                last_usec = departures[n_departures - 1].usec;
                if (holders[i].hold == by_latency) /* it has its own jitter */
                        assert_in_range(end_usec, last_usec, last_usec + HOUR);
                else
                        assert_int_equal(end_usec, last_usec + conditions.close_delay_usec);
        }
}

/* A shared bucket, on a clock that stands still */

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
        assert_int_equal(bucket_new(&conditions.shared), 0);
        for (size_t i = 0; i < MEMBERS; i++) {
                members[i] = (struct member){ 0 };
                assert_int_equal(shaper_new(loop, &shaping, &row, on_member_due, NULL,
                                            &members[i].shaper),
                                 0);
        }
        bucket_unref(conditions.shared); /* each has its own reference */
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

/* Return: how much was due for this member. */
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

/* All together obey the rate and use it up; none is far ahead of another. */
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

                /* another is asked first each time */
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

/* Each has @n bytes to send, the first one's leave, and the others have reserved theirs. */
static void make_members_wait(size_t n)
{
        make_members();
        for (size_t i = 0; i < MEMBERS; i++)
                put_for_member(i, n);
        for (size_t i = 0; i < MEMBERS; i++)
                assert_int_equal(take_for_member(i), i == 0 ? n : 0);
}

/* Nor does who waits behind those who go away wait for long, or its time would be nobody's. */
static void shared_behind_those_who_leave(void **state)
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

/* Who goes away does not take along the tokens that it had waited for. */
static void shared_with_one_who_leaves(void **state)
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

/* All at random */

/* A number from @min to @max, or @none; more often none. */
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

/* Draws what shaping and conditions say; a bucket shared is @bucket. */
static void draw(struct bucket *bucket)
{
        struct conditions *c = &conditions;

        shaping.send_delay_usec = maybe(0, 1, 1000);
        shaping.hold_bytes = random_between(1, 20000);
        *c = conditions_none;
        c->latency_usec = maybe(0, 1, 5000);
        c->jitter_usec = maybe(0, 1, 3000);
        c->rate = maybe(0, 20000, 5000000);
        c->burst_bytes = random() % 4 ? random_between(1, 20000) : 0;
        if (random() % 4 == 0) {
                c->rate = 1000000; /* as long as it is shared */
                c->burst_bytes = 5000;
                c->shared = bucket;
        }
        c->slice_bytes = maybe(0, 1, 2000);
        c->slice_variation_bytes = c->slice_bytes ? random_between(0, c->slice_bytes - 1) : 0;
        c->slice_delay_usec = maybe(0, 1, 500);
        c->close_delay_usec = maybe(0, 1, 5000);
        if (random() % 16 == 0)
                c->limit_bytes = random() % 4 ? model.out_bytes + random_between(0, 20000) : 0;
        draw_stall(c);
}

/* Goes on a little: a turn of the loop, or a jump of the clock. */
static void go_on(void)
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

/* Some chunks and changes, and the end. */
static void random_life(struct bucket *bucket, size_t steps)
{
        draw(bucket);
        renew();
        for (size_t i = 0; i < steps && !model.limited; i++) {
                for (size_t chunks = random_between(0, 3); chunks > 0; chunks--)
                        put(random_between(1, random() % 8 ? 3000 : LOOP_SCRATCH_BYTES));
                if (random() % 10 == 0) {
                        draw(bucket);
                        set();
                }
                go_on();
        }
        put_end();
        for (size_t i = 0; i < steps && !model_is_empty(&model) && !model.limited; i++)
                go_on();
}

/* @lives times: what went in comes out, in order, when it is due, and with all conditions gone it
 * is all out. Return: faults that were seen. */
static unsigned random_lives(size_t lives, size_t steps)
{
        unsigned faults = 0;

        for (size_t i = 0; i < lives; i++) {
                struct bucket *bucket;

                assert_int_equal(bucket_new(&bucket), 0);
                random_life(bucket, steps);
                faults |= shaper_faults(shaper);
                if (!model.limited) {
                        set_none();
                        assert_true(model_is_empty(&model));
                        assert_int_equal(model.out_bytes, model.in_bytes);
                        assert_true(end_usec > 0);
                }
                bucket_unref(bucket);
        }
        return faults;
}

static void random_conditions(void **state)
{
        (void)state;
        seed_random();
        assert_int_equal(random_lives(300, 60), ALL_FAULTS);
}

/* By the loop's own timers. */
static void random_conditions_on_loop(void **state)
{
        (void)state;
        seed_random();
        (void)random_lives(12, 40);
}

/* Each holds until a timer says so, on this backend. */
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
        conditions.stall_for_usec = 30 * USEC_PER_MSEC; /* more than wait_usec() waits at once */
        conditions.close_delay_usec = 10 * USEC_PER_MSEC;
        conditions.limit_bytes = 4000;
        set();
        for (int i = 0; i < 3; i++)
                put(1300);
        put_end();
        follow_until(end_usec > 0);
        assert_int_equal(model.out_bytes, 3900);
        assert_int_equal(shaper_faults(shaper), ALL_FAULTS & ~(unsigned)FAULT_LIMIT);
        assert_true(end_usec >= departures[n_departures - 1].usec + 10 * USEC_PER_MSEC);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, make_shaper, free_shaper)
#define STOPPED(test) cmocka_unit_test_setup_teardown(test, stop_clock, free_shaper)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_LOOP(three_at_once),
                ON_LOOP(punctual),
                ON_LOOP(punctual_after_long),
                ON_LOOP(delay_taken_away),
                ON_LOOP(delay_shortened),
                ON_LOOP(full),
                ON_LOOP(hold_changed),
                ON_LOOP(freed_when_due),
                ON_LOOP(random_schedules),
                ON_LOOP(timers),
                ON_LOOP(random_conditions_on_loop),
                STOPPED(latency),
                STOPPED(latency_changed),
                STOPPED(jitter),
                STOPPED(jitter_alone),
                STOPPED(jitter_keeps_order),
                STOPPED(rate),
                STOPPED(no_burst),
                STOPPED(no_burst_late),
                ON_LOOP(no_burst_small),
                STOPPED(rate_set_again),
                STOPPED(rate_changed),
                STOPPED(rate_extremes),
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
                STOPPED(stall_and_rate),
                STOPPED(close_delay),
                STOPPED(removed),
                STOPPED(exchanged),
                STOPPED(end_waits),
                STOPPED(shared),
                STOPPED(shared_with_one_who_leaves),
                STOPPED(shared_behind_those_who_leave),
                STOPPED(random_conditions),
        };

        return run_on_all_backends(tests);
}
