/* SPDX-License-Identifier: MIT */
/*
 * Junk instead of a configuration: it is refused with few reports and in little time, without a
 * crash.
 */
#include "config_fixture.h"
#include "source.h"

#include <dlfcn.h>
#include <libconfig.h>

#ifdef __SANITIZE_ADDRESS__
#define JUNK_BYTES \
        (256 * 1024) /* its realloc() always copies: libconfig's long lists take a minute */
#else
#define JUNK_BYTES (1024 * 1024)
#endif

/* Reports of mistakes: the first thousand, and that there are more. */
#define REPORTS_MAX 1001

/* The look-ups for the smallest file: defaults are read like a file. */
#define LOOKUPS_MIN 300

/* Fills @out with @n bytes of the repeated @pattern. */
static void repeat(char *out, size_t n, const char *pattern)
{
        size_t length = strlen(pattern);

        for (size_t i = 0; i < n; i++)
                out[i] = pattern[i % length];
}

/*
 * The number of settings that were looked up, which measures the work independently of the machine.
 * Both functions replace libconfig's, also for calls from within libconfig.
 */
static size_t n_lookups;

config_setting_t *config_setting_get_elem(const config_setting_t *setting, unsigned i)
{
        static config_setting_t *(*real)(const config_setting_t *, unsigned);

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "config_setting_get_elem");
        n_lookups++;
        return real(setting, i);
}

/* libconfig compares the name with that of each member. */
config_setting_t *config_setting_get_member(const config_setting_t *setting, const char *name)
{
        static config_setting_t *(*real)(const config_setting_t *, const char *);

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "config_setting_get_member");
        n_lookups += (size_t)config_setting_length(setting);
        return real(setting, name);
}

/*
 * Junk is refused with few reports, and with at most one look-up for each byte, besides libconfig's
 * own: its parser compares each name with all names before it.
 */
static void expect_junk(const char *what, const char *data, size_t n)
{
        size_t names = n < SOURCE_NAMES_MAX ? n : SOURCE_NAMES_MAX;
        int r;

        write_bytes("conf", data, n);
        n_lookups = 0;
        r = load("conf");
        print_message("%s: %zu mistakes, %zu look-ups\n", what, n_mistakes, n_lookups);
        assert_int_equal(r, -EINVAL);
        assert_in_range(n_mistakes, 1, REPORTS_MAX);
        assert_in_range(n_lookups, 0, LOOKUPS_MIN + n + names * names / 2);
}

/* One pattern repeated over @n bytes, between a head and a tail. */
static void repeated_junk(size_t n)
{
        static const struct {
                const char *what, *head, *pattern, *tail;
        } cases[] = {
                { "parentheses", "a = ", "(", "" },
                { "brackets", "a = ", "[", "" },
                { "braces", "", "a={", "" },
                { "services", "", "services={", "" },
                { "one name", "", "x", "" },
                { "one name set", "", "x", " = 1;" },
                { "one string", "log_level = \"", "\xff", "\";" },
                { "open string", "log_level = \"", "x", "" },
                { "strings", "log_level = ", "\"x\" ", ";" },
                { "escapes", "log_level = \"", "\\", "" },
                { "one number", "backlog = ", "9", ";" },
                { "one fraction", "exit_on_idle = 0.", "9", "e999;" },
                { "one list", "log_level = ( ", "1,", "1 );" },
                { "addresses", "services = { a = { listen = ( ", "1,", "1 ); }; };" },
                { "an address", "services = { a = { listen = \"127.0.0.1:", "1", "\"; }; };" },
                { "one comment", "/*", "*", "" },
                { "lines", "", "\n", "x" },
                { "signs", "a = ", "-", "" },
                { "at signs", "", "@\n", "" },
                { "blanks", "", " ", "@" },
                { "NUL after all", "", " \n", "\0" },
        };
        static char data[JUNK_BYTES + 1024];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t head = strlen(cases[i].head), tail = strlen(cases[i].tail);

                memcpy(data, cases[i].head, head);
                repeat(data + head, n, cases[i].pattern);
                memcpy(data + head + n, cases[i].tail, tail + 1);
                expect_junk(cases[i].what, data, head + n + tail + (tail == 0));
        }
}

static void a_megabyte(void **state)
{
        (void)state;
        repeated_junk(JUNK_BYTES);
}

/* The same in files of ordinary size. */
static void a_page(void **state)
{
        (void)state;
        repeated_junk(4096);
        repeated_junk(60000);
}

/* Files of @size bytes with different settings, services, and addresses. */
static void settings(size_t size)
{
        static char data[JUNK_BYTES + 1024];
        size_t n = 0;

        for (unsigned i = 0; n < size; i++)
                n += (size_t)snprintf(data + n, sizeof(data) - n, "a%x=1;\n", i);
        expect_junk("many settings", data, n);

        n = (size_t)snprintf(data, sizeof(data), "services = {\n");
        for (unsigned i = 0; n < size; i++)
                n += (size_t)snprintf(data + n, sizeof(data) - n, "a%x={};\n", i);
        n += (size_t)snprintf(data + n, sizeof(data) - n, "};");
        expect_junk("many services", data, n);

        n = (size_t)snprintf(data, sizeof(data), "services = { a = { listen = [ \"x\"");
        for (unsigned i = 0; n < size; i++)
                n += (size_t)snprintf(data + n, sizeof(data) - n, ",\n\"127.%u.%u.%u:1\"",
                                      i / 62500, i / 250 % 250, i % 250);
        n += (size_t)snprintf(data + n, sizeof(data) - n, "]; }; };");
        expect_junk("many addresses", data, n);
}

static void many_settings(void **state)
{
        (void)state;
        settings(60000);
        settings(JUNK_BYTES);
}

static void random_junk(void **state)
{
        /* tokens get further in the parser than random bytes */
        static const char *const tokens[] = {
                "a",         "services", "=",           "{",        "}",
                "[",         "]",        "(",           ")",        ";",
                ",",         ":",        "1",           "-",        "\"",
                "\"x\"",     "\n",       " ",           "@include", "@include \"x\"",
                "0x",        "true",     "/*",          "*/",       "#",
                "\\",        "1.5",      "99999999999", "listen",   "echo",
                "log_level", "\t",       "e5",          "L",
        };
        static char data[JUNK_BYTES];

        (void)state;
        seed_random();
        fill_random(data, sizeof(data));
        expect_junk("random bytes", data, sizeof(data));
        for (size_t i = 0; i < sizeof(data); i++)
                if (!data[i])
                        data[i] = '\n';
        expect_junk("random bytes but NUL", data, sizeof(data));
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char)random_between(' ', '~');
        expect_junk("random printable", data, sizeof(data));

        for (int round = 0; round < 500; round++) {
                size_t n = 0, most = random_between(1, 400);
                int r;

                for (size_t i = 0; i < most; i++)
                        n += (size_t)snprintf(data + n, sizeof(data) - n, "%s",
                                              tokens[random_between(0, ELEMENTS(tokens) - 1)]);
                write_bytes("conf", data, n);
                r = load("conf");
                assert_true(r == -EINVAL ? n_mistakes > 0 : r == 0 && n_mistakes == 0);
        }
}

/* A good file with one changed byte gives an error or a configuration, and no crash. */
static void mutations(void **state)
{
        char *text = read_text(SOURCE_DIR "/conf/selectd.conf");
        size_t n;

        (void)state;
        assert_non_null(text);
        n = strlen(text);
        seed_random();
        for (int round = 0; round < 500; round++) {
                char *at = &text[random_between(0, n - 1)], was = *at;
                int r;

                *at = (char)random_between(1, 255);
                write_bytes("conf", text, n);
                r = load("conf");
                assert_true(r == -EINVAL ? n_mistakes > 0 : r == 0 && n_mistakes == 0);
                *at = was;
        }
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(a_megabyte),  CONFIG_TEST(a_page),    CONFIG_TEST(many_settings),
                CONFIG_TEST(random_junk), CONFIG_TEST(mutations),
        };

        return run_config_tests(tests);
}
