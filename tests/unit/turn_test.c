/* SPDX-License-Identifier: MIT */
/*
 * The budget of a turn: heavy streams share it, in whatever order they ask, and light streams do
 * not wait.
 */
#include "stream.h"
#include "turning.h"

#include <string.h>

#define STREAMS 40
#define READ_BYTES \
        LOOP_SCRATCH_BYTES /* each stream reads so much before it is heavy, and then at a time */

/* Asks for @n streams in this order, as a turn does; each reads @read_bytes. Return: how many read.
 */
static size_t ask_all(struct turn *turn, uint32_t *rounds, size_t *reads, size_t n,
                      size_t read_bytes)
{
        size_t admitted = 0;

        turn_begin(turn);
        for (size_t i = 0; i < n; i++) {
                if (!turn_admits(turn, &rounds[i]))
                        continue;
                turn_count(turn, read_bytes);
                reads[i]++;
                admitted++;
        }
        return admitted;
}

/* No stream is left out, however many there are and whichever asks first. */
static void rounds_are_fair(void **state)
{
        static const size_t counts[] = { 1, 3, 4, 5, 37, 300 };

        (void)state;
        for (size_t c = 0; c < ELEMENTS(counts); c++) {
                uint32_t rounds[300] = { 0 };
                size_t reads[300] = { 0 }, n = counts[c], least = SIZE_MAX, most = 0;
                size_t turns =
                        (n + 3) / 4; /* the turns of a round, and one more in which all have read */
                struct turn turn = { 0 };

                for (int i = 0; i < 1000; i++)
                        assert_in_range(ask_all(&turn, rounds, reads, n, TURN_BYTES / 4), 0, 4);
                for (size_t i = 0; i < n; i++) {
                        least = reads[i] < least ? reads[i] : least;
                        most = reads[i] > most ? reads[i] : most;
                }
                assert_in_range(least, 1000 / (turns + 1), most);
                assert_in_range(most - least, 0, 1);
        }
}

/* A stream may read up to the whole budget if no other one waits. */
static void alone(void **state)
{
        struct turn turn = { 0 };
        uint32_t first = 0, second = 0;

        (void)state;
        turn_begin(&turn);
        assert_true(turn_admits(&turn, &first));
        turn_count(&turn, TURN_BYTES - 1);
        assert_true(turn_has_room(&turn));
        turn_count(&turn, 2);
        assert_false(turn_has_room(&turn));
        assert_false(turn_admits(&turn, &second));
        turn_begin(&turn);
        assert_false(turn_admits(&turn, &first));
        assert_true(turn_admits(&turn, &second));
        assert_false(turn_has_room(&turn));
}

/* Streams */

struct reader {
        struct stream stream;
        int peer;
        size_t bytes;
};

static size_t turn_bytes; /* read in this turn by all streams */

static void on_data(struct stream *stream, struct share *share)
{
        struct reader *reader = container_of(stream, struct reader, stream);

        reader->bytes += share->n;
        turn_bytes += share->n;
}

static void on_end(struct stream *stream)
{
        (void)stream;
}

static void on_error(struct stream *stream, int error)
{
        (void)stream;
        fail_msg("error %d", error);
}

static const struct stream_events events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_end,
        .on_error = on_error,
};

static void reader_init(struct reader *reader)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        *reader = (struct reader){ .peer = pair[1] };
        assert_int_equal(stream_init(&reader->stream, loop, pair[0], &events), 0);
        assert_int_equal(stream_resume(&reader->stream), 0);
}

static void reader_deinit(struct reader *reader)
{
        stream_deinit(&reader->stream);
        assert_int_equal(close(reader->peer), 0);
}

/* Sends as much as the socket takes. Return: the number of bytes. */
static size_t fill(const struct reader *reader)
{
        static const uint8_t data[LOOP_SCRATCH_BYTES];
        size_t sent = 0;

        for (ssize_t n; (n = send(reader->peer, data, sizeof(data), 0)) > 0;)
                sent += (size_t)n;
        return sent;
}

static void turn_once(void)
{
        turn_bytes = 0;
        assert_int_equal(loop_turn(loop), 0);
}

/*
 * Some streams always have more to read. No turn reads more than the budget and one read, and a
 * light stream is read in the turn in which it has bytes.
 */
static void turns_are_short(void **state)
{
        static struct reader readers[STREAMS], light;

        (void)state;
        for (size_t i = 0; i < STREAMS; i++)
                reader_init(&readers[i]);
        reader_init(&light);
        for (size_t i = 0; i < STREAMS; i++)
                assert_true(fill(&readers[i]) > READ_BYTES);
        turn_once(); /* all streams become heavy */
        for (int i = 0; i < 200; i++) {
                for (size_t j = 0; j < STREAMS; j++)
                        (void)fill(&readers[j]);
                light.bytes = 0;
                assert_int_equal(send(light.peer, "hello", 5, 0), 5);
                turn_once();
                assert_in_range(turn_bytes, 1, TURN_BYTES + LOOP_SCRATCH_BYTES + 5);
                assert_int_equal(light.bytes, 5);
        }
        for (size_t i = 0; i < STREAMS; i++) {
                assert_in_range(readers[i].bytes, readers[0].bytes * 8 / 10,
                                readers[0].bytes * 12 / 10);
                reader_deinit(&readers[i]);
        }
        reader_deinit(&light);
}

int main(void)
{
        const struct CMUnitTest plain[] = {
                cmocka_unit_test(rounds_are_fair),
                cmocka_unit_test(alone),
        };
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(turns_are_short, start_loop, stop_loop),
        };

        return cmocka_run_group_tests_name("turns", plain, NULL, NULL) + run_on_all_backends(tests);
}
