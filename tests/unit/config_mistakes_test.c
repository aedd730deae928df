/* SPDX-License-Identifier: MIT */
/*
 * Mistakes: each is reported once, with its line, and all of them are reported together.
 */
#include "config_fixture.h"

/* A mistake in a list has the line of its element, not of the list or of the next token. */
static void lines_of_elements(void **state)
{
        (void)state;
        expect_mistakes("services = { echo = {\n"
                        "  listen = [ \"127.0.0.1:1\",\n"
                        "    \"one\",\n"
                        "\n"
                        "    \"two\"\n"
                        "    # \"one\" or two\n"
                        "  ];\n"
                        "  mode\n"
                        "    = \n"
                        "      \"x\"\n"
                        "\n"
                        "  ;\n"
                        "}; };",
                        "conf:3: services.echo.listen: \"one\" is not legal, expected " ADDRESSES
                        "\n"
                        "conf:5: services.echo.listen: \"two\" is not legal, expected " ADDRESSES
                        "\n"
                        "conf:8: services.echo.mode: \"x\" is not legal, expected " MODES "\n");
}

static void whole_groups(void **state)
{
        (void)state;
        expect_mistakes("", "conf:1: services is missing, expected " SERVICES "\n");
        expect_mistakes("# nothing\n\nlog_level = \"info\";\n",
                        "conf:1: services is missing, expected " SERVICES "\n");
        expect_mistakes("\nservices = { };",
                        "conf:2: services: a group { … } is not legal, expected " SERVICES "\n");
        expect_mistakes("\nservices = \"echo\";",
                        "conf:2: services: \"echo\" is not legal, expected " SERVICES "\n");
        expect_mistakes("\nservices = ( { listen = \"127.0.0.1:0\"; } );",
                        "conf:2: services: a list of 1 is not legal, expected " SERVICES "\n");
        expect_mistakes("services = {\n  echo = \"127.0.0.1:0\";\n};",
                        "conf:2: services.echo: \"127.0.0.1:0\" is not legal, expected a group { "
                        "listen = …; }\n");
        expect_mistakes("services = {\n  echo = { backlog = 1; };\n};",
                        "conf:2: services.echo: listen is missing, expected " ADDRESSES "\n");
}

static void unknown_keys(void **state)
{
        static const struct {
                const char *key, *nearest;
        } top[] = {
                { "loglevel", "log_level" },   { "log-level", "log_level" },
                { "log_paylod", "log_payload" }, { "Backend", "backend" },
                { "max_conections", "max_connections" }, { "exit_idle", "exit_on_idle" },
                { "drain_timeuot", "drain_timeout" }, { "service", "services" },
        }, inner[] = {
                { "lisen", "listen" },         { "modes", "mode" },
                { "backlogs", "backlog" },     { "senddelay", "send_delay" },
                { "mesage_size", "message_size" }, { "idle_time", "idle_timeout" },
                { "to_clients", "to_client" }, { "conect_delay", "connect_delay" },
        }, conditions[] = {
                { "latencyy", "latency" },     { "jiter", "jitter" },
                { "slicesize", "slice_size" }, { "stallfor", "stall_for" },
                { "reset_afer", "reset_after" },    { "dropnew", "drop_new" },
                { "probabilty", "probability" }, { "slice_dely", "slice_delay" },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(top); i++) {
                (void)snprintf(text, sizeof(text), TOP("%s = 1;"), top[i].key);
                (void)snprintf(expected, sizeof(expected),
                               "conf:3: %s: unknown key, the nearest known one is \"%s\"\n",
                               top[i].key, top[i].nearest);
                expect_mistakes(text, expected);
        }
        for (size_t i = 0; i < ELEMENTS(inner); i++) {
                (void)snprintf(text, sizeof(text), IN_SERVICE("%s = 1;"), inner[i].key);
                (void)snprintf(
                        expected, sizeof(expected),
                        "conf:4: services.echo.%s: unknown key, the nearest known one is \"%s\"\n",
                        inner[i].key, inner[i].nearest);
                expect_mistakes(text, expected);
        }
        for (size_t i = 0; i < ELEMENTS(conditions); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s = 1;"), conditions[i].key);
                (void)snprintf(expected, sizeof(expected),
                               "conf:4: services.echo.to_client.%s: unknown key, the nearest known "
                               "one is \"%s\"\n",
                               conditions[i].key, conditions[i].nearest);
                expect_mistakes(text, expected);
        }
}

/* A key is suggested only for a name that differs from it in few letters. */
static void unknown_keys_like_none(void **state)
{
        static const char *const names[] = { "x",       "me",   "bye",    "port",
                                             "timeout", "user", "colour", "to_server" };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                (void)snprintf(text, sizeof(text), TOP("%s = 1;"), names[i]);
                (void)snprintf(expected, sizeof(expected),
                               "conf:3: %s: unknown key, see selectd.conf(5) for those of the top "
                               "level\n",
                               names[i]);
                expect_mistakes(text, expected);
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s = 1;"), names[i]);
                (void)snprintf(expected, sizeof(expected),
                               "conf:4: services.echo.to_client.%s: unknown key, see "
                               "selectd.conf(5) for those of to_client and to_upstream\n",
                               names[i]);
                expect_mistakes(text, expected);
        }
        expect_mistakes(IN_SERVICE("port = 8008;"),
                        "conf:4: services.echo.port: unknown key, see selectd.conf(5) for those of "
                        "a service\n");
}

/* For a key in the wrong group, the message names the group that it belongs to. */
static void misplaced_keys(void **state)
{
        (void)state;
        expect_mistakes(TOP("listen = \"*:0\"; latency = 1;"),
                        "conf:3: listen: unknown key here, it is one of a service\n"
                        "conf:3: latency: unknown key here, it is one of to_client and "
                        "to_upstream\n");
        expect_mistakes(
                IN_SERVICE("exit_on_idle = 1; rate = 1;"),
                "conf:4: services.echo.exit_on_idle: unknown key here, it is one of the top "
                "level\n"
                "conf:4: services.echo.rate: unknown key here, it is one of to_client and "
                "to_upstream\n");
        expect_mistakes(
                TO_CLIENT("send_delay = 1; seed = 1;"),
                "conf:4: services.echo.to_client.send_delay: unknown key here, it is one of "
                "a service\n"
                "conf:4: services.echo.to_client.seed: unknown key here, it is one of the "
                "top level\n");
}

/* Checks that depend on an illegal value are skipped. */
static void checks_of_illegal_values_are_skipped(void **state)
{
        (void)state;
        expect_mistakes(IN_SERVICE("mode = \"rely\"; upstream = \"127.0.0.1:1\"; quota = 1;"),
                        "conf:4: services.echo.mode: \"rely\" is not legal, expected " MODES "\n");
        expect_mistakes(IN_SERVICE("proxy_protocol = \"acept\"; proxy_from = \"127.0.0.1\";"),
                        "conf:4: services.echo.proxy_protocol: \"acept\" is not legal, expected "
                        "\"off\" or \"accept\"\n");
}

/* All mistakes of several files are reported in order, each with its file and line. */
static void all_at_once(void **state)
{
        (void)state;
        write_text("part", "# of a service\nbacklog = 0;\nsend_dely = 1;\n");
        expect_mistakes(
                "log_level = \"loud\";\n"
                "log_payload = 7;\n"
                "drain_time = \"red\";\n"
                "services = {\n"
                "  one = {\n"
                "    listen = [ \"127.0.0.1\", \"*:0\", \"x\" ];\n"
                "@include \"part\"\n"
                "    message_size = \"1T\";\n"
                "  };\n"
                "  two = { mode = \"hubbub\"; };\n"
                "};\n"
                "max_connections = 5000000000;",
                "conf:1: log_level: \"loud\" is not legal, expected " LEVELS "\n"
                "conf:2: log_payload: 7 is not legal, expected " BOOL "\n"
                "conf:3: drain_time: unknown key, the nearest known one is \"drain_timeout\"\n"
                "conf:6: services.one.listen: \"127.0.0.1\" is not legal, expected " ADDRESSES "\n"
                "conf:6: services.one.listen: \"x\" is not legal, expected " ADDRESSES "\n"
                "part:2: services.one.backlog: 0 is not legal, expected " BACKLOG "\n"
                "part:3: services.one.send_dely: unknown key, the nearest known one is "
                "\"send_delay\"\n"
                "conf:8: services.one.message_size: \"1T\" is not legal, expected " BYTES "\n"
                "conf:10: services.two.mode: \"hubbub\" is not legal, expected " MODES "\n"
                "conf:10: services.two: listen is missing, expected " ADDRESSES "\n"
                "conf:12: max_connections: 5000000000 is not legal, expected " LIMIT "\n");
}

/* Long names and values are shortened. */
static void long_words(void **state)
{
        static char text[5000], word[2001];

        (void)state;
        memset(word, 'x', sizeof(word) - 1);
        (void)snprintf(text, sizeof(text), TOP("%s = 1; log_level = \"%s\";"), word, word);
        assert_int_equal(load_text(text), -EINVAL);
        assert_int_equal(n_mistakes, 2);
        assert_in_range(strlen(mistakes), 100, 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(lines_of_elements), CONFIG_TEST(whole_groups),
                CONFIG_TEST(unknown_keys),      CONFIG_TEST(unknown_keys_like_none),
                CONFIG_TEST(misplaced_keys),    CONFIG_TEST(checks_of_illegal_values_are_skipped),
                CONFIG_TEST(all_at_once),       CONFIG_TEST(long_words),
        };

        return run_config_tests(tests);
}
