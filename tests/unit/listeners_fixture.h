/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the listeners share: a set of listeners, the configurations that are applied to
 * it, and its clients. All sockets are on loopback addresses, or in the test's directory.
 */
#pragma once

#include "listeners.h"
#include "mistakes.h"
#include "turning.h"

#include <errno.h>
#include <fcntl.h>

static struct listeners *listeners;
static struct registry registry;
static struct config *config; /* applied last */
static char why[LISTENERS_WHY_SIZE];

/* The number of clients that were accepted, and the service of the last one. */
static unsigned n_accepted, n_retired;
static char accepted_by[64];
static struct address accepted_peer;

static inline void on_accept(void *arg, struct service *service, struct service_config *of, int fd,
                             const struct address *peer)
{
        assert_ptr_equal(arg, &listeners);
        assert_ptr_equal(service, registry_find(&registry, service_name(service)));
        assert_string_equal(of->name, service_name(service));
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(close(fd), 0);
        n_accepted++;
        (void)snprintf(accepted_by, sizeof(accepted_by), "%s", of->name);
        accepted_peer = *peer;
}

static inline void on_retired(void *arg)
{
        assert_ptr_equal(arg, &listeners);
        n_retired++;
}

static const struct listeners_events events = { .on_accept = on_accept, .on_retired = on_retired };

/* Configurations */

/* Return: a configuration with this text in its group "services". */
static inline struct config *load(const char *services)
{
        struct config *loaded = NULL;
        char text[8192];

        (void)snprintf(text, sizeof(text), "services = { %s };", services);
        write_text("conf", text);
        forget_mistakes();
        if (config_load("conf", collect_mistake, NULL, &loaded) != 0)
                fail_msg("%s", mistakes);
        return loaded;
}

/* Applies a configuration, which is consumed. Return: see listeners_apply(). */
static inline int apply_config(struct config *next)
{
        int r;

        assert_int_equal(listeners_match(listeners, next, why), 0);
        assert_int_equal(registry_add(&registry, next), 0);
        r = listeners_apply(listeners, next, &registry, why);
        if (r == 0) {
                config_unref(config);
                config = next;
        } else {
                config_unref(next);
        }
        registry_prune(&registry, config);
        return r;
}

/* Applies a configuration, which must work. */
_printf_(1, 2) static inline void apply(const char *format, ...)
{
        char services[8000];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(services, sizeof(services), format, arguments);
        va_end(arguments);
        if (apply_config(load(services)) != 0)
                fail_msg("%s", why);
}

/* The text that says where services listen. */
static inline const char *described(void)
{
        static char text[LISTENERS_TEXT_SIZE];

        return listeners_describe(listeners, text);
}

_printf_(1, 2) static inline void expect_described(const char *format, ...)
{
        char expected[LISTENERS_TEXT_SIZE];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(expected, sizeof(expected), format, arguments);
        va_end(arguments);
        assert_string_equal(described(), expected);
}

/* The port of the only service, which listens on a port of 127.0.0.1 that the system chose. */
static inline unsigned only_port(void)
{
        const char *colon = strrchr(described(), ':');

        assert_non_null(colon);
        return (unsigned)strtoul(colon + 1, NULL, 10);
}

/* Applies a configuration of one service, "a", on a port of 127.0.0.1 that the system chooses.
 * Return: the port. */
static inline unsigned listen_anywhere(void)
{
        apply("a = { listen = \"127.0.0.1:0\"; };");
        return only_port();
}

/* Clients */

/* Return: a socket that is connected to @host at a port; -1: refused. */
static inline int try_to_connect_to(const char *host, unsigned port)
{
        struct address address;
        char text[64];
        int fd;

        (void)snprintf(text, sizeof(text), "%s:%u", host, port);
        assert_int_equal(address_parse(text, &address), 0);
        fd = socket(address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, &address.sa, address.length) == 0)
                return fd;
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(close(fd), 0);
        return -1;
}

static inline int connect_to(unsigned port)
{
        int fd = try_to_connect_to("127.0.0.1", port);

        assert_true(fd >= 0);
        return fd;
}

static inline void expect_refused(unsigned port)
{
        assert_int_equal(try_to_connect_to("127.0.0.1", port), -1);
}

/* Checks that one more client is accepted, by this service. */
static inline void expect_accepted(unsigned before, const char *service)
{
        turn_until(n_accepted > before);
        assert_int_equal(n_accepted, before + 1);
        assert_string_equal(accepted_by, service);
}

static inline void expect_served_at(const char *host, unsigned port, const char *service)
{
        unsigned before = n_accepted;
        int fd = try_to_connect_to(host, port);
        struct address own;

        assert_true(fd >= 0);
        expect_accepted(before, service);
        assert_int_equal(address_of_socket(fd, &own), 0);
        assert_int_equal(address_port(&accepted_peer), address_port(&own));
        assert_int_equal(close(fd), 0);
}

static inline void expect_served(unsigned port, const char *service)
{
        expect_served_at("127.0.0.1", port, service);
}

/* Life */

static inline int start(void **state)
{
        n_accepted = n_retired = 0;
        accepted_by[0] = '\0';
        log_set_level(LOG_LEVEL_ERROR);
        registry = (struct registry){ .n_shards = 1 };
        if (start_loop(state) < 0)
                return -1;
        return listeners_new(loop, &events, &listeners, why, &listeners);
}

static inline int stop(void **state)
{
        listeners = listeners_free(listeners);
        config = config_unref(config);
        registry_deinit(&registry);
        return stop_loop(state);
}

#define LISTENERS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

/* Runs tests on each backend, in a directory of their own. Return: how many failed. */
#define run_listeners_tests(tests)                       \
        ({                                               \
                int r_ = enter_directory(NULL);          \
                                                         \
                if (r_ == 0)                             \
                        r_ = run_on_all_backends(tests); \
                leave_directory(NULL) < 0 ? 1 : r_;      \
        })
