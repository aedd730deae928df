/* SPDX-License-Identifier: MIT */
/* Parsing of durations and sizes, and formatting of durations. */
#include "quantity.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>

#define UNTOUCHED 0xdeadbeefULL
#define MINUTE    (60 * USEC_PER_SEC)
#define HOUR      (60 * MINUTE)
#define DAY       (24 * HOUR)
#define MONTH     (DAY * 3044 / 100)
#define YEAR      (DAY * 36525 / 100)

struct good {
        const char *text;
        uint64_t value;
};

typedef int parse_fn(const char *text, uint64_t *out);

/* Whether @parse returns @error for @text, and @value if it succeeds; prints a difference. */
static bool gives(parse_fn *parse, const char *text, int error, uint64_t value)
{
        uint64_t got = UNTOUCHED;
        int r = parse(text, &got);

        if (r == error && got == value)
                return true;
        print_error("\"%s\" gives %d, %" PRIu64 ", not %d, %" PRIu64 "\n", text, r, got, error,
                    value);
        return false;
}

static void expect_good(parse_fn *parse, const struct good *cases, size_t n)
{
        bool ok = true;

        for (size_t i = 0; i < n; i++)
                ok &= gives(parse, cases[i].text, 0, cases[i].value);
        assert_true(ok);
}

static void expect_bad(parse_fn *parse, int error, const char *const *texts, size_t n)
{
        bool ok = true;

        for (size_t i = 0; i < n; i++)
                ok &= gives(parse, texts[i], error, UNTOUCHED);
        assert_true(ok);
}

/* Every unit of systemd.time(7), by all its names, and what it is in terms of another unit. */
static void every_unit(void **state)
{
        static const struct {
                const char *names, *equals;
        } units[] = {
                { "usec us \u00b5s \u03bcs", "0.001 ms" },
                { "msec ms", "0.001 s" },
                { "seconds second sec s", "1" },
                { "minutes minute min m", "60 s" },
                { "hours hour hr h", "60 min" },
                { "days day d", "24 h" },
                { "weeks week w", "7 d" },
                { "months month M", "30.44 d" },
                { "years year y", "365.25 d" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(units); i++) {
                char names[64], *rest = names;
                uint64_t one = 0;

                assert_int_equal(quantity_parse_usec(units[i].equals, &one), 0);
                (void)snprintf(names, sizeof(names), "%s", units[i].names);
                for (const char *name; (name = strtok_r(rest, " ", &rest));) {
                        char close[32], apart[32], half[32];
                        const struct good cases[] = {
                                { close, 7 * one },
                                { apart, 7 * one },
                                { half, one * 5 / 2 },
                        };

                        (void)snprintf(close, sizeof(close), "7%s", name);
                        (void)snprintf(apart, sizeof(apart), " 7 \t%s ", name);
                        (void)snprintf(half, sizeof(half), "2.5%s", name);
                        expect_good(quantity_parse_usec, cases, ELEMENTS(cases));
                }
        }
}

static void spans(void **state)
{
        static const struct good cases[] = {
                /* the examples of the manual page */
                { "2 h", 2 * HOUR },
                { "2hours", 2 * HOUR },
                { "48hr", 48 * HOUR },
                { "1y 12month", YEAR + 12 * MONTH },
                { "55s500ms", 55500 * USEC_PER_MSEC },
                { "300ms20s 5day", 300 * USEC_PER_MSEC + 20 * USEC_PER_SEC + 5 * DAY },
                /* zero, in several spellings */
                { "0", 0 },
                { "0s", 0 },
                { "0.0", 0 },
                { "000", 0 },
                /* without a unit: seconds */
                { "7", 7 * USEC_PER_SEC },
                { " 7 \t ", 7 * USEC_PER_SEC },
                { "2.5", 2500000 },
                /* fractions are exact, and cut off below a microsecond */
                { "0.1", 100000 },
                { ".5s", 500000 },
                { "1.000001", 1000001 },
                { "0.0000019s", 1 },
                { "1.9us", 1 },
                { "0.001ms", 1 },
                { "0.3333333333333333333333333333s", 333333 },
                { "0.00000000000000000000000000001y", 0 },
                { "0.29 s", 290000 },
                /* sums */
                { "1min 30s", 90 * USEC_PER_SEC },
                { "1m1m", 2 * MINUTE },
                { "5 5", 10 * USEC_PER_SEC },
                { "1M1m", MONTH + MINUTE },
                /* the end of the range */
                { "18446744073709551615us", UINT64_MAX },
                { "18446744073709.551615s", UINT64_MAX },
                { "18446744073709551614us 1us", UINT64_MAX },
        };

        (void)state;
        expect_good(quantity_parse_usec, cases, ELEMENTS(cases));
}

static void not_spans(void **state)
{
        static const char *const junk[] = {
                "",     " ",        "s",      ".",
                ".s",   "-1",       "+1",     "- 1",
                "1 -1", "1x",       "1 s s",  "1S",
                "1Min", "1e3",      "0x10",   "1,5",
                "1s,",  "1s;2s",    "five",   "NaN",
                "inf",  "1\001",    "1s\xff", "1\u00b5",
                "s1",   "12.34.56", "1.5.5s", "3.",
                "3.s",  "3. 1",     "1..5",   "99999999999999999999x",
        };
        static const char *const large[] = {
                "18446744073709551616us",
                "18446744073709.551616s",
                "18446744073709551615us 1us",
                "18446744073709551615us 0.000001s",
                "18446744073709551615",
                "584543y",
                "99999999999999999999999999999999999999999999us",
        };

        (void)state;
        expect_bad(quantity_parse_usec, -EINVAL, junk, ELEMENTS(junk));
        expect_bad(quantity_parse_usec, -ERANGE, large, ELEMENTS(large));
}

static void sizes(void **state)
{
        static const struct good cases[] = {
                { "0", 0 },
                { "1", 1 },
                { "007", 7 },
                { " 64K ", 65536 },
                { "1 M", 1024 * 1024 },
                { "3G", 3ULL * 1024 * 1024 * 1024 },
                { "0.5K", 512 },
                { "18446744073709551615", UINT64_MAX },
                { "17179869183G", 17179869183ULL << 30 },
        };
        static const char *const junk[] = {
                "",   " ",   "K",    "-1",   "+1", "1k",  "1KB", "1KiB", "1T",
                "1B", "1 2", "1K 1", "0x10", "1s", "1e3", "0.5", "1.5",  "0.0001K",
        };
        static const char *const large[] = {
                "18446744073709551616",
                "17179869184G",
                "99999999999999999999999K",
        };

        (void)state;
        expect_good(quantity_parse_bytes, cases, ELEMENTS(cases));
        expect_bad(quantity_parse_bytes, -EINVAL, junk, ELEMENTS(junk));
        expect_bad(quantity_parse_bytes, -ERANGE, large, ELEMENTS(large));
}

static void format(void **state)
{
        static const struct good cases[] = {
                { "0 s", 0 },
                { "1 \u00b5s", 1 },
                { "200 ms", 200 * USEC_PER_MSEC },
                { "20 s", 20 * USEC_PER_SEC },
                { "1 min 30 s", 90 * USEC_PER_SEC },
                { "1 s 204 ms", 1204 * USEC_PER_MSEC },
                { "1 d 1 h 1 min 1 s 1 ms 1 \u00b5s",
                  DAY + HOUR + MINUTE + USEC_PER_SEC + USEC_PER_MSEC + 1 },
                { "365 d", 365 * DAY },
        };
        char text[QUANTITY_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_string_equal(quantity_format_usec(cases[i].value, text), cases[i].text);
}

/* Every value that is written is read back as the same. */
static void round_trip(void **state)
{
        (void)state;
        seed_random();
        for (int i = 0; i < 100000; i++) {
                char text[QUANTITY_TEXT_SIZE + 1];
                struct good written = { text, UINT64_MAX };

                if (i > 0) {
                        fill_random(&written.value, sizeof(written.value));
                        written.value >>= random() % 64;
                }
                text[QUANTITY_TEXT_SIZE] = '!';
                assert_ptr_equal(quantity_format_usec(written.value, text), text);
                assert_true(text[QUANTITY_TEXT_SIZE] == '!');
                expect_good(quantity_parse_usec, &written, 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_unit), cmocka_unit_test(spans),
                cmocka_unit_test(not_spans),  cmocka_unit_test(sizes),
                cmocka_unit_test(format),     cmocka_unit_test(round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
