/* SPDX-License-Identifier: MIT */
/*
 * The configuration as a whole: the files that the project ships, the defaults, and references.
 */
#include "config_fixture.h"

static void expect_echo(const struct config *c, const char *listen, uint64_t backlog)
{
        struct address address;

        assert_int_equal(address_parse(listen, &address), 0);
        assert_int_equal(c->n_services, 1);
        assert_string_equal(c->services[0]->name, "echo");
        assert_int_equal(c->services[0]->mode, SERVICE_ECHO);
        assert_int_equal(c->services[0]->n_listen, 1);
        assert_true(address_equal(&c->services[0]->listen[0], &address));
        assert_int_equal(c->services[0]->backlog, backlog);
        assert_int_equal(c->services[0]->message_bytes, 1024);
        assert_int_equal(c->services[0]->idle_timeout_usec, 0);
        assert_int_equal(c->services[0]->socket.keepalive_usec, 120 * USEC_PER_SEC);
        assert_int_equal(c->services[0]->socket.user_timeout_usec, 0);
        assert_int_equal(c->services[0]->socket.receive_buffer_bytes, 4 * 1024 * 1024);
        assert_int_equal(c->services[0]->socket.send_buffer_bytes, 512 * 1024);
        assert_int_equal(c->services[0]->hold_bytes, 1024 * 1024);
        assert_int_equal(c->services[0]->connect_delay_usec, 0);
        assert_int_equal(c->services[0]->max_dialing, 1024);
        assert_int_equal(c->services[0]->conditions[TO_CLIENT].n, 0);
        assert_int_equal(c->services[0]->conditions[TO_UPSTREAM].n, 0);
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
        assert_int_equal(c->services[0]->send_delay_usec, 0);
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
        for (size_t d = 0; d < DIRECTIONS; d++) {
                for (size_t i = 0; i < one->conditions[d].n; i++)
                        assert_memory_equal(&one->conditions[d].groups[i], &conditions_none,
                                            sizeof(conditions_none));
                assert_int_equal(other->conditions[d].n, 0);
                a.conditions[d] = b.conditions[d] = (struct condition_list){ 0 };
        }
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

/* The commented-out examples in the shipped file repeat the defaults. */
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
                assert_string_equal(examples->services[i]->name, config->services[i]->name);
                expect_same_values(examples->services[i], config->services[i]);
        }
        expect_same_top(examples, config);
        config_unref(examples);
}

static void article(void **state)
{
        (void)state;
        assert_int_equal(load(SOURCE_DIR "/conf/article.conf"), 0);
        expect_echo(config, "127.0.0.1:8008", 10);
        assert_string_equal(config->backend, "select");
        assert_int_equal(config->services[0]->send_delay_usec, 5 * USEC_PER_SEC);
        assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
        assert_true(config->log_payload);
}

static void references(void **state)
{
        char *path;

        (void)state;
        expect_legal(TOP(""));
        assert_ptr_equal(config_ref(config), config);
        assert_null(config_unref(config));
        assert_string_equal(config->services[0]->name, "echo"); /* still there */
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
                CONFIG_TEST(defaults),
                CONFIG_TEST(examples_are_harmless),
                CONFIG_TEST(article),
                CONFIG_TEST(references),
        };

        return run_config_tests(tests);
}
