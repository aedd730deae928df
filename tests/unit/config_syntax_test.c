/* SPDX-License-Identifier: MIT */
/*
 * Files that cannot be read or parsed are reported alone, because their other mistakes are not
 * known.
 */
#include "config_fixture.h"

/* Each syntax error is one mistake on its line, and no missing key is reported with it. */
static void syntax(void **state)
{
        static const struct {
                const char *text, *at, *shown;
        } cases[] = {
                { "# one\nlog_level = ;\n", "conf:2: ", "\"log_level = ;\"" },
                { TOP("log_level \"info\";"), "conf:3: ", "\"log_level \\\"info\\\";\"" },
                { TOP("log_level = nan;"), "conf:3: ", "\"log_level = nan;\"" },
                { TOP("log_level = \"a\"; log_level = \"b\";"), "conf:3: ", "duplicate" },
                { IN_SERVICE("listen = \"127.0.0.1:0\";"), "conf:4: ", "duplicate" },
                { "services = {\n a = { };\n a = { };\n};", "conf:3: ", "duplicate" },
                { TOP("= 1;"), "conf:3: ", "\"= 1;\"" },
                { TOP("exit_on_idle = 1 2;"), "conf:3: ", "\"exit_on_idle = 1 2;\"" },
                { TOP("exit_on_idle = [ 1, \"a\" ];"), "conf:3: ", "array" },
                { TOP("}"), "conf:3: ", "\"}\"" },
                { "services = {", "conf:1: ", "services = {" },
                { "services = {\n\n", "conf:1: ", "services = {" },
                { "services = {\n# but\n  // why\n", "conf:1: ", "services = {" },
                { "\n\n\001\n", "conf:3: ", "\"\\x01\"" },
                { "log_level = info;\n", "conf:1: ", "\"log_level = info;\"" },
                { "services { echo = { }; };\n", "conf:1: ", "services" },
                { "services = { echo = {\nlisten \"*:7\"; };\n};", "conf:2: ", "listen" },
                { "services = { echo = { listen = \"*:7\"; mode = relay;\nquota = 1; }; };",
                  "conf:1: ", "mode = relay" },
                { "services = { echo = { listen = [ \"*:7\",\n 8\n]; }; };", "conf:2: ", "array" },
                { "services = { echo = { listen = [ \"*:7\",", "conf:1: ", "syntax" },
                { "services = { echo = { to_client = { burst = 1; rate\n= a; }; }; };",
                  "conf:2: ", "= a" },
                { "log_level =\nlog_payload = true;\nservices = { };", "conf:2: ", "log_payload" },
                { "@include \"missing\"\nservices = { };", "conf:1: ", "No such file" },
                { "/* a\n\n", "conf:1: ", "a comment that does not end" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int r = load_text(cases[i].text);

                if (r != -EINVAL || n_mistakes != 1 || !strstr(mistakes, cases[i].shown) ||
                    strncmp(mistakes, cases[i].at, strlen(cases[i].at)) != 0)
                        fail_msg("%d, %zu mistakes, for\n%s\n%s", r, n_mistakes, cases[i].text,
                                 mistakes);
        }
}

/* Only the first syntax error is reported, whatever other mistakes there are. */
static void syntax_alone(void **state)
{
        (void)state;
        expect_mistakes("log_levl = \"info\";\n"
                        "services = {\n"
                        "  echo = {\n"
                        "    listen = \"127.0.0.1:x\";\n"
                        "    message_size 1024;\n"
                        "    mode = hub;\n"
                        "  };\n"
                        "};\n"
                        "seed = -1;",
                        "conf:5: syntax error: \"message_size 1024;\"\n");
        expect_mistakes("seed = -1;\nbacklog = 10;\nbacklog = 11;\nmode = ;\n",
                        "conf:3: duplicate setting name: \"backlog = 11;\"\n");
        expect_mistakes("seed = -1;\nlog_level = \"info;\nbackend = \"x;\n",
                        "conf:2: a string that does not end on its line\n");
        /* A brace that is never closed is reported on the last line that is not blank or a comment.
         */
        expect_mistakes("seed = -1;\nservices = {\n  echo = {\n    backlog = 0;\n\n# end\n",
                        "conf:4: syntax error: \"backlog = 0;\"\n");
}

/* A file may end in a comment. libconfig itself refuses a comment without a newline behind it. */
static void comment_at_the_end(void **state)
{
        (void)state;
        assert_int_equal(load_text("services = { a = { listen = \"127.0.0.1:0\"; }; }; # end"), 0);
        assert_int_equal(n_mistakes, 0);
}

/* Files that can't be read are reported together, and nothing else is. */
static void unreadable_alone(void **state)
{
        char expected[2 * sizeof(test_directory)];

        (void)state;
        (void)snprintf(expected, sizeof(expected),
                       "conf:2: @include \"%s/missing\": No such file or directory\n"
                       "conf:4: @include \"/\": Is a directory\n",
                       test_directory);
        expect_mistakes("seed = -1;\n@include \"missing\"\nmode = ;\n@include \"/\"\n", expected);
}

/* Files that can't be read are reported through the same function. */
static void unreadable(void **state)
{
        char expected[8192];

        (void)state;
        assert_int_equal(load("missing"), -EINVAL);
        assert_string_equal(mistakes,
                            "missing:1: cannot read the file: No such file or directory\n");
        assert_int_equal(load("."), -EINVAL);
        assert_int_equal(n_mistakes, 1);
        (void)snprintf(expected, sizeof(expected),
                       "conf:2: @include \"%s/missing\": No such file or directory\n",
                       test_directory);
        expect_mistakes("# one\n@include \"missing\"\n", expected);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(syntax),
                CONFIG_TEST(syntax_alone),
                CONFIG_TEST(comment_at_the_end),
                CONFIG_TEST(unreadable_alone),
                CONFIG_TEST(unreadable),
        };

        return run_config_tests(tests);
}
