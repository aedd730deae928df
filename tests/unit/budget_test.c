/* SPDX-License-Identifier: MIT */
/*
 * The budget of held bytes: which holders count, which wait, and which are called when there is
 * room.
 */
#include "budget.h"
#include "turning.h"

#define MAX_BYTES 1000

static struct holder *told[8];
static size_t n_told;
static struct budget budget;

static void on_room(struct holder *holder)
{
        told[n_told++] = holder;
}

static int start(void **state)
{
        n_told = 0;
        budget = (struct budget){ 0 };
        if (start_loop(state) != 0)
                return -1;
        loop_set_budget(loop, &budget);
        budget_set_max(&budget, MAX_BYTES);
        return 0;
}

static void turns(unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(loop_turn(loop), 0);
}

/* The holders of several loops share the bound. A holder's new count replaces its old one. */
static void counts(void **state)
{
        struct holders *holders = loop_holders(loop), others;
        struct holder a = { 0 }, b = { 0 };

        (void)state;
        holders_init(&others, loop_timers(loop), &budget);
        holder_count(&a, holders, 600);
        holder_count(&b, &others, 399);
        assert_false(holders_are_full(holders));
        holder_count(&b, &others, 400);
        assert_true(holders_are_full(holders));
        assert_true(holders_are_full(&others));
        holder_count(&a, holders, 100);
        assert_false(holders_are_full(holders));
        budget_set_max(&budget, 500);
        assert_true(holders_are_full(holders));
        holder_count(&a, holders, 0);
        holder_count(&b, &others, 0);
        assert_int_equal(budget.held_bytes, 0);
        holders_deinit(&others);
}

static void no_bound(void **state)
{
        struct holders *holders = loop_holders(loop);
        struct holder a = { 0 };

        (void)state;
        budget_set_max(&budget, 0);
        holder_count(&a, holders, UINT64_MAX);
        assert_false(holders_are_full(holders));
        loop_set_budget(loop, NULL);
        assert_false(holders_are_full(holders));
}

/*
 * Waiting holders are called in order when there is room. Those that have stopped waiting are not
 * called.
 */
static void waits(void **state)
{
        struct holders *holders = loop_holders(loop);
        struct holder full = { 0 }, a = { 0 }, b = { 0 }, c = { 0 };

        (void)state;
        holder_count(&full, holders, MAX_BYTES);
        assert_int_equal(holder_wait(&a, holders, on_room), 0);
        assert_int_equal(holder_wait(&b, holders, on_room), 0);
        assert_int_equal(holder_wait(&c, holders, on_room), 0);
        assert_int_equal(holder_wait(&a, holders, on_room), 0);
        holder_stop_waiting(&b, holders);
        turns(20); /* at most 2 ms each: long enough for a check */
        assert_int_equal(n_told, 0);
        holder_count(&full, holders, MAX_BYTES - 1);
        for (int i = 0; n_told < 2 && i < 1000; i++)
                turns(1);
        turns(20);
        assert_int_equal(n_told, 2);
        assert_ptr_equal(told[0], &a);
        assert_ptr_equal(told[1], &c);
        assert_false(timer_is_set(&holders->timer));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(counts, start, stop_loop),
                cmocka_unit_test_setup_teardown(no_bound, start, stop_loop),
                cmocka_unit_test_setup_teardown(waits, start, stop_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
