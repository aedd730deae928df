/* Conditions: which of them need bytes to be held, and the names of what they did. */
#include "conditions.h"
#include "unit.h"

static void none(void **state)
{
        (void)state;
        assert_false(conditions_shape(&conditions_none));
        assert_true(conditions_none.probability == 1.0 && conditions_none.drop_new == 0.0);
        assert_int_equal(conditions_none.reset_after_usec, CONDITIONS_NEVER);
}

/* By each member alone; the others say nothing about bytes, or nothing by themselves. */
static void shape(void **state)
{
        static const struct {
                size_t offset;
                bool shapes;
        } members[] = {
                { offsetof(struct conditions, latency_usec), true },
                { offsetof(struct conditions, jitter_usec), true },
                { offsetof(struct conditions, rate), true },
                { offsetof(struct conditions, burst_bytes), false },
                { offsetof(struct conditions, slice_bytes), true },
                { offsetof(struct conditions, slice_variation_bytes), false },
                { offsetof(struct conditions, slice_delay_usec), true },
                { offsetof(struct conditions, limit_bytes), true },
                { offsetof(struct conditions, stall_after_bytes), false },
                { offsetof(struct conditions, stall_after_usec), false },
                { offsetof(struct conditions, stall_for_usec), true },
                { offsetof(struct conditions, reset_after_usec), false },
                { offsetof(struct conditions, close_delay_usec), true },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(members); i++) {
                struct conditions conditions = conditions_none;

                *(uint64_t *)((char *)&conditions + members[i].offset) = 1;
                if (conditions_shape(&conditions) != members[i].shapes)
                        fail_msg("member %zu", i);
        }
}

/* None is not none when it says otherwise: a limit of 0 is one. */
static void shape_by_zero(void **state)
{
        struct conditions conditions = conditions_none;

        (void)state;
        conditions.drop_new = 1;
        conditions.probability = 0.5;
        assert_false(conditions_shape(&conditions));
        conditions.limit_bytes = 0;
        assert_true(conditions_shape(&conditions));
}

/* Every set of them, by the names the configuration has, within its bounds. */
static void format(void **state)
{
        static const char *const names[] = { "latency", "rate",        "slice",       "limit",
                                             "stall",   "close_delay", "reset_after", "drop_new" };

        (void)state;
        for (unsigned faults = 0; faults < 256; faults++) {
                char text[CONDITIONS_TEXT_SIZE + 1], expected[512] = "";
                size_t n = 0;

                for (size_t i = 0; i < ELEMENTS(names); i++)
                        if (faults & 1U << i)
                                n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%s",
                                                      n ? ", " : "", names[i]);
                memset(text, '!', sizeof(text));
                assert_ptr_equal(conditions_format(faults, text), text);
                assert_string_equal(text, expected);
                assert_true(text[CONDITIONS_TEXT_SIZE] == '!');
        }
        assert_int_equal(FAULT_LATENCY | FAULT_RATE | FAULT_SLICE | FAULT_LIMIT | FAULT_STALL |
                                 FAULT_CLOSE_DELAY | FAULT_RESET | FAULT_DROP,
                         255);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(none),
                cmocka_unit_test(shape),
                cmocka_unit_test(shape_by_zero),
                cmocka_unit_test(format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
