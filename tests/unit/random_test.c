/* SPDX-License-Identifier: MIT */
/* Random numbers: the sequences are reproducible, different, and uniform. */
#include "random.h"
#include "unit.h"

/* Return: a generator whose next number is @number, by the inverse of mix(). */
static struct random before(uint64_t number)
{
        uint64_t x = number;

        x ^= x >> 31 ^ x >> 62;
        x *= 0x319642b2d24d8ec3; /* times 0x94d049bb133111eb: 1 */
        x ^= x >> 27 ^ x >> 54;
        x *= 0x96de1b173f119089; /* times 0xbf58476d1ce4e5b9: 1 */
        x ^= x >> 30 ^ x >> 60;
        return (struct random){ .state = x - 0x9e3779b97f4a7c15 };
}

/* Known numbers of SplitMix64. */
static void known(void **state)
{
        static const uint64_t numbers[] = { 6457827717110365317U, 3203168211198807973U,
                                            9817491932198370423U, 4593380528125082431U,
                                            16408922859458223821U };
        struct random random = { .state = 1234567 };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                assert_int_equal(random_next(&random), numbers[i]);
}

static void same_row_again(void **state)
{
        struct random one = random_new(42, 7, 1), two = random_new(42, 7, 1);

        (void)state;
        for (int i = 0; i < 1000; i++)
                assert_int_equal(random_next(&one), random_next(&two));
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

/* With another seed, @a or @b, no number appears in two sequences. */
static void rows_of_their_own(void **state)
{
        static uint64_t numbers[10 * 50 * 2 * 20];
        size_t n = 0;

        (void)state;
        for (uint64_t seed = 0; seed < 10; seed++) {
                for (uint64_t a = 0; a < 50; a++) {
                        for (uint64_t b = 0; b < 2; b++) {
                                struct random random = random_new(seed, a, b);

                                for (int i = 0; i < 20; i++)
                                        numbers[n++] = random_next(&random);
                        }
                }
        }
        qsort(numbers, n, sizeof(*numbers), compare);
        for (size_t i = 1; i < n; i++)
                assert_true(numbers[i] != numbers[i - 1]);
}

/* The first numbers of similar sequences differ: each bit is set in about half of them. */
static void first_numbers(void **state)
{
        unsigned set[64] = { 0 };

        (void)state;
        for (uint64_t id = 0; id < 4000; id++) {
                struct random random = random_new(42, id, 0);
                uint64_t number = random_next(&random);

                for (unsigned bit = 0; bit < 64; bit++)
                        set[bit] += number >> bit & 1 ? 1 : 0;
        }
        for (unsigned bit = 0; bit < 64; bit++)
                assert_in_range(set[bit], 1800, 2200); /* six standard deviations */
}

/* Both ends of a range occur, and nothing beyond them. */
static void ends(void **state)
{
        static const uint64_t most[] = { 0, 1, 2, 999, 65536, UINT64_MAX - 1, UINT64_MAX };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(most); i++) {
                struct random lowest = before(0), highest = before(UINT64_MAX);

                assert_int_equal(random_up_to(&lowest, most[i]), 0);
                assert_int_equal(random_up_to(&highest, most[i]), most[i]);
        }
}

/* Every number of a range appears about equally often. */
static void spread(void **state)
{
        struct random random = random_new(1, 2, 3);
        unsigned times[10] = { 0 };

        (void)state;
        for (int i = 0; i < 10000; i++)
                times[random_up_to(&random, 9)]++;
        for (size_t i = 0; i < ELEMENTS(times); i++)
                assert_in_range(times[i], 820, 1180);
}

/* From 0 to less than 1. */
static void share(void **state)
{
        struct random lowest = before(0), highest = before(UINT64_MAX),
                      random = random_new(1, 2, 3);
        double sum = 0, last;

        (void)state;
        assert_true(random_share(&lowest) == 0.0);
        last = random_share(&highest);
        assert_true(last < 1.0 && last > 1 - 1e-15);
        for (int i = 0; i < 10000; i++) {
                double value = random_share(&random);

                assert_true(value >= 0 && value < 1);
                sum += value;
        }
        assert_true(sum > 4800 && sum < 5200);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(known),
                cmocka_unit_test(same_row_again),
                cmocka_unit_test(rows_of_their_own),
                cmocka_unit_test(first_numbers),
                cmocka_unit_test(ends),
                cmocka_unit_test(spread),
                cmocka_unit_test(share),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
