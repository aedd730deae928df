/* The shaper: when chunks leave, in which order, and how much it holds. */
#include "shaper.h"
#include "turning.h"

#define MOST 20000

/* What has left: when, at the latest and at the earliest, and how long it was. */
static struct {
        uint64_t usec, earliest_usec;
        size_t n;
} departures[MOST];
static size_t n_departures, n_due;
static struct shaper *shaper;
static uint8_t next_byte; /* bytes count up, over all chunks */

/* Takes one chunk. Return: its length; 0: none is due. */
static size_t take(uint8_t *buffer)
{
        size_t n = SIZE_MAX;

        assert_int_equal(shaper_take(shaper, buffer, &n), 0);
        return n;
}

static void take_due(void)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        uint64_t earliest = loop_now_usec();
        size_t n;

        for (; (n = take(buffer)) > 0; earliest = loop_now_usec()) {
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(buffer[i], next_byte++);
                assert_in_range(n_departures, 0, MOST - 1);
                departures[n_departures].earliest_usec = earliest;
                departures[n_departures].usec = loop_now_usec();
                departures[n_departures++].n = n;
        }
}

static void on_due(void *arg)
{
        assert_ptr_equal(arg, &shaper);
        n_due++;
        take_due();
}

static int make_shaper(void **state)
{
        if (start_loop(state) < 0)
                return -1;
        n_departures = n_due = 0;
        next_byte = 0;
        return shaper_new(loop, on_due, &shaper, &shaper);
}

static int free_shaper(void **state)
{
        shaper = shaper_free(shaper);
        return stop_loop(state);
}

/* Puts a chunk that goes on counting where the one before it stopped, at *@byte. */
static void put(size_t n, uint8_t *byte)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];

        for (size_t i = 0; i < n; i++)
                data[i] = (*byte)++;
        assert_int_equal(shaper_put(shaper, data, n), 0);
}

/* The article's: what comes at once leaves one after the other, a delay apart. */
static void three_at_once(void **state)
{
        const uint64_t delay = 30 * USEC_PER_MSEC;
        uint64_t began;
        uint8_t byte = 0;

        (void)state;
        shaper_set_delay(shaper, delay);
        assert_true(shaper_is_empty(shaper));
        began = loop_now_usec();
        put(10, &byte);
        put(LOOP_SCRATCH_BYTES, &byte);
        put(1, &byte);
        assert_false(shaper_is_empty(shaper));
        take_due();
        assert_int_equal(n_departures, 0);
        turn_until(n_departures == 3);
        assert_true(shaper_is_empty(shaper));
        assert_in_range(n_due, 3, 30); /* a timer may be some µs early, but there is no spinning */
        assert_int_equal(departures[0].n, 10);
        assert_int_equal(departures[1].n, LOOP_SCRATCH_BYTES);
        assert_int_equal(departures[2].n, 1);
        for (size_t i = 0; i < 3; i++) {
                assert_true(departures[i].usec >= began + (i + 1) * delay);
                assert_true(departures[i].usec < began + (i + 1) * delay + DEADLINE_USEC);
        }

        /* one that comes when nothing waits has its own whole pause */
        turn_a_while();
        began = loop_now_usec();
        put(5, &byte);
        take_due();
        turn_until(n_departures == 4);
        assert_true(departures[3].usec >= began + delay);
}

/* Timers are as good as the loop's: hardly all of them are late. */
static void punctual(void **state)
{
        uint64_t least_late = UINT64_MAX;
        uint8_t byte = 0;

        (void)state;
        shaper_set_delay(shaper, 3 * USEC_PER_MSEC);
        for (size_t i = 0; i < 20; i++) {
                uint64_t due = loop_now_usec() + 3 * USEC_PER_MSEC;

                put(1, &byte);
                take_due();
                turn_until(n_departures > i);
                assert_true(departures[i].usec >= due);
                if (departures[i].usec - due < least_late)
                        least_late = departures[i].usec - due;
        }
        assert_in_range(least_late, 0, 5 * USEC_PER_MSEC);
}

static void delay_taken_away(void **state)
{
        uint8_t byte = 0;

        (void)state;
        shaper_set_delay(shaper, 3600 * USEC_PER_SEC);
        for (size_t i = 1; i <= 100; i++)
                put(i, &byte);
        take_due();
        turn_a_while();
        assert_int_equal(n_departures, 0);
        shaper_set_delay(shaper, 0);
        take_due();
        assert_int_equal(n_departures, 100);
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(departures[i].n, i + 1);
        assert_true(shaper_is_empty(shaper));
}

/* A shorter delay holds for what is held already: on_due comes by the new one. */
static void delay_shortened(void **state)
{
        uint64_t began = loop_now_usec();
        uint8_t byte = 0;

        (void)state;
        shaper_set_delay(shaper, 3600 * USEC_PER_SEC);
        put(1, &byte);
        put(1, &byte);
        take_due();
        shaper_set_delay(shaper, 10 * USEC_PER_MSEC);
        take_due();
        turn_until(n_departures == 2);
        assert_true(departures[1].usec >= began + 20 * USEC_PER_MSEC);
}

/* Full at SHAPER_HOLD_BYTES, however small the chunks; never refusing. */
static void full(void **state)
{
        static const size_t sizes[] = { 1, 1000, LOOP_SCRATCH_BYTES };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                size_t chunks = 0;
                uint8_t byte = next_byte;

                n_departures = 0;
                shaper_set_delay(shaper, 3600 * USEC_PER_SEC);
                assert_false(shaper_is_full(shaper));
                while (!shaper_is_full(shaper)) {
                        put(sizes[i], &byte);
                        assert_in_range(++chunks * sizes[i], 1, SHAPER_HOLD_BYTES + sizes[i]);
                }
                if (sizes[i] == 1) /* the book-keeping counts: each byte has at least its time */
                        assert_in_range(chunks, 1, SHAPER_HOLD_BYTES / (1 + sizeof(uint64_t)));
                else
                        assert_true(chunks * (sizes[i] + 64) >= SHAPER_HOLD_BYTES);
                put(sizes[i], &byte);
                assert_true(shaper_is_full(shaper));
                shaper_set_delay(shaper, 0);
                take_due();
                assert_int_equal(n_departures, chunks + 1);
                assert_false(shaper_is_full(shaper));
        }
}

static void free_and_note(void *arg)
{
        shaper = shaper_free(shaper);
        *(bool *)arg = true;
}

static void freed_when_due(void **state)
{
        bool freed = false;
        uint8_t byte = 0, buffer[LOOP_SCRATCH_BYTES];

        (void)state;
        shaper = shaper_free(shaper);
        assert_int_equal(shaper_new(loop, free_and_note, &freed, &shaper), 0);
        shaper_set_delay(shaper, USEC_PER_MSEC);
        put(100, &byte);
        assert_int_equal(take(buffer), 0);
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
        uint8_t byte = 0;

        (void)state;
        seed_random();
        shaper_set_delay(shaper, delay);
        while (n_chunks < ELEMENTS(chunks)) {
                size_t burst = random_between(0, 6);

                for (; burst > 0 && n_chunks < ELEMENTS(chunks); burst--, n_chunks++) {
                        chunks[n_chunks].put_usec = loop_now_usec();
                        chunks[n_chunks].delay_usec = delay;
                        chunks[n_chunks].n = random_between(1, 3000);
                        put(chunks[n_chunks].n, &byte);
                        take_due();
                }
                if (random() % 8 == 0) {
                        delay = (uint64_t)random_between(0, 5) * 400;
                        shaper_set_delay(shaper, delay);
                        for (size_t i = n_departures; i < n_chunks; i++)
                                if (delay < chunks[i].delay_usec)
                                        chunks[i].delay_usec = delay;
                        take_due();
                }
                turn();
        }
        turn_until(n_departures == n_chunks);
        assert_true(shaper_is_empty(shaper));
        for (size_t i = 0; i < n_chunks; i++) {
                uint64_t due = chunks[i].put_usec + chunks[i].delay_usec;

                assert_int_equal(departures[i].n, chunks[i].n);
                assert_true(departures[i].usec >= due);
                if (i > 0)
                        assert_true(departures[i].usec >=
                                    departures[i - 1].earliest_usec + chunks[i].delay_usec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(three_at_once, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(punctual, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(delay_taken_away, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(delay_shortened, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(full, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(freed_when_due, make_shaper, free_shaper),
                cmocka_unit_test_setup_teardown(random_schedules, make_shaper, free_shaper),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
