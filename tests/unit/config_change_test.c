/* SPDX-License-Identifier: MIT */
/*
 * Configurations made without a file: the defaults, and copies with one service changed, added or
 * left out.
 */
#include "config.h"
#include "mistakes.h"

#include <errno.h>

static const char three[] =
        "log_payload = true; seed = 7; max_connections = 9;\n"
        "services = {\n"
        "  c = { listen = [ \"127.0.0.1:1\", \"127.0.0.1:2\" ]; mode = \"relay\";\n"
        "        upstream = [ \"127.0.0.1:3\", \"a.example:4\" ];\n"
        "        proxy_protocol = \"accept\"; proxy_from = \"10.0.0.0/8\";\n"
        "        to_client = ( { name = \"slow\"; latency = 1; },\n"
        "                      { rate = 1000; shared = true; } ); };\n"
        "  a = { listen = \"127.0.0.1:5\"; backlog = 5; };\n"
        "  b = { listen = \"unix:/b\"; mode = \"hub\"; };\n"
        "};";

static struct config *load_three(void)
{
        struct config *config = NULL;

        forget_mistakes();
        write_text("conf", three);
        assert_int_equal(config_load("conf", collect_mistake, NULL, &config), 0);
        return config;
}

static struct service_config *copy_of(const struct config *config, const char *name)
{
        struct service_config *copy = NULL;

        assert_int_equal(service_config_copy(name, config_find_service(config, name), &copy), 0);
        return copy;
}

static void expect_found(const struct config *config)
{
        for (size_t i = 0; i < config->n_services; i++)
                assert_ptr_equal(config_find_service(config, config->services[i]->name),
                                 config->services[i]);
}

static void replace(void **state)
{
        struct config *base = load_three(), *changed = NULL;
        struct service_config *service = copy_of(base, "a");

        (void)state;
        service->backlog = 6;
        assert_int_equal(config_with(base, service, &changed), 0);
        service_config_unref(service);
        assert_int_equal(changed->n_services, 3);
        assert_ptr_equal(changed->services[0], base->services[0]);
        assert_ptr_equal(changed->services[1], service);
        assert_ptr_equal(changed->services[2], base->services[2]);
        expect_found(changed);
        assert_int_equal(base->services[1]->backlog, 5);
        assert_string_equal(changed->path, base->path);
        assert_true(changed->log_payload);
        assert_int_equal(changed->seed, 7);
        assert_int_equal(changed->max_connections, 9);
        config_unref(base); /* the shared services stay */
        assert_string_equal(changed->services[2]->name, "b");
        assert_int_equal(changed->services[1]->backlog, 6);
        config_unref(changed);
}

static void add(void **state)
{
        struct config *base = load_three(), *changed = NULL;
        struct service_config *service = NULL;

        (void)state;
        assert_int_equal(service_config_new("aa", &service), 0);
        assert_int_equal(config_with(base, service, &changed), 0);
        assert_int_equal(changed->n_services, 4);
        assert_ptr_equal(changed->services[3], service);
        expect_found(changed);
        assert_null(config_find_service(base, "aa"));
        config_unref(changed);
        config_unref(base);
        assert_string_equal(service->name, "aa"); /* the caller's reference */
        service_config_unref(service);
}

/* A service is found wherever its name comes in the order of names. */
static void add_in_any_place(void **state)
{
        static const char *const names[] = { "0", "bb", "z", "b", "0", "z" };
        struct config *base = load_three(), *changed = NULL;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                struct service_config *service = NULL;

                assert_int_equal(service_config_new(names[i], &service), 0);
                assert_int_equal(config_with(base, service, &changed), 0);
                assert_ptr_equal(config_find_service(changed, names[i]), service);
                expect_found(changed);
                service_config_unref(service);
                config_unref(base);
                base = changed;
        }
        assert_int_equal(base->n_services, 6);
        config_unref(base);
}

static void leave_out(void **state)
{
        struct config *base = load_three(), *fewer = NULL, *none = NULL;

        (void)state;
        assert_int_equal(config_without(base, "d", &fewer), -ENOENT);
        assert_null(fewer);
        assert_int_equal(config_without(base, "a", &fewer), 0);
        assert_int_equal(fewer->n_services, 2);
        assert_ptr_equal(fewer->services[0], base->services[0]);
        assert_ptr_equal(fewer->services[1], base->services[2]);
        expect_found(fewer);
        assert_null(config_find_service(fewer, "a"));
        assert_int_equal(base->n_services, 3);
        config_unref(base);
        base = fewer;
        assert_int_equal(config_without(base, "b", &fewer), 0);
        assert_int_equal(config_without(fewer, "c", &none), 0);
        assert_int_equal(none->n_services, 0);
        assert_null(config_find_service(none, "c"));
        config_unref(base);
        config_unref(fewer);
        config_unref(none);
}

/* A copy owns everything that its pointers lead to. */
static void copies_are_whole(void **state)
{
        struct config *base = load_three();
        struct service_config *copy = copy_of(base, "c"), *again = NULL;

        (void)state;
        config_unref(base);
        assert_int_equal(service_config_copy("d", copy, &again), 0);
        service_config_unref(copy);
        assert_string_equal(again->name, "d");
        assert_true(again->enabled);
        assert_int_equal(again->n_listen, 2);
        assert_int_equal(address_port(&again->listen[1]), 2);
        assert_int_equal(again->n_upstreams, 2);
        assert_string_equal(again->upstreams[0].text, "127.0.0.1:3");
        assert_null(again->upstreams[0].host);
        assert_string_equal(again->upstreams[1].host, "a.example");
        assert_int_equal(again->upstreams[1].port, 4);
        assert_int_equal(again->n_proxy_from, 1);
        assert_int_equal(again->conditions[TO_CLIENT].n, 2);
        assert_string_equal(again->conditions[TO_CLIENT].groups[0].name, "slow");
        assert_int_equal(again->conditions[TO_CLIENT].groups[1].rate, 1000);
        assert_true(again->conditions[TO_CLIENT].groups[1].shared);
        assert_int_equal(again->conditions[TO_UPSTREAM].n, 0);
        service_config_unref(again);
}

/* A configuration without a file has the same defaults as one from a file. */
static void defaults(void **state)
{
        struct config *config = NULL, *loaded = NULL;
        struct service_config *service = NULL;

        (void)state;
        forget_mistakes();
        write_text("conf", "services = { a = { listen = \"127.0.0.1:0\"; }; };");
        assert_int_equal(config_load("conf", collect_mistake, NULL, &loaded), 0);
        assert_int_equal(config_new(&config), 0);
        assert_null(config->path);
        assert_int_equal(config->n_services, 0);
        assert_null(config_find_service(config, "a"));
        assert_int_equal(config->drain_timeout_usec, loaded->drain_timeout_usec);
        assert_string_equal(config->backend, loaded->backend);
        assert_int_equal(config->workers, loaded->workers);

        assert_int_equal(service_config_new("a", &service), 0);
        assert_true(service->enabled);
        assert_int_equal(service->backlog, loaded->services[0]->backlog);
        assert_int_equal(service->hold_bytes, loaded->services[0]->hold_bytes);
        assert_false(service->socket.urgent_inline);
        service_config_set_mode(service, SERVICE_RELAY);
        assert_int_equal(service->mode, SERVICE_RELAY);
        assert_true(service->socket.urgent_inline);
        service_config_unref(service);
        config_unref(config);
        config_unref(loaded);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(replace),          cmocka_unit_test(add),
                cmocka_unit_test(add_in_any_place), cmocka_unit_test(leave_out),
                cmocka_unit_test(defaults),         cmocka_unit_test(copies_are_whole),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
