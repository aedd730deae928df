/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration: what is an include and what only looks like one, files that cannot
 * be read, wide integers, and the origin of each line.
 *
 * The tests find a line by a word on it, so that they do not depend on the text that the source
 * puts between files.
 */
#include "mistakes.h"
#include "source.h"

#include <errno.h>
#include <sys/stat.h>

static struct source *source;

static void read_main(const char *expected, int expected_r)
{
        int r;

        forget_mistakes();
        source = source_free(source);
        r = source_read("main", collect_mistake, NULL, &source);
        assert_string_equal(mistakes, expected);
        assert_int_equal(r, expected_r);
        assert_int_equal(source != NULL, r == 0);
}

/* Reads "main". Expects a source, and the mistakes @expected, which may be "". */
static void gather(const char *expected)
{
        read_main(expected, 0);
}

/* Reads @text as "main". */
static void gather_text(const char *text, const char *expected)
{
        write_text("main", text);
        gather(expected);
}

/* The same for a mistake that ends the reading. */
static void refuse_text(const char *text, const char *expected)
{
        write_text("main", text);
        read_main(expected, -EINVAL);
}

static int release(void **state)
{
        (void)state;
        source = source_free(source);
        return 0;
}

/* Return: the line of the text with @word, which must occur once. */
static unsigned text_line_of(const char *word)
{
        const char *at = strstr(source_text(source), word);
        unsigned line = 1;

        assert_non_null(at);
        assert_null(strstr(at + 1, word));
        for (const char *p = source_text(source); p < at; p++)
                line += *p == '\n';
        return line;
}

static void expect_at(const char *word, const char *file, unsigned line)
{
        const char *found_file = NULL;
        unsigned found_line = 0;

        source_locate(source, text_line_of(word), &found_file, &found_line);
        if (strcmp(found_file, file) != 0 || found_line != line)
                fail_msg("%s is at %s:%u, not %s:%u", word, found_file, found_line, file, line);
}

static void expect_absent(const char *word)
{
        assert_null(strstr(source_text(source), word));
}

/* Expects the text @expected, apart from spaces at the ends of lines. */
static void expect_text(const char *expected)
{
        const char *text = source_text(source) + 1; /* the text begins with an empty line */

        while (*expected) {
                size_t n = strcspn(text, "\n"), m = strcspn(expected, "\n"), end = n;

                while (end > m && text[end - 1] == ' ')
                        end--;
                if (end != m || strncmp(text, expected, m) != 0)
                        fail_msg("\"%.*s\", not \"%.*s\"", (int)n, text, (int)m, expected);
                text += n + (text[n] != '\0');
                expected += m + (expected[m] != '\0');
        }
}

static void plain(void **state)
{
        (void)state;
        gather_text("one = 1;\n\ntwo = 2;\n/* a\nb */ three = 3; four", "");
        expect_at("one", "main", 1);
        expect_at("two", "main", 3);
        expect_at("three", "main", 5);
        expect_at("four", "main", 5);
        gather_text("", "");
}

static void lines(void **state)
{
        const char *text;

        (void)state;
        gather_text(" \tone = 1; \t\r\n\n  two", "");
        assert_int_equal(source_line(source, text_line_of("one"), &text), strlen("one = 1;"));
        assert_memory_equal(text, "one = 1;", strlen("one = 1;"));
        assert_int_equal(source_line(source, text_line_of("two"), &text), 3);
        assert_int_equal(source_line(source, text_line_of("one") + 1, &text), 0);
        assert_int_equal(source_line(source, 1000, &text), 3); /* the last line's */
}

static void relative_and_absolute(void **state)
{
        char text[8192];

        (void)state;
        assert_int_equal(mkdir("sub", 0700), 0);
        write_text("first", "in_first = 1;\n\nfirst_last = 2;");
        write_text("sub/second", "in_second = 1;\n@include \"first\"\nsecond_last = 2;\n");
        (void)snprintf(
                text, sizeof(text),
                "top = 1;\n@include \"sub/second\"\nmiddle = 2;\n  @include\t\"%s/a \\\"b\\\\\"  #"
                " tail\nbottom = 3;\n",
                test_directory);
        write_text("a \"b\\", "in_quoted = 1;");
        gather_text(text, "");
        expect_at("top", "main", 1);
        expect_at("in_second", "./sub/second", 1);
        expect_at("in_first", "./first",
                  1); /* relative to the main file, not to the including one */
        expect_at("first_last", "./first", 3);
        expect_at("second_last", "./sub/second", 3);
        expect_at("middle", "main", 3);
        expect_at("tail", "main", 4);
        expect_at("bottom", "main", 5);
        (void)snprintf(text, sizeof(text), "%s/a \"b\\", test_directory);
        expect_at("in_quoted", text, 1);
        expect_absent("@include");
        gather_text("@include \"first\" @include \"sub/second\" finally", "");
        expect_absent("@include");
        expect_at("finally", "main", 1);
}

/* Includes are relative to the file, not to the working directory. */
static void from_elsewhere(void **state)
{
        char path[8192];

        (void)state;
        write_text("part", "in_part = 1;");
        write_text("main", "@include \"part\"\n");
        (void)snprintf(path, sizeof(path), "%s/main", test_directory);
        assert_int_equal(chdir("/"), 0);
        forget_mistakes();
        assert_int_equal(source_read(path, collect_mistake, NULL, &source), 0);
        assert_int_equal(chdir(test_directory), 0);
        (void)snprintf(path, sizeof(path), "%s/part", test_directory);
        expect_at("in_part", path, 1);
}

static void not_includes(void **state)
{
        static const char *const texts[] = {
                "# @include \"missing\"\n",
                "//\t@include \"missing\"\n",
                "/*\n@include \"missing\"\n*/",
                "/* \"\n*/ # \"\n/*\n@include \"missing\"\n*/",
                "a = \"/*\";\n# */\nb = \" @include \\\"missing\\\"\";",
                "a = 1; @include \"missing\"\n",
                "/* a */ @include \"missing\"\n",
                "@include missing\n",
                "@include\"missing\"\n",
                "@included \"missing\"\n",
        };
        static const char *const includes[] = {
                "@include \"missing\"",
                "a = \"/*\";\n@include \"missing\"\n",
                "a = 1 # \"\n@include \"missing\"\n",
                "/* \" */\n@include \"missing\"\n",
                "a = \"\\\\\"\n@include \"missing\"\n",
                "//*\n@include \"missing\"\n",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                gather_text(texts[i], "");
                assert_non_null(strstr(source_text(source), "@include"));
        }
        for (size_t i = 0; i < ELEMENTS(includes); i++) {
                write_text("main", includes[i]);
                forget_mistakes();
                source = source_free(source);
                assert_int_equal(source_read("main", collect_mistake, NULL, &source), 0);
                assert_int_equal(n_mistakes, 1);
        }
}

/* Writes @n files, "chain0" including "chain1" and so on. The last one has a setting. */
static void write_chain(int n)
{
        for (int i = 0; i < n; i++) {
                char name[16], text[64];

                (void)snprintf(name, sizeof(name), "chain%d", i);
                (void)snprintf(text, sizeof(text), "# %d\n@include \"chain%d\"\n", i, i + 1);
                write_text(name, i == n - 1 ? "innermost = 1;" : text);
        }
}

static void nesting(void **state)
{
        char expected[256], last[16];

        (void)state;
        write_chain(SOURCE_DEPTH_MAX);
        gather_text("@include \"chain0\"\n", "");
        (void)snprintf(last, sizeof(last), "./chain%d", SOURCE_DEPTH_MAX - 1);
        expect_at("innermost", last, 1);

        write_chain(SOURCE_DEPTH_MAX + 1);
        (void)snprintf(expected, sizeof(expected),
                       "%s:2: @include \"./chain%d\": nested deeper than %d files\n", last,
                       SOURCE_DEPTH_MAX, SOURCE_DEPTH_MAX);
        gather(expected);
}

static void circle(void **state)
{
        (void)state;
        write_text("loop", "\n@include \"main\"\n");
        gather_text("a = 1;\n@include \"loop\"\n",
                    "./loop:2: @include \"./main\": includes itself\n");
}

/* Several includes in each file of a circle: the work must not grow exponentially. */
static void wide_circle(void **state)
{
        char text[200 * 16];
        size_t n = 0;

        (void)state;
        for (int i = 0; i < 100; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "@include \"main\"\n");
        write_text("main", text);
        forget_mistakes();
        assert_int_equal(source_read("main", collect_mistake, NULL, &source), 0);
        assert_in_range(n_mistakes, 1, 1000);
}

/* Too many files or names are refused: the parser would take minutes. */
static void floods(void **state)
{
        static char text[12 * (SOURCE_NAMES_MAX + 2)];
        char expected[256];
        size_t n = 0;

        (void)state;
        for (int i = 1; i <= SOURCE_NAMES_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "a%d = 1;\n", i);
        gather_text(text, "");
        (void)snprintf(text + n, sizeof(text) - n, "b = 1;\n");
        (void)snprintf(expected, sizeof(expected), "main:%d: more than %d settings\n",
                       SOURCE_NAMES_MAX + 1, SOURCE_NAMES_MAX);
        refuse_text(text, expected);

        write_text("part", "");
        n = 0;
        for (int i = 1; i <= SOURCE_FILES_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "@include \"part\"\n");
        gather_text(text, "");
        (void)snprintf(text + n, sizeof(text) - n, "@include \"part\"\n");
        (void)snprintf(expected, sizeof(expected),
                       "main:%d: @include \"./part\": more than %d files are included\n",
                       SOURCE_FILES_MAX + 1, SOURCE_FILES_MAX);
        refuse_text(text, expected);
}

static void unreadable(void **state)
{
        static char large[SOURCE_BYTES_MAX + 2];

        (void)state;
        assert_int_equal(mkdir("directory", 0700), 0);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        assert_int_equal(symlink("itself", "itself"), 0);
        memset(large, ' ', sizeof(large) - 1);
        write_text("large", large);
        gather_text(
                "@include \"missing\"\n@include \"directory\"\n\n@include \"fifo\"\n"
                "@include \"itself\"\n@include \"large\"\n@include \"main/x\"\n@include \"\001\"\n"
                "@include \"/dev/null\"",
                "main:1: @include \"./missing\": No such file or directory\n"
                "main:2: @include \"./directory\": Is a directory\n"
                "main:4: @include \"./fifo\": not a regular file\n"
                "main:5: @include \"./itself\": Too many levels of symbolic links\n"
                "main:6: @include \"./large\": File too large\n"
                "main:7: @include \"./main/x\": Not a directory\n"
                "main:8: @include \"./\\x01\": No such file or directory\n"
                "main:9: @include \"/dev/null\": not a regular file\n");

        assert_int_equal(remove("main"), 0);
        gather("main:1: cannot read the file: No such file or directory\n");
        assert_int_equal(mkdir("main", 0700), 0);
        gather("main:1: cannot read the file: Is a directory\n");
        assert_int_equal(remove("main"), 0);
        assert_int_equal(mkfifo("main", 0600), 0);
        gather("main:1: cannot read the file: not a regular file\n");
        assert_int_equal(remove("main"), 0);
        write_text("main", large);
        gather("main:1: cannot read the file: File too large\n");
}

static void nul_byte(void **state)
{
        (void)state;
        write_bytes("main", "a = 1;\nb\0 = 2;\n", 15);
        read_main("main:2: a NUL byte: this is not a text file\n", -EINVAL);
        write_bytes("part", "\0", 1);
        refuse_text("\n@include \"part\"\n", "./part:1: a NUL byte: this is not a text file\n");
}

/* Lines with a number, and the resulting lines. */
static void wide_integers(void **state)
{
        static const struct {
                const char *line, *expected;
        } cases[] = {
                { "a = 2147483647;", "a = 2147483647;" },
                { "a = 2147483648;", "a = 2147483648L;" },
                { "a = +2147483648;", "a = +2147483648L;" },
                { "a = -2147483648;", "a = -2147483648;" },
                { "a = -2147483649;", "a = -2147483649L;" },
                { "a = 5000000000L;", "a = 5000000000L;" },
                { "a = 9223372036854775807;", "a = 9223372036854775807L;" },
                { "a = 9223372036854775808;", "a = 9223372036854775808.0;" },
                { "a = -99999999999999999999;", "a = -99999999999999999999.0;" },
                { "a = 99999999999999999999L;", "a = 99999999999999999999L;" },
                { "a = 0x7fffffff;", "a = 0x7fffffff;" },
                { "a = 0xFFFFFFFF;", "a = 0xFFFFFFFFL;" },
                { "a = 0XfffffffffL;", "a = 0XfffffffffL;" },
                { "a = [ 3000000000, 1, 4000000000 ];", "a = [ 3000000000L, 1, 4000000000L ];" },
                { "a = 3000000000", "a = 3000000000L" },
                /* floats, names, strings and comments are left alone */
                { "a = 4294967296.5;", "a = 4294967296.5;" },
                { "a = 4294967296.;", "a = 4294967296.;" },
                { "a = 4294967296e1;", "a = 4294967296e1;" },
                { "a = 4294967296E1;", "a = 4294967296E1;" },
                { "a = 0.12345678901234;", "a = 0.12345678901234;" },
                { "a = .12345678901234;", "a = .12345678901234;" },
                { "a = 1.5e-3;", "a = 1.5e-3;" },
                { "a4294967296-4294967296_4294967296 = 1;",
                  "a4294967296-4294967296_4294967296 = 1;" },
                { "a = \"4294967296 \\\" 4294967296\";", "a = \"4294967296 \\\" 4294967296\";" },
                { "# 4294967296", "# 4294967296" },
                { "// 4294967296", "// 4294967296" },
                { "/* 4294967296 */", "/* 4294967296 */" },
                { "a = - 4294967296; b = +;", "a = - 4294967296L; b = +;" },
        };
        bool ok = true;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *text;
                char *line;

                gather_text(cases[i].line, "");
                text = source_text(source);
                line = strdup(text + strspn(text, "\n"));
                assert_non_null(line);
                line[strcspn(line, "\n")] = '\0';
                if (strcmp(line, cases[i].expected) != 0) {
                        print_error("%s becomes %s\n", cases[i].line, line);
                        ok = false;
                }
                free(line);
        }
        assert_true(ok);
}

/* Files that end within a name, a number or an include. */
static void unfinished(void **state)
{
        static const char *const texts[] = {
                "#",  "/",        "//",        "a", "-", "+",  "0x", "1",  "1.",   ".",    "@",
                " @", "@include", "@include ", "*", " ", "\n", "\r", "\\", "/**/", "\"\"",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                gather_text(texts[i], "");
        refuse_text("@include \"", "main:1: a string that does not end on its line\n");
        gather_text("@include \"\"", "main:1: @include \"./\": Is a directory\n");
}

/* Comments must end in their file and strings on their line: libconfig would read on. */
static void open_ended(void **state)
{
        (void)state;
        refuse_text("a = 1; /* *", "main:1: a comment that does not end in this file\n");
        refuse_text("/*/", "main:1: a comment that does not end in this file\n");
        write_text("part", "a = 1;\n/* open");
        refuse_text("@include \"part\"\n*/ b = 1;\n",
                    "./part:2: a comment that does not end in this file\n");

        refuse_text("\n\"\\\"", "main:2: a string that does not end on its line\n");
        refuse_text("a = \"b\\\nc = 1; # \"\n", "main:1: a string that does not end on its line\n");
        write_text("part", "x = \"");
        refuse_text("@include \"part\"\ny = \"\n@include \"/\"\n\";",
                    "./part:1: a string that does not end on its line\n");
}

/* The delimiter after a string moves to the line of the string. Everything else stays in place. */
static void delimiters(void **state)
{
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[ \"a\" , \"b\" ];", "[ \"a\" , \"b\" ];" },
                { "[ \"a\"\n  , # 1\n\"b\"\n\n// ]\n ];",
                  "[ \"a\",\n    # 1\n\"b\"]\n\n// ]\n  ;" },
                { "( \"a\" /* 2\n */ );", "( \"a\") /* 2\n */  ;" },
                { "x = \"a\"\n\"b\"\n;", "x = \"a\"\n\"b\"\n;" },
                { "\"a\" # no end", "\"a\" # no end" },
                { "\"a\"", "\"a\"" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                gather_text(cases[i].text, "");
                expect_text(cases[i].expected);
        }
        refuse_text("[ \"a\" /* ]", "main:1: a comment that does not end in this file\n");
        write_text("part", "x = 1;");
        gather_text("[ \"a\"\n@include \"part\"\n]", "");
        expect_at("a", "main", 1);
        expect_at("]", "main", 3);
}

/* Text after an include begins a line, as in libconfig. */
static void two_on_a_line(void **state)
{
        (void)state;
        write_text("part", "x = 1;");
        gather_text("@include \"part\" @include \"/\"", "main:1: @include \"/\": Is a directory\n");
}

/* Blank lines at the end count as the last line with a setting. */
static void last(void **state)
{
        const char *file, *text;
        unsigned line;

        (void)state;
        gather_text("a = 1;\nb = 2; # c\n\n # d\n\t// e\n/* f */\n", "");
        for (unsigned i = 0; i < 1000; i++) {
                source_locate(source, text_line_of("b =") + i, &file, &line);
                assert_int_equal(line, 2);
                assert_int_equal(source_line(source, text_line_of("b =") + i, &text),
                                 strlen("b = 2; # c"));
        }
        gather_text("\n\n# a\n", "");
        source_locate(source, 1000, &file, &line);
        assert_string_equal(file, "main");
        assert_int_equal(line, 1);
        assert_int_equal(source_line(source, 1000, &text), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(plain, release),
                cmocka_unit_test_teardown(lines, release),
                cmocka_unit_test_teardown(relative_and_absolute, release),
                cmocka_unit_test_teardown(from_elsewhere, release),
                cmocka_unit_test_teardown(not_includes, release),
                cmocka_unit_test_teardown(nesting, release),
                cmocka_unit_test_teardown(circle, release),
                cmocka_unit_test_teardown(wide_circle, release),
                cmocka_unit_test_teardown(floods, release),
                cmocka_unit_test_teardown(nul_byte, release),
                cmocka_unit_test_teardown(wide_integers, release),
                cmocka_unit_test_teardown(unfinished, release),
                cmocka_unit_test_teardown(open_ended, release),
                cmocka_unit_test_teardown(delimiters, release),
                cmocka_unit_test_teardown(last, release),
                cmocka_unit_test_teardown(two_on_a_line, release),
                cmocka_unit_test_teardown(unreadable, release),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
