/* SPDX-License-Identifier: MIT */
/* Settings with one value: the legal values of each key, and refused values. */
#include "config_fixture.h"

static void words(void **state)
{
        static const char *const levels[] = { "error", "warning", "notice", "info", "debug" };
        static const char *const backends[] = { "auto", "epoll", "poll", "select" };
        char text[256];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(levels); i++) {
                (void)snprintf(text, sizeof(text), TOP("log_level = \"%s\"; log_payload = TRUE"),
                               levels[i]);
                expect_legal(text);
                assert_int_equal(config->log_level, LOG_LEVEL_ERROR + i);
                assert_true(config->log_payload);
        }
        for (size_t i = 0; i < ELEMENTS(backends); i++) {
                (void)snprintf(text, sizeof(text), TOP("backend = \"%s\""), backends[i]);
                expect_legal(text);
                assert_string_equal(config->backend, backends[i]);
        }
}

static void numbers(void **state)
{
        static const struct {
                const char *text;
                uint64_t usec;
        } spans[] = {
                { "0", 0 },
                { "1", USEC_PER_SEC },
                { "0.25", 250000 },
                { ".000001", 1 },
                { "1.001", 1001000 }, /* multiplied as a double, it would be a little less */
                { "1e-3", 1000 },
                { "0.3333333333333", 333333 },
                { "\"1min 30s\"", 90 * USEC_PER_SEC },
                { "\"200\" \"ms\"", 200000 },
                { "31536000", YEAR_USEC },
                { "31536000.0", YEAR_USEC },
                { "\"365d\"", YEAR_USEC },
                { "0xf", 15 * USEC_PER_SEC },
        };
        char text[512];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(spans); i++) {
                (void)snprintf(text, sizeof(text),
                               "exit_on_idle = %s; drain_timeout = %s;\n" IN_SERVICE(
                                       "send_delay = %s; idle_timeout = %s;"),
                               spans[i].text, spans[i].text, spans[i].text, spans[i].text);
                expect_legal(text);
                assert_int_equal(config->exit_on_idle_usec, spans[i].usec);
                assert_int_equal(config->drain_timeout_usec, spans[i].usec);
                assert_int_equal(config->services[0]->send_delay_usec, spans[i].usec);
                assert_int_equal(config->services[0]->idle_timeout_usec, spans[i].usec);
        }
        expect_legal("max_connections = 1000000;" IN_SERVICE("backlog = 65535; message_size = 1"));
        assert_int_equal(config->max_connections, 1000000);
        assert_int_equal(config->services[0]->backlog, 65535);
        assert_int_equal(config->services[0]->message_bytes, 1);
        expect_legal("max_connections = 1L;" IN_SERVICE("backlog = 1; message_size = \"64K\""));
        assert_int_equal(config->services[0]->backlog, 1);
        assert_int_equal(config->services[0]->message_bytes, 65536);
}

static void services(void **state)
{
        (void)state;
        expect_legal("services = {\n"
                     "  one = { listen = [ \"127.0.0.1:1\", \"*:2\", \"unix:/a\" ]; };\n"
                     "  two = { listen = ( \"127.0.0.1:0\", \"127.0.0.1:0\" ); backlog = 9; };\n"
                     "  one-1* = { listen = \"127.0.0.1:0\"; mode = \"echo\"; };\n"
                     "};");
        assert_int_equal(config->n_services, 3);
        assert_int_equal(config->services[0]->n_listen, 3);
        assert_true(config->services[0]->listen[1].any);
        assert_int_equal(config->services[0]->backlog, 4096);
        assert_int_equal(config->services[1]->n_listen, 2);
        assert_int_equal(config->services[1]->backlog, 9);
        assert_ptr_equal(config_find_service(config, "two"), config->services[1]);
        assert_ptr_equal(config_find_service(config, "one-1*"), config->services[2]);
        assert_null(config_find_service(config, "one-1"));
        assert_null(config_find_service(config, ""));
}

/* A seed in the file is kept. Without one, each load draws a new seed. */
static void seed(void **state)
{
        uint64_t other;

        (void)state;
        expect_legal(TOP("seed = 42;"));
        assert_true(config->seeded);
        assert_int_equal(config->seed, 42);
        expect_legal(TOP("seed = 9223372036854775807;"));
        assert_int_equal(config->seed, INT64_MAX);
        expect_legal(TOP("seed = 0;"));
        assert_true(config->seeded);
        assert_int_equal(config->seed, 0);
        expect_legal(TOP("seed = \"random\";"));
        assert_false(config->seeded);
        expect_legal(TOP(""));
        assert_false(config->seeded);
        other = config->seed;
        expect_legal(TOP(""));
        assert_int_not_equal(config->seed, other);
}

/* One illegal value: on line 3, at the top level, or on line 4, in the service. */
static void each_value(void **state)
{
        static const struct {
                const char *setting, *value, *legal;
        } top[] = {
                { "log_level = \"loud\"", "\"loud\"", LEVELS },
                { "log_level = \"INFO\"", "\"INFO\"", LEVELS },
                { "log_level = \"\"", "\"\"", LEVELS },
                { "log_level = 3", "3", LEVELS },
                { "log_level = [ \"info\" ]", "a list of 1", LEVELS },
                { "log_level = { info = 1; }", "a group { … }", LEVELS },
                { "log_level = \"a\\\\b\\\"\\n\\x01\\xff\"", "\"a\\\\b\\\"\\n\\x01\\xff\"",
                  LEVELS },
                { "log_payload = 1", "1", BOOL },
                { "log_payload = \"true\"", "\"true\"", BOOL },
                { "backend = \"kqueue\"", "\"kqueue\"", BACKENDS },
                { "backend = true", "true", BACKENDS },
                { "max_connections = -1", "-1", LIMIT },
                { "max_connections = 1000001", "1000001", LIMIT },
                { "max_connections = 4294967296", "4294967296", LIMIT },
                { "max_connections = 4294967297L", "4294967297", LIMIT },
                { "max_connections = 0x100000000", "4294967296", LIMIT },
                { "max_connections = -9223372036854775808", "-9223372036854775808", LIMIT },
                { "max_connections = 1.0", "1.0", LIMIT },
                { "max_connections = 1e3", "1000.0", LIMIT },
                { "seed = 9223372036854775808", "9.22337203685478e+18", SEED },
                { "max_connections = \"1\"", "\"1\"", LIMIT },
                { "max_connections = false", "false", LIMIT },
                { "max_connections = ()", "a list of 0", LIMIT },
                { "exit_on_idle = -1", "-1", SPAN },
                { "exit_on_idle = -0.5", "-0.5", SPAN },
                { "exit_on_idle = -0.0000001", "-1e-07", SPAN },
                { "exit_on_idle = \"-1s\"", "\"-1s\"", SPAN },
                { "exit_on_idle = \"\"", "\"\"", SPAN },
                { "exit_on_idle = \"20 fortnights\"", "\"20 fortnights\"", SPAN },
                { "exit_on_idle = \"nan\"", "\"nan\"", SPAN },
                { "exit_on_idle = \"inf\"", "\"inf\"", SPAN },
                { "exit_on_idle = 1e999", "inf", SPAN },
                { "exit_on_idle = -1e999", "-inf", SPAN },
                { "exit_on_idle = 31536001", "31536001", SPAN },
                { "exit_on_idle = \"365d 1us\"", "\"365d 1us\"", SPAN },
                { "exit_on_idle = \"99999999999999999999y\"", "\"99999999999999999999y\"", SPAN },
                { "exit_on_idle = 9223372036854775807", "9223372036854775807", SPAN },
                { "exit_on_idle = true", "true", SPAN },
                { "exit_on_idle = ( 1, 2 )", "a list of 2", SPAN },
                { "drain_timeout = \"30 x\"", "\"30 x\"", SPAN },
                { "seed = -1", "-1", SEED },
                { "seed = \"42\"", "\"42\"", SEED },
                { "seed = 4.2", "4.2", SEED },
        };
        static const struct {
                const char *setting, *value, *legal;
        } inner[] = {
                { "mode = \"hubbub\"", "\"hubbub\"", MODES },
                { "mode = 1", "1", MODES },
                { "backlog = 0", "0", BACKLOG },
                { "backlog = 65536", "65536", BACKLOG },
                { "backlog = -1", "-1", BACKLOG },
                { "backlog = 4294967297", "4294967297", BACKLOG },
                { "backlog = \"10\"", "\"10\"", BACKLOG },
                { "backlog = 10.5", "10.5", BACKLOG },
                { "send_delay = \"5 parsecs\"", "\"5 parsecs\"", SPAN },
                { "send_delay = -5", "-5", SPAN },
                { "send_delay = { }", "a group { … }", SPAN },
                { "message_size = 0", "0", BYTES },
                { "message_size = 65537", "65537", BYTES },
                { "message_size = \"65K\"", "\"65K\"", BYTES },
                { "message_size = \"1KB\"", "\"1KB\"", BYTES },
                { "message_size = \"17179869184G\"", "\"17179869184G\"", BYTES },
                { "message_size = 1.5", "1.5", BYTES },
                { "idle_timeout = \"soon\"", "\"soon\"", SPAN },
                { "keepalive = \"32768s\"", "\"32768s\"", KEEPALIVE },
                { "user_timeout = \"30days\"", "\"30days\"", USER_TIMEOUT },
                { "receive_buffer = \"2G\"", "\"2G\"", RECEIVE_BUFFER },
                { "send_buffer = -1", "-1", SEND_BUFFER },
                { "hold = 0", "0", HOLD },
                { "hold = \"1025M\"", "\"1025M\"", HOLD },
                { "to_client = 1", "1", GROUP },
                { "to_client = ( 1 )", "1", GROUP },
                { "to_client = [ ]", "a list of 0", GROUP },
                { "to_client = \"latency\"", "\"latency\"", GROUP },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(top); i++) {
                (void)snprintf(text, sizeof(text), TOP("%s;"), top[i].setting);
                (void)snprintf(expected, sizeof(expected),
                               "conf:3: %.*s: %s is not legal, expected %s\n",
                               (int)strcspn(top[i].setting, " "), top[i].setting, top[i].value,
                               top[i].legal);
                expect_mistakes(text, expected);
        }
        for (size_t i = 0; i < ELEMENTS(inner); i++) {
                (void)snprintf(text, sizeof(text), IN_SERVICE("%s;"), inner[i].setting);
                (void)snprintf(expected, sizeof(expected),
                               "conf:4: services.echo.%.*s: %s is not legal, expected %s\n",
                               (int)strcspn(inner[i].setting, " "), inner[i].setting,
                               inner[i].value, inner[i].legal);
                expect_mistakes(text, expected);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(words), CONFIG_TEST(numbers),    CONFIG_TEST(services),
                CONFIG_TEST(seed),  CONFIG_TEST(each_value),
        };

        return run_config_tests(tests);
}
