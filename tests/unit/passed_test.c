/* SPDX-License-Identifier: MIT */
/*
 * Which service a passed socket belongs to, which sockets do not fit a configuration, and how
 * sockets differ from "listen". listeners_passed_test takes real sockets.
 */
#include "mistakes.h"
#include "passed.h"

#include <errno.h>

#define SOCKETS_MAX 3

static struct config *config;
static struct passed_socket sockets[SOCKETS_MAX];
static struct passed passed = { .sockets = sockets };
static char why[PASSED_WHY_SIZE];

/* Loads a configuration with this text in its group "services". */
static void load(const char *services)
{
        char text[1024];

        (void)snprintf(text, sizeof(text), "services = { %s };", services);
        write_text("conf", text);
        forget_mistakes();
        config = config_unref(config);
        if (config_load("conf", collect_mistake, NULL, &config) != 0)
                fail_msg("%s", mistakes);
}

/* Passes sockets: pairs of a name and an address, up to NULL. */
static void pass(const char *const *names_and_addresses)
{
        passed.n = 0;
        for (const char *const *p = names_and_addresses; *p; p += 2) {
                static char names[SOCKETS_MAX][64];
                struct passed_socket *socket = &sockets[passed.n];

                (void)snprintf(names[passed.n], sizeof(names[0]), "%s", p[0]);
                *socket = (struct passed_socket){ .name = names[passed.n], .fd = -1 };
                assert_int_equal(address_parse(p[1], &socket->address), 0);
                passed.n++;
        }
}

#define PASS(...) pass((const char *const[]){ __VA_ARGS__, NULL })

static int release(void **state)
{
        (void)state;
        config = config_unref(config);
        return 0;
}

static void expect_service(size_t i, const char *name)
{
        const struct service_config *service = passed_service(&passed, i, config);

        if (!name) {
                assert_null(service);
                return;
        }
        assert_non_null(service);
        assert_string_equal(service->name, name);
}

/* A name that a service has counts more than an address. */
static void by_name(void **state)
{
        bool *flags;

        (void)state;
        load("a = { listen = \"127.0.0.1:1\"; }; b = { listen = \"127.0.0.1:2\"; };\n"
             "c = { listen = \"127.0.0.1:3\"; };");
        PASS("b", "127.0.0.1:1", "nobody", "127.0.0.1:3", "b", "127.0.0.1:4");
        expect_service(0, "b");
        expect_service(1, NULL);
        expect_service(2, "b");
        flags = passed_flags(&passed, config);
        assert_non_null(flags);
        assert_false(flags[0]);
        assert_true(flags[1]);
        assert_false(flags[2]);
        free(flags);
}

/* Sockets with a default name: without a name, or with that of their unit. */
static void by_address(void **state)
{
        static const char *const defaults[] = { "", "unknown", "selectd.socket", "x.socket" };

        (void)state;
        load("a = { listen = [ \"127.0.0.1:1\", \"unix:/a\" ]; }; b = { listen = \"[::1]:2\"; };");
        for (size_t i = 0; i < ELEMENTS(defaults); i++) {
                PASS(defaults[i], "[::1]:2", defaults[i], "unix:/a", defaults[i], "127.0.0.1:3");
                expect_service(0, "b");
                expect_service(1, "a");
                expect_service(2, NULL);
        }
        PASS(".socket", "127.0.0.1:1");
        expect_service(0, NULL); /* no unit has this name */
}

/* The only socket belongs to the only service, whatever its address, unless it has another name. */
static void only_socket(void **state)
{
        (void)state;
        load("a = { listen = \"127.0.0.1:1\"; };");
        PASS("unknown", "127.0.0.1:2");
        expect_service(0, "a");
        PASS("other", "127.0.0.1:2");
        expect_service(0, NULL);
        PASS("unknown", "127.0.0.1:2", "unknown", "127.0.0.1:3");
        expect_service(0, NULL);
        load("a = { listen = \"127.0.0.1:1\"; }; b = { listen = \"127.0.0.1:4\"; };");
        PASS("unknown", "127.0.0.1:2");
        expect_service(0, NULL);
}

static void expect_misfit(const char *expected)
{
        assert_int_equal(passed_check(&passed, config, why), -EINVAL);
        assert_string_equal(why, expected);
}

static void checks(void **state)
{
        (void)state;
        load("a = { listen = \"127.0.0.1:1\"; }; b = { listen = \"127.0.0.1:2\"; };");
        passed.n = 0;
        assert_int_equal(passed_check(&passed, config, why), 0);
        PASS("a", "127.0.0.1:7", "a", "127.0.0.1:8", "b", "127.0.0.1:1");
        assert_int_equal(passed_check(&passed, config, why), 0);
        PASS("a", "127.0.0.1:1", "c", "127.0.0.1:3");
        expect_misfit(
                "systemd passed 127.0.0.1:3 as \"c\", which is none of the services (a, b): set "
                "FileDescriptorName= of its socket unit to the name of one");
        /* "b" has no socket, and would listen where "a" has one. */
        PASS("a", "127.0.0.1:2");
        expect_misfit(
                "b: cannot listen on 127.0.0.1:2: systemd passed 127.0.0.1:2 as \"a\"; give the "
                "service a socket unit of its own, with FileDescriptorName=b");
        PASS("a", "0.0.0.0:2");
        assert_int_equal(passed_check(&passed, config, why), -EINVAL);
        config->services[1]->enabled = false; /* it listens nowhere */
        assert_int_equal(passed_check(&passed, config, why), 0);
}

static void expect_difference(size_t i, const char *name, const char *expected)
{
        const struct service_config *service = passed_difference(&passed, i, config, why);

        assert_non_null(service);
        assert_string_equal(service->name, name);
        assert_string_equal(why, expected);
}

static void differences(void **state)
{
        (void)state;
        load("a = { listen = [ \"127.0.0.1:1\", \"127.0.0.1:0\" ]; };\n"
             "b = { listen = \"127.0.0.1:5\"; };");
        PASS("a", "127.0.0.1:1", "a", "127.0.0.1:4321"); /* port 0 agrees with every port */
        assert_null(passed_difference(&passed, 0, config, why));
        PASS("a", "127.0.0.1:1", "b", "127.0.0.1:5");
        expect_difference(
                0, "a",
                "systemd passed 127.0.0.1:1, which is used, but listen is 127.0.0.1:1, "
                "127.0.0.1:0: let ListenStream= of the socket unit and listen say the same");
        assert_null(passed_difference(&passed, 1, config, why));
        PASS("b", "127.0.0.1:5", "b", "127.0.0.1:6");
        expect_difference(
                0, "b",
                "systemd passed 127.0.0.1:5, 127.0.0.1:6, which is used, but listen is "
                "127.0.0.1:5: let ListenStream= of the socket unit and listen say the same");
        assert_null(
                passed_difference(&passed, 1, config, why)); /* reported with the first socket */
        PASS("c", "127.0.0.1:5");
        assert_null(passed_difference(&passed, 0, config, why));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(by_name, release),
                cmocka_unit_test_teardown(by_address, release),
                cmocka_unit_test_teardown(only_socket, release),
                cmocka_unit_test_teardown(checks, release),
                cmocka_unit_test_teardown(differences, release),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
