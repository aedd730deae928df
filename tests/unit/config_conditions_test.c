/* SPDX-License-Identifier: MIT */
/*
 * Conditions: the legal values of each key, refused values, and keys that need another key or
 * another mode.
 */
#include "config_fixture.h"

static const struct conditions *to_client(void)
{
        assert_int_equal(config->services[0]->conditions[TO_CLIENT].n, 1);
        return config->services[0]->conditions[TO_CLIENT].groups;
}

/* Each key, alone or with the keys that it needs. */
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
                CASE("rate = 0", rate, 0),
                CASE("rate = \"unlimited\"", rate, CONDITIONS_UNLIMITED),
                CASE("rate = \"unlimited\"; burst = \"auto\"", burst_bytes, CONDITIONS_AUTO),
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
                CASE("discard = true; discard_idle = 3", discard_idle_usec, 3 * USEC_PER_SEC),
                CASE("discard = true; discard_idle = 0", discard_idle_usec, 0),
                CASE("discard = true", discard_idle_usec, CONDITIONS_NEVER),
                CASE("reset_after_data = 0", reset_after_data_usec, 0),
                CASE("reset_after_data = \"never\"", reset_after_data_usec, CONDITIONS_NEVER),
                CASE("reset_after_data = \"200ms\"", reset_after_data_usec, 200000),
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

/* Each direction of each service has its own conditions. */
static void both_ways(void **state)
{
        const struct service_config *service;
        const struct conditions *to_client, *to_upstream;

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
        service = config->services[0];
        assert_int_equal(service->connect_delay_usec, 2 * USEC_PER_SEC);
        assert_int_equal(service->max_dialing, 7);
        assert_int_equal(service->hold_bytes, 1);
        to_client = service->conditions[TO_CLIENT].groups;
        to_upstream = service->conditions[TO_UPSTREAM].groups;
        assert_int_equal(to_client->latency_usec, USEC_PER_SEC);
        assert_int_equal(to_client->jitter_usec, 0);
        assert_int_equal(to_upstream->latency_usec, 0);
        assert_int_equal(to_upstream->jitter_usec, 2 * USEC_PER_SEC);
        assert_true(to_client->shared);
        assert_true(to_upstream->shared);
        assert_false(config->services[1]->conditions[TO_CLIENT].groups->shared);
        assert_int_equal(config->services[1]->conditions[TO_CLIENT].groups->rate, 10);
        assert_int_equal(config->services[1]->hold_bytes, 1 << 30);
        assert_false(conditions_shape(config->services[2]->conditions[TO_CLIENT].groups));
}

/* A list of groups keeps the order of the file. A name is optional and unique. */
static void groups(void **state)
{
        char text[CONDITIONS_NAME_SIZE + 256], longest[CONDITIONS_NAME_SIZE];
        const struct condition_list *list;

        (void)state;
        expect_legal(IN_SERVICE("mode = \"relay\"; upstream = \"127.0.0.1:1\";\n"
                                "to_client = ( { name = \"slow\"; latency = 1; },\n"
                                "              { rate = 0; },\n"
                                "              { name = \"a/b: \\x1f\\\"\"; jitter = 2; } );\n"
                                "to_upstream = ( { latency = 3; }, { name = \"Slow\"; } );"));
        list = config->services[0]->conditions;
        assert_int_equal(list[TO_CLIENT].n, 3);
        assert_string_equal(list[TO_CLIENT].groups[0].name, "slow");
        assert_int_equal(list[TO_CLIENT].groups[0].latency_usec, USEC_PER_SEC);
        assert_int_equal(list[TO_CLIENT].groups[0].rate, CONDITIONS_UNLIMITED);
        assert_string_equal(list[TO_CLIENT].groups[1].name, "");
        assert_int_equal(list[TO_CLIENT].groups[1].rate, 0);
        assert_string_equal(list[TO_CLIENT].groups[2].name, "a/b: \x1f\"");
        assert_int_equal(list[TO_CLIENT].groups[2].jitter_usec, 2 * USEC_PER_SEC);
        assert_int_equal(list[TO_UPSTREAM].n, 2);
        assert_string_equal(list[TO_UPSTREAM].groups[0].name, "");
        assert_string_equal(list[TO_UPSTREAM].groups[1].name, "Slow");
        assert_ptr_equal(condition_list_find(&list[TO_CLIENT], "slow"), list[TO_CLIENT].groups);
        assert_null(condition_list_find(&list[TO_UPSTREAM], "slow"));

        expect_legal(IN_SERVICE("to_client = ( );"));
        assert_int_equal(config->services[0]->conditions[TO_CLIENT].n, 0);
        memset(longest, 'n', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        (void)snprintf(text, sizeof(text), TO_CLIENT("name = \"%s\";"), longest);
        expect_legal(text);
        assert_string_equal(to_client()->name, longest);
}

/* A mistake in a group of a list has the index of the group. */
static void groups_apart(void **state)
{
        (void)state;
        expect_mistakes(
                IN_SERVICE("mode = \"relay\"; upstream = \"127.0.0.1:1\";\n"
                           "to_client = (\n"
                           "  { name = \"slow\"; },\n"
                           "  { name = \"slow\"; rate = \"fast\"; },\n"
                           "  { },\n"
                           "  { latency = 1; } );\n"
                           "to_upstream = (\n"
                           "  { },\n"
                           "  { name = \"\"; },\n"
                           "  { latncy = 1;\n"
                           "    name = \"slow\"; },\n"
                           "  17 );"),
                "conf:7: services.echo.to_client[1].rate: \"fast\" is not legal, expected " RATE
                "\n"
                "conf:12: services.echo.to_upstream[1].name: \"\" is not legal, expected a text of "
                "1 to 255 bytes\n"
                "conf:13: services.echo.to_upstream[2].latncy: unknown key, the nearest known one "
                "is \"latency\"\n"
                "conf:15: services.echo.to_upstream: 17 is not legal, expected " GROUP "\n"
                "conf:7: services.echo.to_client[1].name: \"slow\" is the name of another group "
                "already\n"
                "conf:9: services.echo.to_client[3]: name is missing, and another group has none "
                "either\n"
                "conf:14: services.echo.to_upstream[2].name: \"slow\" is the name of another group "
                "already\n");
}

static void many_groups(void **state)
{
        char text[8192];
        size_t n;

        (void)state;
        for (int i = 64; i < 66; i++) {
                n = (size_t)snprintf(text, sizeof(text), "%s",
                                     "services = { a = { listen = \"127.0.0.1:0\"; to_client = (");
                for (int j = 0; j < i; j++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{ name = \"%d\"; }",
                                              j ? ", " : "", j);
                (void)snprintf(text + n, sizeof(text) - n, "); }; };");
                if (i == 64)
                        expect_legal(text);
                else
                        expect_mistakes(text, "conf:1: services.a.to_client: a list of 65 is not "
                                              "legal, expected " GROUP "\n");
        }
}

static void each_condition(void **state)
{
        static const struct {
                const char *setting, *value, *legal, *with;
        } cases[] = {
                { "name = \"\"", "\"\"", NAME, "" },
                { "name = 1", "1", NAME, "" },
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
                { "discard = 1", "1", BOOL, "" },
                { "discard_idle = -1", "-1", RESET, "discard = true;" },
                { "reset_after_data = \"soon\"", "\"soon\"", RESET, "" },
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
                { "discard_idle = 1", "discard" },
                { "slice_variation = 1", "slice_size" },
                { "stall_after = 1", "stall_for" },
                { "stall_for = 1", "stall_after" },
        };
        char text[1024], expected[1024];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(needs); i++) {
                (void)snprintf(text, sizeof(text), TO_CLIENT("%s;"), needs[i].setting);
                (void)snprintf(expected, sizeof(expected),
                               "conf:4: services.echo.to_client.%.*s: needs %s, which is missing\n",
                               (int)strcspn(needs[i].setting, " "), needs[i].setting,
                               needs[i].other);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIG_TEST(conditions),     CONFIG_TEST(shares),
                CONFIG_TEST(both_ways),      CONFIG_TEST(groups),
                CONFIG_TEST(groups_apart),   CONFIG_TEST(many_groups),
                CONFIG_TEST(each_condition), CONFIG_TEST(conditions_apart),
        };

        return run_config_tests(tests);
}
