/* SPDX-License-Identifier: MIT */
/* Addresses of services, which must not overlap, and of upstreams. */
#include "config_fixture.h"

static void addresses(void **state)
{
        static const struct {
                const char *listen, *value;
        } cases[] = {
                { "\"127.0.0.1\"", "\"127.0.0.1\"" },
                { "\"127.0.0.1:65536\"", "\"127.0.0.1:65536\"" },
                { "\"localhost:80\"", "\"localhost:80\"" },
                { "\"unix:relative\"", "\"unix:relative\"" },
                { "\"\"", "\"\"" },
                { "8008", "8008" },
                { "[ ]", "a list of 0" },
                { "( )", "a list of 0" },
                { "( \"127.0.0.1:0\", 5 )", "5" },
                { "( ( \"127.0.0.1:0\" ) )", "a list of 1" },
                { "{ }", "a group { … }" },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void)snprintf(text, sizeof(text), "services = { echo = {\n listen = %s; }; };",
                               cases[i].listen);
                (void)snprintf(expected, sizeof(expected),
                               "conf:2: services.echo.listen: %s is not legal, expected " ADDRESSES
                               "\n",
                               cases[i].value);
                expect_mistakes(text, expected);
        }
        expect_mistakes("services = {\n"
                        "  one = { listen = [ \"127.0.0.1:1\", \"127.0.0.1:1\" ]; };\n"
                        "  two = { listen = \"127.0.0.1:1\"; };\n"
                        "  three = { listen = \"unix:/a\"; };\n"
                        "  four = { listen = \"unix:/a\"; };\n"
                        "};",
                        "conf:2: services.one.listen: \"127.0.0.1:1\" is listened on already, by "
                        "service one\n"
                        "conf:3: services.two.listen: \"127.0.0.1:1\" is listened on already, by "
                        "service one\n"
                        "conf:5: services.four.listen: \"unix:/a\" is listened on already, by "
                        "service three\n");
        expect_mistakes(
                "services = { a = { listen = [ \"127.0.0.1:1\", \"[::1]:2\" ]; };\n"
                "b = { listen = \"*:1\"; }; c = { listen = \"[::ffff:127.0.0.1]:1\"; };\n"
                "d = { listen = [ \"[::]:1\", \"0.0.0.0:2\" ]; };\n"
                "e = { listen = [ \"[::]:2\" ]; }; };",
                "conf:2: services.b.listen: \"*:1\" is listened on already, by service a on "
                "127.0.0.1:1\n"
                "conf:2: services.c.listen: \"[::ffff:127.0.0.1]:1\" is listened on "
                "already, by service a\n"
                "conf:4: services.e.listen: \"[::]:2\" is listened on already, by service a "
                "on [::1]:2\n");
}

static void upstreams(void **state)
{
        static const char *const wrong[] = { "127.0.0.1:0", "*:1",          "localhost:0",
                                             "localhost",   "localhost:x",  "localhost:65536",
                                             ":1",          "localhost:-1", "unix:relative" };
        char text[256], expected[256];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                (void)snprintf(text, sizeof(text),
                               IN_SERVICE("mode = \"relay\"; upstream = \"%s\";"), wrong[i]);
                (void)snprintf(
                        expected, sizeof(expected),
                        "conf:4: services.echo.upstream: \"%s\" is not legal, expected " UPSTREAMS
                        "\n",
                        wrong[i]);
                expect_mistakes(text, expected);
        }
        expect_legal(IN_SERVICE("mode = \"relay\";\n"
                                "upstream = [ \"localhost:1\", \"localhost:65535\" ];"));
        assert_int_equal(config->services[0]->n_upstreams, 2);
}

/* The limit on addresses is exact. */
static void many_upstreams(void **state)
{
        static char text[128 * 1024];
        size_t n = (size_t)snprintf(text, sizeof(text),
                                    "services = { a = {\n"
                                    "listen = \"127.0.0.1:0\"; mode = \"relay\"; upstream = [\n");

        (void)state;
        for (unsigned i = 0; i < 4096; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"unix:/%u\"", i ? ",\n" : "",
                                      i);
        (void)snprintf(text + n, sizeof(text) - n, "]; }; };");
        expect_legal(text);
        assert_int_equal(config->services[0]->n_upstreams, 4096);
        (void)snprintf(text + n, sizeof(text) - n, ",\n\"unix:/last\",\n\"unix:/more\" ]; }; };");
        expect_mistakes(text, "conf:4099: services.a.upstream: \"unix:/last\" is one too many, "
                              "expected at most 4096 addresses\n");
}

#define CONTROL                                                                               \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of up to 8 " \
        "of them"

static void control(void **state)
{
        static const char nine[] =
                "control = [ \"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\", \"127.0.0.1:4\","
                "\"127.0.0.1:5\", \"127.0.0.1:6\", \"127.0.0.1:7\", \"127.0.0.1:8\",\n"
                "\"unix:/nine\" ];";

        (void)state;
        expect_legal(TOP(""));
        assert_int_equal(config->n_control, 0);
        assert_int_equal(config->control_access.mode, 0660);
        expect_legal(TOP("control = \"unix:/run/c\"; control_mode = \"0600\"; control_group = 0;"));
        assert_int_equal(config->n_control, 1);
        assert_string_equal(config->control[0].un.sun_path, "/run/c");
        assert_int_equal(config->control_access.mode, 0600);
        assert_true(config->control_access.has_group);
        expect_legal(TOP("control = [ \"127.0.0.1:8474\", \"[::1]:8474\" ];"));
        assert_int_equal(config->n_control, 2);
        assert_int_equal(address_port(&config->control[1]), 8474);
        expect_mistakes(TOP("control = \"localhost:8474\";"),
                        "conf:3: control: \"localhost:8474\" is not legal, expected " CONTROL "\n");
        expect_mistakes(TOP("control = true;"),
                        "conf:3: control: true is not legal, expected " CONTROL "\n");
        expect_mistakes(nine, "conf:2: control: \"unix:/nine\" is not legal, expected " CONTROL "\n"
                              "conf:1: services is missing, expected a group of at least one "
                              "service\n");
        expect_mistakes(TOP("control_mode = \"0600\";"),
                        "conf:3: control_mode: needs control, which is missing\n");
}

/* Paths in messages are escaped. */
static void paths_are_escaped(void **state)
{
        (void)state;
        assert_int_equal(load_text("services = { a = { listen = [ \"unix:/a\\n\\x1b\", "
                                   "\"unix:/a\\n\\x1b\" ]; }; };"),
                         -EINVAL);
        assert_non_null(strstr(mistakes, "\"unix:/a\\n\\x1b\" is listened on already"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(addresses), CONFIG_TEST(upstreams),         CONFIG_TEST(many_upstreams),
                CONFIG_TEST(control),   CONFIG_TEST(paths_are_escaped),
        };

        return run_config_tests(tests);
}
