/* SPDX-License-Identifier: MIT */
/*
 * A stream gets no callbacks after its end, even if a duplicate of its socket stays open, as in a
 * forked child that has not executed its program yet.
 */
#include "stream.h"
#include "turning.h"

static bool told;

static void on_exception(struct loop_watch *watch, bool urgent)
{
        (void)watch;
        (void)urgent;
        told = true;
}

static const struct stream_events no_events;

static void ends_with_the_stream(void **state)
{
        struct stream stream;
        int pair[2], duplicate;

        (void)state;
        told = false;
        tcp_pair(pair);
        assert_int_equal(stream_init(&stream, loop, pair[0], &no_events), 0);
        duplicate = dup(pair[0]);
        assert_true(duplicate >= 0);
        stream_deinit(&stream);
        stream.watch.on_exception = on_exception; /* an access to the freed stream calls this */
        assert_int_equal(send(pair[1], "!", 1, MSG_OOB), 1);
        turn_a_while();
        assert_false(told);
        assert_int_equal(close(duplicate), 0);
        assert_int_equal(close(pair[1]), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(ends_with_the_stream, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
