/* SPDX-License-Identifier: MIT */
/* Newcomers settle once and in time, however many there are and whichever leave. */
#include "newcomer.h"
#include "turning.h"

#define MANY 1000

static struct newcomer some[MANY];
static unsigned n_settled;
static struct newcomer *last;    /* the last one that settled */
static struct newcomer *leaving; /* leaves when another one settles; NULL: none */

static void on_settle(struct newcomer *newcomer)
{
        assert_false(newcomer->waits);
        n_settled++;
        last = newcomer;
        if (leaving)
                newcomer_leave(leaving);
        leaving = NULL;
}

static int start(void **state)
{
        memset(some, 0, sizeof(some));
        n_settled = 0;
        last = leaving = NULL;
        return start_loop(state);
}

static void join(struct newcomer *newcomer)
{
        assert_int_equal(newcomer_join(newcomer, loop_newcomers(loop), on_settle), 0);
}

static void in_time(void **state)
{
        uint64_t began = now_usec(), then;

        (void)state;
        join(&some[0]);
        turn_for(SETTLE_USEC * 3 / 2);
        then = now_usec();
        join(&some[1]);
        turn_until(n_settled == 1);
        assert_ptr_equal(last, &some[0]);
        assert_true(now_usec() - began >= SETTLE_USEC);
        turn_until(n_settled == 2);
        assert_true(now_usec() - then >= SETTLE_USEC);
}

/* A turn settles a bounded number. */
static void many(void **state)
{
        unsigned most = 0, before;

        (void)state;
        for (size_t i = 0; i < MANY; i++)
                join(&some[i]);
        turn_until((before = n_settled, turn(),
                    most = n_settled - before > most ? n_settled - before : most,
                    n_settled == MANY));
        assert_in_range(most, 1, MANY / 5);
        turn_for(2 * SETTLE_USEC);
        assert_int_equal(n_settled, MANY);
}

static void leave(void **state)
{
        (void)state;
        join(&some[0]);
        join(&some[1]);
        newcomer_leave(&some[0]);
        newcomer_leave(&some[0]); /* has no effect */
        turn_until(n_settled);
        assert_ptr_equal(last, &some[1]);
        turn_for(2 * SETTLE_USEC);
        assert_int_equal(n_settled, 1);
        join(&some[0]);
        turn_until(n_settled == 2);
        assert_ptr_equal(last, &some[0]);
}

/* A newcomer that settles may make another one leave, and may join again. */
static void leave_meanwhile(void **state)
{
        (void)state;
        join(&some[0]);
        join(&some[1]);
        leaving = &some[0]; /* the list is settled from its end */
        turn_until(n_settled);
        turn_for(2 * SETTLE_USEC);
        assert_int_equal(n_settled, 1);
        assert_ptr_equal(last, &some[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(in_time, start, stop_loop),
                cmocka_unit_test_setup_teardown(many, start, stop_loop),
                cmocka_unit_test_setup_teardown(leave, start, stop_loop),
                cmocka_unit_test_setup_teardown(leave_meanwhile, start, stop_loop),
        };

        return run_on_all_backends(tests);
}
