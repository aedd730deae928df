/* SPDX-License-Identifier: MIT */
/* Probes: each is recognized, however short, and not taken for another. */
#include "probe.h"
#include "unit.h"

static const size_t sizes[] = { 1, 7, 8, 9, 64, PROBE_SIZE_MAX };
static const uint64_t numbers[] = { 1, 2, 255, 256, 65536, 1000000000 };

static uint8_t message[PROBE_SIZE_MAX];

static void recognized(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                for (size_t j = 0; j < ELEMENTS(numbers); j++) {
                        uint64_t number = 0;

                        probe_fill(message, sizes[i], numbers[j]);
                        assert_true(probe_recognize(message, sizes[i], numbers[j], &number));
                        assert_int_equal(number, numbers[j]);
                }
}

/* A long probe holds its own number. */
static void number_in_it(void **state)
{
        uint64_t number = 0;

        (void)state;
        probe_fill(message, 64, 7);
        assert_true(probe_recognize(message, 64, 9, &number));
        assert_int_equal(number, 7);
        probe_fill(message, 7, 7);
        assert_false(probe_recognize(message, 7, 9, &number));
}

/* A corrupted probe is not recognized as itself. If its number changed, it may be another probe. */
static void each_byte_counts(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(sizes); i++)
                for (size_t j = 0; j < sizes[i]; j += 1 + sizes[i] / 100) {
                        uint64_t number = 77;

                        probe_fill(message, sizes[i], 300);
                        message[j] ^= 1;
                        assert_true(!probe_recognize(message, sizes[i], 300, &number) ||
                                    (j < sizeof(number) && number != 300));
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(recognized),
                cmocka_unit_test(number_in_it),
                cmocka_unit_test(each_byte_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
