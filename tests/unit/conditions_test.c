/* SPDX-License-Identifier: MIT */
/* Conditions: which of them need a shaper, and the names of the faults. */
#include "conditions.h"
#include "keys.h"
#include "unit.h"

#define N_FAULTS 10

static void none(void **state)
{
        (void)state;
        assert_false(conditions_shape(&conditions_none));
        assert_true(conditions_none.probability == 1.0 && conditions_none.drop_new == 0.0);
        assert_int_equal(conditions_none.reset_after_usec, CONDITIONS_NEVER);
}

/* Each member alone: those that hold or count bytes need a shaper, the others do not. */
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

/* A limit of 0 needs a shaper; the shares of connections do not. */
static void shape_by_zero(void **state)
{
        struct conditions conditions = conditions_none;

        (void)state;
        conditions.drop_new = 1;
        conditions.probability = 0.5;
        assert_false(conditions_shape(&conditions));
        conditions.limit_bytes = 0;
        assert_true(conditions_shape(&conditions));
        conditions = conditions_none;
        conditions.rate = 0;
        assert_true(conditions_shape(&conditions));
        conditions = conditions_none;
        conditions.reset_after_data_usec = 0;
        assert_true(conditions_shape(&conditions));
        conditions = conditions_none;
        conditions.discard_idle_usec = 0;
        assert_false(conditions_shape(&conditions));
        conditions.discard = true;
        assert_true(conditions_shape(&conditions));
}

/* Every member but the name makes a difference. */
static void equal(void **state)
{
        const size_t begin = offsetof(struct conditions, version),
                     end = offsetof(struct conditions, discard) + sizeof(bool);
        struct conditions other;

        (void)state;
        for (size_t i = begin; i < end; i++) {
                other = conditions_none;
                ((unsigned char *)&other)[i] ^= 1;
                if (conditions_equal(&conditions_none, &other))
                        fail_msg("byte %zu", i);
        }
        other = conditions_none;
        other.name[0] = 'a';
        assert_true(conditions_equal(&conditions_none, &other));
}

/* Whether the configuration has a key of that name, or keys that begin with it: "slice_size". */
static bool names_a_key(const char *name)
{
        const struct group *group = &key_groups[GROUP_CONDITIONS];
        size_t n = strlen(name);

        for (size_t i = 0; i < group->n; i++)
                if (strncmp(group->keys[i].name, name, n) == 0 &&
                    (group->keys[i].name[n] == '\0' || group->keys[i].name[n] == '_'))
                        return true;
        return false;
}

/* Every fault has a name of its own, which is a key or the beginning of keys. */
static void fault_names(void **state)
{
        char names[N_FAULTS][CONDITIONS_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < N_FAULTS; i++) {
                conditions_format(1U << i, names[i]);
                if (names[i][0] == '\0' || !names_a_key(names[i]))
                        fail_msg("fault %zu is called \"%s\"", i, names[i]);
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(names[i], names[j]);
        }
}

/* Sets of faults are named in the order of the bits, and the text stays within its bounds. */
static void fault_sets(void **state)
{
        char text[CONDITIONS_TEXT_SIZE + 1], name[CONDITIONS_TEXT_SIZE];

        (void)state;
        assert_string_equal(conditions_format(FAULT_LATENCY | FAULT_STALL | FAULT_DROP, text),
                            "latency, stall, drop_new");
        for (unsigned faults = 0; faults < 1U << N_FAULTS; faults++) {
                const char *p = text;

                memset(text, '!', sizeof(text));
                assert_ptr_equal(conditions_format(faults, text), text);
                assert_true(text[CONDITIONS_TEXT_SIZE] == '!');
                for (size_t i = 0; i < N_FAULTS; i++) {
                        if (!(faults & 1U << i))
                                continue;
                        if (p > text) {
                                assert_memory_equal(p, ", ", 2);
                                p += 2;
                        }
                        conditions_format(1U << i, name);
                        assert_memory_equal(p, name, strlen(name));
                        p += strlen(name);
                }
                assert_true(*p == '\0');
        }
}

/* The faults are the lowest N_FAULTS bits. */
static void fault_bits(void **state)
{
        (void)state;
        assert_int_equal(FAULT_LATENCY | FAULT_RATE | FAULT_SLICE | FAULT_LIMIT | FAULT_STALL |
                                 FAULT_CLOSE_DELAY | FAULT_RESET | FAULT_DROP | FAULT_DISCARD |
                                 FAULT_RESET_DATA,
                         (1U << N_FAULTS) - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(none),          cmocka_unit_test(shape),
                cmocka_unit_test(shape_by_zero), cmocka_unit_test(equal),
                cmocka_unit_test(fault_names),   cmocka_unit_test(fault_sets),
                cmocka_unit_test(fault_bits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
