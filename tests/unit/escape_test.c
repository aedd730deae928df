/* Escaping: of every byte, of any mixture, and never longer than ESCAPE_SIZE. */
#include "escape.h"
#include "unit.h"

#include <ctype.h>

/* What one byte becomes, written down once more. */
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

/* One byte behind the bound stays as it was, and the worst input fills the bound. */
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_byte),
                cmocka_unit_test(nothing),
                cmocka_unit_test(bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
