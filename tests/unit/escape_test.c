/* SPDX-License-Identifier: MIT */
/* Escaping of every byte and of any mixture, never longer than ESCAPE_SIZE. */
#include "escape.h"
#include "unit.h"

#include <ctype.h>
#include <locale.h>

/* The escaped form of one byte, by a second implementation. */
static void expected_of(unsigned char byte, char *out)
{
        const char *word = byte == '\n'   ? "\\n"
                           : byte == '\r' ? "\\r"
                           : byte == '\t' ? "\\t"
                           : byte == '"'  ? "\\\""
                           : byte == '\\' ? "\\\\"
                                          : NULL;

        if (word)
                (void)snprintf(out, 5, "%s", word);
        else if (byte >= 0x20 && byte < 0x7f)
                (void)snprintf(out, 5, "%c", byte);
        else
                (void)snprintf(out, 5, "\\x%02x", byte);
}

static void every_byte(void **state)
{
        unsigned char all[256];
        char out[ESCAPE_SIZE(256)], expected[ESCAPE_SIZE(256)];
        size_t n = 0;

        (void)state;
        for (unsigned i = 0; i < 256; i++) {
                char one[ESCAPE_SIZE(1)];

                all[i] = (unsigned char)i;
                expected_of(all[i], expected + n);
                assert_int_equal(escape_bytes(one, &all[i], 1), strlen(expected + n));
                assert_string_equal(one, expected + n);
                n += strlen(one);
        }
        assert_int_equal(escape_bytes(out, all, sizeof(all)), n);
        assert_string_equal(out, expected);
}

static void nothing(void **state)
{
        char out[ESCAPE_SIZE(0)] = "!";

        (void)state;
        assert_int_equal(escape_bytes(out, "", 0), 0);
        assert_int_equal(out[0], '\0');
}

/* The byte after ESCAPE_SIZE is unchanged, and the worst input fills ESCAPE_SIZE. */
static void bound(void **state)
{
        unsigned char data[64];
        char out[ESCAPE_SIZE(sizeof(data)) + 1];

        (void)state;
        seed_random();
        for (int i = 0; i < 10000; i++) {
                size_t n = random_between(1, sizeof(data)), length;

                fill_random(data, n);
                if (i % 2)
                        memset(data, 0xff, n);
                out[ESCAPE_SIZE(n)] = '!';
                length = escape_bytes(out, data, n);
                assert_int_equal(out[ESCAPE_SIZE(n)], '!');
                assert_int_equal(strlen(out), length);
                if (i % 2)
                        assert_int_equal(length + 1, ESCAPE_SIZE(n));
                for (size_t j = 0; j < length; j++)
                        assert_true(isascii(out[j]) && isprint((unsigned char)out[j]));
        }
}

static void assert_shown(const char *text, const char *expected)
{
        char out[256];
        size_t n = escape_for_terminal(out, text, strlen(text));

        assert_string_equal(out, expected);
        assert_int_equal(n, strlen(expected));
}

/* Text stays readable, and nothing that could control a terminal is left. */
static void for_terminal(void **state)
{
        (void)state;
        assert_shown("", "");
        assert_shown("a\t\\ \"b\"", "a\t\\ \"b\"");
        assert_shown("\x1b[2J\r\n\x07\x7f", "\\x1b[2J\\r\\n\\x07\\x7f");
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
        assert_shown("caf\xc3\xa9 \xe4\xb8\xad", "caf\xc3\xa9 \xe4\xb8\xad");
        assert_shown("\xc2\x9b"
                     "1m",
                     "\\xc2\\x9b1m"); /* CSI, a C1 control character */
        assert_shown("\x9b"
                     "1m \xff \xc3",
                     "\\x9b1m \\xff \\xc3");
        assert_shown("\xe4\xb8", "\\xe4\\xb8");          /* cut short */
        assert_shown("\xc0\x9b", "\\xc0\\x9b");          /* an overlong form */
        assert_shown("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
        assert_non_null(setlocale(LC_CTYPE, "C"));
        assert_shown("caf\xc3\xa9", "caf\\xc3\\xa9");
}

/* The output has no byte below 0x20 except tabs, no DEL and no C1. A NUL does not end the input. */
static void random_for_terminal(void **state)
{
        unsigned char data[64];
        char out[ESCAPE_SIZE(sizeof(data)) + 1];

        (void)state;
        seed_random();
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
        for (int i = 0; i < 10000; i++) {
                size_t n = random_between(1, sizeof(data)), length;

                fill_random(data, n);
                out[ESCAPE_SIZE(n)] = '!';
                length = escape_for_terminal(out, data, n);
                assert_int_equal(out[ESCAPE_SIZE(n)], '!');
                assert_int_equal(strlen(out), length);
                assert_true(length >= n);
                for (size_t j = 0; j < length; j++) {
                        unsigned char c = (unsigned char)out[j];

                        assert_true((c >= ' ' || c == '\t') && c != 0x7f);
                        assert_false(c == 0xc2 && (unsigned char)out[j + 1] < 0xa0);
                }
        }
        assert_non_null(setlocale(LC_CTYPE, "C"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_byte),
                cmocka_unit_test(nothing),
                cmocka_unit_test(bound),
                cmocka_unit_test(for_terminal),
                cmocka_unit_test(random_for_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
