/* SPDX-License-Identifier: MIT */
/*
 * Fates: a group makes its random choices once and keeps its counts, and several groups are
 * combined. The tests of the shaper carry out what fates decide.
 */
#include "fates.h"

#define SECOND USEC_PER_SEC

static struct fates *fates;

/* Draws the groups for one connection. */
static void draw(const struct conditions *groups, size_t n, uint64_t connection)
{
        static struct conditions copies[GROUPS_MAX];
        const struct condition_list list = { .groups = copies, .n = n };
        const struct fate_origin origin = {
                .seed = 42,
                .connection = connection,
                .direction = TO_CLIENT,
                .now_usec = SECOND,
        };

        for (size_t i = 0; i < n; i++)
                copies[i] = groups[i];
        fates = fates_free(fates);
        assert_int_equal(fates_new(&list, &origin, NULL, &fates), 0);
}

/* Changes the groups at @now. */
static void change(const struct conditions *groups, size_t n, uint64_t now, uint64_t passed_bytes)
{
        fates_free(redraw(&fates, groups, n, now, passed_bytes));
}

static int free_all(void **state)
{
        (void)state;
        fates = fates_free(fates);
        return 0;
}

static struct conditions named(const char *name)
{
        struct conditions group = conditions_none;

        (void)snprintf(group.name, sizeof(group.name), "%s", name);
        return group;
}

static bool applies(size_t i)
{
        return fates->list[i].conditions == fates->list[i].group;
}

static void no_groups(void **state)
{
        uint64_t at;

        (void)state;
        draw(NULL, 0, 1);
        assert_null(fates);
        assert_false(fates_drop(fates));
        assert_null(fates_reset(fates, &at));
        assert_false(fates_shape(fates));
        assert_int_equal(fates_end(fates, false).at_usec, CONDITIONS_NEVER);
        assert_int_equal(fates_fold(fates).rate, CONDITIONS_UNLIMITED);
        assert_int_equal(fates_draw_delay(fates), 0);
        assert_int_equal(fates_stalled_until(fates, SECOND), SECOND);
        assert_null(fates_free(NULL));
}

/* A group without a name draws from the connection's generator: first drop_new, then probability.
 */
static void draws_without_a_name(void **state)
{
        struct conditions group = conditions_none;

        (void)state;
        group.probability = 0.5;
        group.drop_new = 0.5;
        for (uint64_t id = 1; id < 200; id++) {
                struct random random = random_new(42, id, TO_CLIENT);
                bool drops = random_share(&random) < 0.5;

                draw(&group, 1, id);
                assert_int_equal(applies(0), random_share(&random) < 0.5);
                assert_int_equal(fates->list[0].drops, drops && applies(0));
                assert_int_equal(fates_drop(fates), fates->list[0].drops);
                assert_int_equal(fates->list[0].jitter.state, random.state);
        }
}

/* Return: for how many of 100 connections both groups make the same choice. */
static unsigned count_same(const struct conditions *a, const struct conditions *b)
{
        const struct conditions groups[] = { *a, *b };
        unsigned same = 0;

        for (uint64_t id = 1; id <= 100; id++) {
                draw(groups, 2, id);
                same += applies(0) == applies(1);
        }
        return same;
}

static void draws_of_several(void **state)
{
        struct conditions a = named("a"), b = named("b"), none = conditions_none, newer = a;

        (void)state;
        a.probability = b.probability = none.probability = newer.probability = 0.5;
        newer.version = 1;
        assert_in_range(count_same(&a, &b), 20, 80);
        assert_in_range(count_same(&a, &none), 20, 80);
        assert_in_range(count_same(&a, &newer), 20, 80);
        assert_int_equal(count_same(&a, &a), 100);
}

/* Choices are made anew only when the version or a value of the group changes. */
static void drawn_once(void **state)
{
        struct conditions groups[] = { named("a"), named("b") };
        unsigned redrawn = 0;

        (void)state;
        groups[0].probability = groups[1].probability = 0.5;
        groups[0].jitter_usec = groups[1].jitter_usec = SECOND;
        for (uint64_t id = 1; id <= 50; id++) {
                uint64_t state_of_a, state_of_b;
                bool applied;

                draw(groups, 2, id);
                (void)fates_draw_delay(fates);
                applied = applies(0);
                state_of_a = fates->list[0].jitter.state;
                state_of_b = fates->list[1].jitter.state;
                groups[1].latency_usec++;
                change(groups, 2, 2 * SECOND, 100);
                assert_int_equal(applies(0), applied);
                assert_int_equal(fates->list[0].jitter.state, state_of_a);
                assert_int_not_equal(fates->list[1].jitter.state, state_of_b);
                groups[0].version++;
                change(groups, 2, 3 * SECOND, 200);
                redrawn += applies(0) != applied;
        }
        assert_in_range(redrawn, 5, 45);
}

/* A group's counts start when it is added, survive a change, and start again when it is added
 * again. */
static void counts(void **state)
{
        struct conditions groups[] = { named("old"), named("new") };
        uint64_t at;

        (void)state;
        groups[0].limit_bytes = groups[1].limit_bytes = 1000;
        groups[0].reset_after_usec = groups[1].reset_after_usec = 10 * SECOND;
        draw(groups, 1, 1);
        assert_int_equal(fates_fold(fates).limit_bytes, 1000);
        assert_ptr_equal(fates_reset(fates, &at), fates->list[0].group);
        assert_int_equal(at, 11 * SECOND);

        change(groups, 2, 3 * SECOND, 400);
        assert_int_equal(fates_fold(fates).limit_bytes, 1000);
        groups[0].limit_bytes = 2000;
        groups[0].reset_after_usec = 20 * SECOND;
        change(groups, 2, 4 * SECOND, 500);
        assert_int_equal(fates_fold(fates).limit_bytes, 1400);
        assert_ptr_equal(fates_fold(fates).limit, fates->list[1].group);
        assert_ptr_equal(fates_reset(fates, &at), fates->list[1].group);
        assert_int_equal(at, 13 * SECOND);

        change(groups, 1, 5 * SECOND, 600);
        assert_int_equal(fates_fold(fates).limit_bytes, 2000);
        assert_ptr_equal(fates_reset(fates, &at), fates->list[0].group);
        assert_int_equal(at, 21 * SECOND);
        change(groups, 2, 6 * SECOND, 700);
        assert_int_equal(fates_fold(fates).limit_bytes, 1700);
}

static void folded(void **state)
{
        struct conditions groups[] = { named("a"), named("b"), named("c"), named("d") };
        struct fold fold;

        (void)state;
        groups[0].latency_usec = 100;
        groups[1].latency_usec = 20;
        groups[2].jitter_usec = 7;
        groups[0].rate = 5000;
        groups[1].rate = 1000;
        groups[1].burst_bytes = 12;
        groups[0].slice_bytes = 9;
        groups[2].slice_bytes = 5;
        groups[2].slice_variation_bytes = 2;
        groups[0].slice_delay_usec = 3;
        groups[2].slice_delay_usec = 4;
        groups[0].close_delay_usec = 1;
        groups[1].close_delay_usec = 2;
        groups[3].latency_usec = 1000000; /* not applied */
        groups[3].rate = 0;
        groups[3].probability = 0;
        draw(groups, 4, 1);
        fold = fates_fold(fates);
        assert_int_equal(fold.delay_max_usec, 127);
        assert_int_equal(fold.close_delay_usec, 3);
        assert_int_equal(fold.rate, 1000);
        assert_int_equal(fold.burst_bytes, 12);
        assert_null(fold.shared);
        assert_int_equal(fold.slice_bytes, 5);
        assert_int_equal(fold.slice_variation_bytes, 2);
        assert_ptr_equal(fold.slices, &fates->list[2].slices);
        assert_int_equal(fold.slice_delay_usec, 7);
        assert_int_equal(fold.limit_bytes, CONDITIONS_NEVER);
        assert_false(fold.stalls || fold.notes);
        for (int i = 0; i < 100; i++)
                assert_in_range(fates_draw_delay(fates), 120, 127);
}

/* Fates hold a reference to the bucket of a shared rate. */
static void shared(void **state)
{
        struct conditions group = named("a");

        (void)state;
        group.rate = 1000;
        group.shared = true;
        assert_int_equal(bucket_new(&shared_bucket), 0);
        change(&group, 1, SECOND, 0);
        assert_ptr_equal(fates_fold(fates).shared, shared_bucket);
        assert_false(bucket_is_unused(shared_bucket, SECOND));
        fates = fates_free(fates);
        assert_true(bucket_is_unused(shared_bucket, SECOND));
        shared_bucket = bucket_unref(shared_bucket);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(no_groups, free_all),
                cmocka_unit_test_teardown(draws_without_a_name, free_all),
                cmocka_unit_test_teardown(draws_of_several, free_all),
                cmocka_unit_test_teardown(drawn_once, free_all),
                cmocka_unit_test_teardown(counts, free_all),
                cmocka_unit_test_teardown(folded, free_all),
                cmocka_unit_test_teardown(shared, free_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
