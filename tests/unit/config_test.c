/* SPDX-License-Identifier: MIT */
/*
 * The configuration: the files that the project ships, the legal values of each key, and that every
 * mistake is reported once, with its line and the legal values.
 */
#include "config.h"
#include "mistakes.h"
#include "source.h"

#include <dlfcn.h>
#include <errno.h>
#include <libconfig.h>

#define LEVELS   "\"error\", \"warning\", \"notice\", \"info\" or \"debug\""
#define BACKENDS "\"auto\", \"epoll\", \"poll\" or \"select\""
#define SPAN     "seconds or a time span such as \"200ms\" or \"1min 30s\", 0 to 365 days"
#define BOOL     "true or false"
#define LIMIT    "a number from 0 to 1000000"
#define MODES    "\"echo\", \"relay\" or \"hub\""
#define BACKLOG  "a number from 1 to 65535"
#define BYTES    "bytes from 1 to \"64K\""
#define SERVICES "a group of at least one service"
#define ADDRESSES                                                                                  \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of them, PORT 0 " \
        "to 65535"
#define UPSTREAMS                                                                              \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"NAME:PORT\", \"unix:/PATH\" or a list of them, " \
        "PORT 1 to 65535"

#define GROUP "a group { latency = …; }"
#define RATE  "bytes a second, such as \"64K\", to \"1024G\"; 0: no limit"
#define SIZE  "bytes such as 1000 or \"64K\", to \"1024G\""
#define BURST SIZE ", or \"auto\""
#define CUT   SIZE ", or \"never\""
#define HOLD  "bytes from 1 to \"1G\""
#define RESET SPAN ", or \"never\""
#define SHARE "a share from 0 to 1"
#define SEED  "a number from 0 to 9223372036854775807, or \"random\""

#define KEEPALIVE      "seconds or a time span such as \"2min\", 0 to 32767 s"
#define USER_TIMEOUT   "seconds or a time span such as \"30s\", 0 to 2147483 s"
#define RECEIVE_BUFFER "bytes such as \"256K\", to \"1G\"; 0: the system's"
#define SEND_BUFFER    "bytes such as \"128K\", to \"1G\"; 0: the system's"
#define STALL_AFTER                                                                        \
        "a time span such as \"2s\", 0 to 365 days, or bytes such as 1000 or \"64K\", to " \
        "\"1024G\", or \"never\""
#define STALL_FOR SPAN ", or \"forever\""

#define YEAR_USEC (365 * 24 * 3600 * USEC_PER_SEC)

/* A configuration with @top as its third line. */
#define TOP(top) "# one\n# two\n" top "\nservices = { echo = { listen = \"127.0.0.1:0\"; }; };\n"

/* A configuration with @more as the fourth line, in its service. */
#define IN_SERVICE(more) \
        "services = {\n  echo = {\n    listen = \"127.0.0.1:0\";\n" more "\n  };\n};\n"

/* The same, with these conditions. */
#define TO_CLIENT(conditions) IN_SERVICE("to_client = { " conditions " };")

static struct config *config;

static int load(const char *path)
{
        forget_mistakes();
        config = config_unref(config);
        return config_load(path, collect_mistake, NULL, &config);
}

static int load_text(const char *text)
{
        write_text("conf", text);
        return load("conf");
}

static int release(void **state)
{
        (void)state;
        config = config_unref(config);
        return 0;
}

static void expect_legal(const char *text)
{
        int r = load_text(text);

        if (r != 0)
                fail_msg("%d for\n%s\n%s", r, text, mistakes);
        assert_int_equal(n_mistakes, 0);
}

static void expect_mistakes(const char *text, const char *expected)
{
        int r = load_text(text);

        if (r != -EINVAL || strcmp(mistakes, expected) != 0) {
                print_error("%d for\n%s\n%sinstead of\n%s\n", r, text, mistakes, expected);
                fail();
        }
        assert_null(config);
}

/* What the project ships */

static void expect_echo(const struct config *c, const char *listen, uint64_t backlog)
{
        struct address address;

        assert_int_equal(address_parse(listen, &address), 0);
        assert_int_equal(c->n_services, 1);
        assert_string_equal(c->services[0].name, "echo");
        assert_int_equal(c->services[0].mode, SERVICE_ECHO);
        assert_int_equal(c->services[0].n_listen, 1);
        assert_true(address_equal(&c->services[0].listen[0], &address));
        assert_int_equal(c->services[0].backlog, backlog);
        assert_int_equal(c->services[0].message_bytes, 1024);
        assert_int_equal(c->services[0].idle_timeout_usec, 0);
        assert_int_equal(c->services[0].socket.keepalive_usec, 120 * USEC_PER_SEC);
        assert_int_equal(c->services[0].socket.user_timeout_usec, 0);
        assert_int_equal(c->services[0].socket.receive_buffer_bytes, 4 * 1024 * 1024);
        assert_int_equal(c->services[0].socket.send_buffer_bytes, 512 * 1024);
        assert_int_equal(c->services[0].hold_bytes, 1024 * 1024);
        assert_int_equal(c->services[0].connect_delay_usec, 0);
        assert_int_equal(c->services[0].max_dialing, 1024);
        assert_memory_equal(&c->services[0].to_client, &conditions_none, sizeof(conditions_none));
        assert_memory_equal(&c->services[0].to_upstream, &conditions_none, sizeof(conditions_none));
        assert_false(c->seeded);
        assert_int_equal(c->max_connections, 0);
        assert_int_equal(c->exit_on_idle_usec, 0);
        assert_int_equal(c->drain_timeout_usec, 30 * USEC_PER_SEC);
}

static void expect_defaults(const struct config *c)
{
        expect_echo(c, "127.0.0.1:8008", 4096);
        assert_int_equal(c->log_level, LOG_LEVEL_INFO);
        assert_false(c->log_payload);
        assert_string_equal(c->backend, "auto");
        assert_int_equal(c->services[0].send_delay_usec, 0);
}

static void defaults(void **state)
{
        (void)state;
        expect_legal("services = { echo = { listen = \"127.0.0.1:8008\"; }; };");
        expect_defaults(config);
        assert_int_equal(load(SOURCE_DIR "/conf/selectd.conf"), 0);
        expect_defaults(config);
}

/* Removes the "# " from lines that begin with "  # ": whole services that are commented out. */
static void uncomment(char *text)
{
        for (char *p = text; p; p = strchr(p, '\n')) {
                p += *p == '\n';
                if (strncmp(p, "  # ", 4) == 0)
                        memset(p, ' ', 4);
        }
}

static void expect_same_values(const struct service_config *one, const struct service_config *other)
{
        struct service_config a = *one, b = *other;

        a.name = b.name = NULL;
        a.listen = b.listen = NULL;
        a.upstreams = b.upstreams = NULL;
        a.dialing = b.dialing = NULL;
        assert_memory_equal(&a, &b, sizeof(a));
}

static void expect_same_top(const struct config *one, const struct config *other)
{
        struct config a = *one, b = *other;

        a.seed = b.seed; /* random */
        a.path = b.path;
        a.services = b.services;
        a.by_name = b.by_name;
        assert_memory_equal(&a, &b, sizeof(a));
}

/* The examples in the shipped file change only what they are named for, not the defaults. */
static void examples_are_harmless(void **state)
{
        char *text = read_text(SOURCE_DIR "/conf/selectd.conf");
        struct config *examples;

        (void)state;
        assert_non_null(text);
        uncomment(text);
        expect_legal(text);
        free(text);
        examples = config;
        config = NULL;
        expect_legal("services = {\n"
                     "echo = { listen = \"127.0.0.1:8008\"; };\n"
                     "db = { listen = \"127.0.0.1:13306\"; mode = \"relay\";\n"
                     "       upstream = \"127.0.0.1:3306\"; };\n"
                     "chat = { listen = \"127.0.0.1:8009\"; mode = \"hub\"; };\n"
                     "};");
        assert_int_equal(examples->n_services, config->n_services);
        for (size_t i = 0; i < config->n_services; i++) {
                assert_string_equal(examples->services[i].name, config->services[i].name);
                expect_same_values(&examples->services[i], &config->services[i]);
        }
        expect_same_top(examples, config);
        config_unref(examples);
}

/* libconfig knows no comment that ends with the file. */
static void comment_at_the_end(void **state)
{
        (void)state;
        assert_int_equal(load_text("services = { a = { listen = \"127.0.0.1:0\"; }; }; # end"), 0);
        assert_int_equal(n_mistakes, 0);
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

static void article(void **state)
{
        (void)state;
        assert_int_equal(load(SOURCE_DIR "/conf/article.conf"), 0);
        expect_echo(config, "127.0.0.1:8008", 10);
        assert_string_equal(config->backend, "select");
        assert_int_equal(config->services[0].send_delay_usec, 5 * USEC_PER_SEC);
        assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
        assert_true(config->log_payload);
}

/* Values */

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
                { "1.001", 1001000 }, /* as doubles multiply, a little less */
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
                assert_int_equal(config->services[0].send_delay_usec, spans[i].usec);
                assert_int_equal(config->services[0].idle_timeout_usec, spans[i].usec);
        }
        expect_legal("max_connections = 1000000;" IN_SERVICE("backlog = 65535; message_size = 1"));
        assert_int_equal(config->max_connections, 1000000);
        assert_int_equal(config->services[0].backlog, 65535);
        assert_int_equal(config->services[0].message_bytes, 1);
        expect_legal("max_connections = 1L;" IN_SERVICE("backlog = 1; message_size = \"64K\""));
        assert_int_equal(config->services[0].backlog, 1);
        assert_int_equal(config->services[0].message_bytes, 65536);
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
        assert_int_equal(config->services[0].n_listen, 3);
        assert_true(config->services[0].listen[1].any);
        assert_int_equal(config->services[0].backlog, 4096);
        assert_int_equal(config->services[1].n_listen, 2);
        assert_int_equal(config->services[1].backlog, 9);
        assert_ptr_equal(config_find_service(config, "two"), &config->services[1]);
        assert_ptr_equal(config_find_service(config, "one-1*"), &config->services[2]);
        assert_null(config_find_service(config, "one-1"));
        assert_null(config_find_service(config, ""));
}

/* Conditions */

static const struct conditions *to_client(void)
{
        return &config->services[0].to_client;
}

/* Each key alone, in its group only. */
static void conditions(void **state)
{
        static const struct {
                const char *setting;
                size_t offset;
                uint64_t value;
        } cases[] = {
#define CASE(setting, member, value) { setting, offsetof(struct conditions, member), value }
                CASE("latency = \"80ms\"", latency_usec, 80000),
                CASE("latency = 31536000", latency_usec, YEAR_USEC),
                CASE("jitter = 0.02", jitter_usec, 20000),
                CASE("rate = \"256K\"", rate, 262144),
                CASE("rate = \"1024G\"", rate, (uint64_t)1 << 40),
                CASE("rate = 1000; burst = 7", burst_bytes, 7),
                CASE("rate = 1000; burst = \"1024G\"", burst_bytes, (uint64_t)1 << 40),
                CASE("rate = 1000", burst_bytes, 100),
                CASE("rate = 19", burst_bytes, 1),
                CASE("rate = 1", burst_bytes, 1),
                CASE("rate = 1000; burst = \"auto\"", burst_bytes, 100),
                CASE("rate = 1000; burst = 0", burst_bytes, 0),
                CASE("slice_size = 512", slice_bytes, 512),
                CASE("slice_size = 2; slice_variation = 1", slice_variation_bytes, 1),
                CASE("slice_delay = \"1us\"", slice_delay_usec, 1),
                CASE("limit = \"10M\"", limit_bytes, 10 << 20),
                CASE("limit = 1", limit_bytes, 1),
                CASE("limit = 0", limit_bytes, 0),
                CASE("limit = \"never\"", limit_bytes, CONDITIONS_NEVER),
                CASE("stall_for = 1; stall_after = \"never\"", stall_after_bytes, CONDITIONS_NEVER),
                CASE("stall_for = 1; stall_after = \"never\"", stall_after_usec, CONDITIONS_NEVER),
                CASE("stall_after = 1; stall_for = 0", stall_for_usec, 0),
                CASE("reset_after = 0", reset_after_usec, 0),
                CASE("reset_after = \"never\"", reset_after_usec, CONDITIONS_NEVER),
                CASE("stall_for = 1; stall_after = 1000", stall_after_bytes, 1000),
                CASE("stall_for = 1; stall_after = 0", stall_after_bytes, 0),
                CASE("stall_for = 1; stall_after = \"64K\"", stall_after_bytes, 65536),
                CASE("stall_for = 1; stall_after = \"1000\"", stall_after_bytes, 1000),
                CASE("stall_for = 1; stall_after = \"1M\"", stall_after_bytes, 1 << 20),
                CASE("stall_for = 1; stall_after = \"2s\"", stall_after_usec, 2 * USEC_PER_SEC),
                CASE("stall_for = 1; stall_after = \"0s\"", stall_after_usec, 0),
                CASE("stall_for = 1; stall_after = \"365d\"", stall_after_usec, YEAR_USEC),
                CASE("stall_after = 1; stall_for = \"10s\"", stall_for_usec, 10 * USEC_PER_SEC),
                CASE("stall_after = 1; stall_for = 0.5", stall_for_usec, USEC_PER_SEC / 2),
                CASE("stall_after = 1; stall_for = \"forever\"", stall_for_usec,
                     CONDITIONS_FOREVER),
                CASE("reset_after = \"1min\"", reset_after_usec, 60 * USEC_PER_SEC),
                CASE("close_delay = 3", close_delay_usec, 3 * USEC_PER_SEC),
#undef CASE
        };
        char text[256];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s;"), cases[i].setting);
                expect_legal(text);
                if (*(const uint64_t *)((const char *)to_client() + cases[i].offset) !=
                    cases[i].value)
                        fail_msg("%s", cases[i].setting);
                assert_int_equal(to_client()->stall_after_bytes != CONDITIONS_NEVER &&
                                         to_client()->stall_after_usec != CONDITIONS_NEVER,
                                 0); /* one of them */
        }
}

static void shares(void **state)
{
        static const struct {
                const char *text;
                double value;
        } cases[] = { { "0", 0 }, { "1", 1 }, { "0.0", 0 }, { "1.0", 1 }, { "0.25", 0.25 } };
        char text[256];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("drop_new = %s; probability = %s;"),
                               cases[i].text, cases[i].text);
                expect_legal(text);
                assert_true(to_client()->drop_new == cases[i].value);
                assert_true(to_client()->probability == cases[i].value);
        }
}

/* Each direction of each service has its own conditions, and its own shared bucket. */
static void both_ways(void **state)
{
        const struct service_config *service;

        (void)state;
        expect_legal("services = {\n"
                     "  db = { listen = \"127.0.0.1:0\"; mode = \"relay\";\n"
                     "    upstream = \"127.0.0.1:1\"; hold = 1; connect_delay = \"2s\"; "
                     "max_dialing = 7;\n"
                     "    to_client = { latency = 1; rate = 10; shared = true; };\n"
                     "    to_upstream = { jitter = 2; rate = 10; shared = true; }; };\n"
                     "  room = { listen = \"127.0.0.1:0\"; mode = \"hub\"; hold = \"1G\";\n"
                     "    to_client = { rate = 10; shared = false; }; };\n"
                     "  echo = { listen = \"127.0.0.1:0\"; to_client = { }; };\n"
                     "};");
        service = &config->services[0];
        assert_int_equal(service->connect_delay_usec, 2 * USEC_PER_SEC);
        assert_int_equal(service->max_dialing, 7);
        assert_int_equal(service->hold_bytes, 1);
        assert_int_equal(service->to_client.latency_usec, USEC_PER_SEC);
        assert_int_equal(service->to_client.jitter_usec, 0);
        assert_int_equal(service->to_upstream.latency_usec, 0);
        assert_int_equal(service->to_upstream.jitter_usec, 2 * USEC_PER_SEC);
        assert_non_null(service->to_client.shared);
        assert_non_null(service->to_upstream.shared);
        assert_ptr_not_equal(service->to_client.shared, service->to_upstream.shared);
        assert_null(config->services[1].to_client.shared);
        assert_int_equal(config->services[1].to_client.rate, 10);
        assert_int_equal(config->services[1].hold_bytes, 1 << 30);
        assert_false(conditions_shape(&config->services[2].to_client));
}

/* A seed that is set is kept; without one, each load draws another. */
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

/* Mistakes */

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
                { "to_client = ( { latency = 1; } )", "a list of 1", GROUP },
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

static void each_condition(void **state)
{
        static const struct {
                const char *setting, *value, *legal, *with;
        } cases[] = {
                { "latency = -1", "-1", SPAN, "" },
                { "latency = \"366d\"", "\"366d\"", SPAN, "" },
                { "latency = \"forever\"", "\"forever\"", SPAN, "" },
                { "jitter = true", "true", SPAN, "" },
                { "rate = -1", "-1", RATE, "" },
                { "rate = 1.5", "1.5", RATE, "" },
                { "rate = \"1025G\"", "\"1025G\"", RATE, "" },
                { "rate = \"1s\"", "\"1s\"", RATE, "" },
                { "burst = -1", "-1", BURST, "rate = 1;" },
                { "burst = \"never\"", "\"never\"", BURST, "rate = 1;" },
                { "burst = \"1025G\"", "\"1025G\"", BURST, "rate = 1;" },
                { "shared = 1", "1", BOOL, "rate = 1;" },
                { "slice_size = \"1T\"", "\"1T\"", SIZE, "" },
                { "slice_variation = -5", "-5", SIZE, "slice_size = 1;" },
                { "slice_delay = \"-1s\"", "\"-1s\"", SPAN, "" },
                { "limit = -1", "-1", CUT, "" },
                { "limit = \"auto\"", "\"auto\"", CUT, "" },
                { "limit = \"1s\"", "\"1s\"", CUT, "" },
                { "stall_after = -1", "-1", STALL_AFTER, "stall_for = 1;" },
                { "stall_after = 1.5", "1.5", STALL_AFTER, "stall_for = 1;" },
                { "stall_after = \"366d\"", "\"366d\"", STALL_AFTER, "stall_for = 1;" },
                { "stall_after = \"1025G\"", "\"1025G\"", STALL_AFTER, "stall_for = 1;" },
                { "stall_after = \"soon\"", "\"soon\"", STALL_AFTER, "stall_for = 1;" },
                { "stall_for = -1", "-1", STALL_FOR, "stall_after = 1;" },
                { "stall_for = \"for ever\"", "\"for ever\"", STALL_FOR, "stall_after = 1;" },
                { "stall_for = \"366d\"", "\"366d\"", STALL_FOR, "stall_after = 1;" },
                { "reset_after = -1", "-1", RESET, "" },
                { "reset_after = \"forever\"", "\"forever\"", RESET, "" },
                { "close_delay = \"5\\x01\"", "\"5\\x01\"", SPAN, "" },
                { "drop_new = -0.1", "-0.1", SHARE, "" },
                { "drop_new = 1.01", "1.01", SHARE, "" },
                { "drop_new = 2", "2", SHARE, "" },
                { "drop_new = \"0.5\"", "\"0.5\"", SHARE, "" },
                { "probability = -1", "-1", SHARE, "" },
                { "probability = 1e999", "inf", SHARE, "" },
                { "probability = true", "true", SHARE, "" },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s %s;"), cases[i].with,
                               cases[i].setting);
                (void)snprintf(
                        expected, sizeof(expected),
                        "conf:4: services.echo.to_client.%.*s: %s is not legal, expected %s\n",
                        (int)strcspn(cases[i].setting, " "), cases[i].setting, cases[i].value,
                        cases[i].legal);
                expect_mistakes(text, expected);
        }
}

/* Conditions that need another condition, or another mode. */
static void conditions_apart(void **state)
{
        static const struct {
                const char *setting, *other;
        } needs[] = {
                { "burst = 1", "rate" },
                { "shared = true", "rate" },
                { "slice_variation = 1", "slice_size" },
                { "stall_after = 1", "stall_for" },
                { "stall_for = 1", "stall_after" },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(needs); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s;"), needs[i].setting);
                (void)snprintf(
                        expected, sizeof(expected),
                        "conf:4: services.echo.to_client.%.*s: goes with %s, which is missing\n",
                        (int)strcspn(needs[i].setting, " "), needs[i].setting, needs[i].other);
                expect_mistakes(text, expected);
        }
        for (unsigned variation = 10; variation < 12; variation++) {
                (void)snprintf(text, sizeof(text),
                               TO_CLIENT("slice_size = 10; slice_variation = %u;"), variation);
                (void)snprintf(expected, sizeof(expected),
                               "conf:4: services.echo.to_client.slice_variation: %u is not legal, "
                               "expected less than slice_size\n",
                               variation);
                expect_mistakes(text, expected);
        }
        expect_mistakes(IN_SERVICE("connect_delay = 1;\nto_upstream = { };\nmax_dialing = 1;"),
                        "conf:4: services.echo.connect_delay: is for mode = \"relay\" only\n"
                        "conf:6: services.echo.max_dialing: is for mode = \"relay\" only\n"
                        "conf:5: services.echo.to_upstream: is for mode = \"relay\" only\n");
        expect_mistakes(IN_SERVICE("mode = \"hub\"; to_upstream = { latency = 1; };"),
                        "conf:4: services.echo.to_upstream: is for mode = \"relay\" only\n");
}

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
        assert_int_equal(config->services[0].n_upstreams, 2);
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
        assert_int_equal(config->services[0].n_upstreams, 4096);
        (void)snprintf(text + n, sizeof(text) - n, ",\n\"unix:/last\",\n\"unix:/more\" ]; }; };");
        expect_mistakes(text, "conf:4099: services.a.upstream: \"unix:/last\" is one too many, "
                              "expected at most 4096 addresses\n");
}

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
static void undecided(void **state)
{
        (void)state;
        expect_mistakes(IN_SERVICE("mode = \"rely\"; upstream = \"127.0.0.1:1\"; quota = 1;"),
                        "conf:4: services.echo.mode: \"rely\" is not legal, expected " MODES "\n");
        expect_mistakes(IN_SERVICE("proxy_protocol = \"acept\"; proxy_from = \"127.0.0.1\";"),
                        "conf:4: services.echo.proxy_protocol: \"acept\" is not legal, expected "
                        "\"off\" or \"accept\"\n");
}

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
        /* What is not closed at the end is missed on the last line that says something. */
        expect_mistakes("seed = -1;\nservices = {\n  echo = {\n    backlog = 0;\n\n# end\n",
                        "conf:4: syntax error: \"backlog = 0;\"\n");
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

/* Junk */

#ifdef __SANITIZE_ADDRESS__
#define JUNK_BYTES \
        (256 * 1024) /* its realloc() always copies: libconfig's long lists take a minute */
#else
#define JUNK_BYTES (1024 * 1024)
#endif

/* Reports of mistakes: the first thousand, and that there are more. */
#define REPORTS_MAX 1001

/* What the smallest file needs: the defaults are read like a file. */
#define LOOKUPS_MIN 300

/* Fills @out with @n bytes of @pattern over and over. */
static void repeat(char *out, size_t n, const char *pattern)
{
        size_t length = strlen(pattern);

        for (size_t i = 0; i < n; i++)
                out[i] = pattern[i % length];
}

/*
 * How many settings were looked at: a measure of the work that does not depend on the machine. Both
 * functions replace libconfig's, also for calls from within libconfig.
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
 * Junk is refused, with few reports, and with one look-up a byte at most, besides libconfig's own:
 * its parser compares each name with all names before it.
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
        /* of tokens, so that the parser gets further than with bytes */
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

/* A good file with one byte changed: an error or a configuration, and no crash. */
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

static void references(void **state)
{
        char *path;

        (void)state;
        expect_legal(TOP(""));
        assert_int_equal(config->refs, 1);
        assert_ptr_equal(config_ref(config), config);
        assert_int_equal(config->refs, 2);
        assert_null(config_unref(config));
        assert_int_equal(config->refs, 1); /* still there */
        path = strdup(config->path);
        config = config_unref(config);
        assert_null(config_unref(NULL));

        /* absolute, so that a reload finds it from anywhere */
        assert_int_equal(chdir("/"), 0);
        assert_int_equal(load(path), 0);
        assert_string_equal(config->path, path);
        assert_int_equal(chdir(test_directory), 0);
        free(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(defaults, release),
                cmocka_unit_test_teardown(examples_are_harmless, release),
                cmocka_unit_test_teardown(article, release),
                cmocka_unit_test_teardown(words, release),
                cmocka_unit_test_teardown(numbers, release),
                cmocka_unit_test_teardown(services, release),
                cmocka_unit_test_teardown(conditions, release),
                cmocka_unit_test_teardown(shares, release),
                cmocka_unit_test_teardown(both_ways, release),
                cmocka_unit_test_teardown(seed, release),
                cmocka_unit_test_teardown(each_value, release),
                cmocka_unit_test_teardown(each_condition, release),
                cmocka_unit_test_teardown(conditions_apart, release),
                cmocka_unit_test_teardown(addresses, release),
                cmocka_unit_test_teardown(upstreams, release),
                cmocka_unit_test_teardown(many_upstreams, release),
                cmocka_unit_test_teardown(lines_of_elements, release),
                cmocka_unit_test_teardown(whole_groups, release),
                cmocka_unit_test_teardown(unknown_keys, release),
                cmocka_unit_test_teardown(unknown_keys_like_none, release),
                cmocka_unit_test_teardown(misplaced_keys, release),
                cmocka_unit_test_teardown(undecided, release),
                cmocka_unit_test_teardown(syntax, release),
                cmocka_unit_test_teardown(syntax_alone, release),
                cmocka_unit_test_teardown(unreadable_alone, release),
                cmocka_unit_test_teardown(comment_at_the_end, release),
                cmocka_unit_test_teardown(paths_are_escaped, release),
                cmocka_unit_test_teardown(all_at_once, release),
                cmocka_unit_test_teardown(unreadable, release),
                cmocka_unit_test_teardown(long_words, release),
                cmocka_unit_test_teardown(a_megabyte, release),
                cmocka_unit_test_teardown(a_page, release),
                cmocka_unit_test_teardown(many_settings, release),
                cmocka_unit_test_teardown(random_junk, release),
                cmocka_unit_test_teardown(mutations, release),
                cmocka_unit_test_teardown(references, release),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
