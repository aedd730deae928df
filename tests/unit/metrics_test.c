/* SPDX-License-Identifier: MIT */
/*
 * The text of the metrics: families, rows, labels and their escaping, for several services and
 * proxies of a server that only has counters.
 */
#include "control.h"
#include "counter.h"
#include "endpoint.h"
#include "metrics.h"
#include "turning.h"

#include <errno.h>

#define WORKERS 2

/* Names in the order of the services. The second has every character that must be escaped. */
static const char *const names[] = { "a", "b\"\\\n", "echo" };

static struct control *control;
static struct config *force;
static struct service *services[ELEMENTS(names)];
static size_t n_services;
static char *text;
static size_t length;

static const struct config *target_config(void *arg)
{
        (void)arg;
        return force;
}

static bool target_bound(void *arg, const char *service, struct address *out)
{
        (void)arg;
        (void)service;
        assert_int_equal(address_parse("127.0.0.1:40000", out), 0);
        return true;
}

static struct service *const *target_services(void *arg, size_t *n)
{
        (void)arg;
        *n = n_services;
        return services;
}

static void target_count(void *arg, struct control_totals *out)
{
        (void)arg;
        *out = (struct control_totals){ 3, 2, UINT64_MAX };
}

static const struct control_target target = {
        .config = target_config,
        .bound = target_bound,
        .services = target_services,
        .count = target_count,
};

/* Adds a service to the configuration in force. @upstream: NULL: none. */
static void add_service(const char *name, enum service_mode mode, const char *upstream)
{
        struct service_config *service;
        struct config *before = force;

        assert_int_equal(service_new(name, WORKERS, &services[n_services++]), 0);
        assert_int_equal(service_config_new(name, &service), 0);
        service_config_set_mode(service, mode);
        free(service->listen);
        service->listen = calloc(1, sizeof(*service->listen));
        service->n_listen = 1;
        assert_int_equal(address_parse("127.0.0.1:0", service->listen), 0);
        if (upstream) {
                free(service->upstreams);
                service->upstreams = calloc(1, sizeof(*service->upstreams));
                service->n_upstreams = 1;
                assert_int_equal(endpoint_parse_upstream(upstream, service->upstreams), 0);
        }
        assert_int_equal(config_with(before, service, &force), 0);
        config_unref(before);
        service_config_unref(service);
}

static int make(void **state)
{
        if (start_loop(state) < 0)
                return -1;
        assert_int_equal(config_new(&force), 0);
        assert_int_equal(control_new(loop, &target, NULL, &control), 0);
        n_services = 0;
        return 0;
}

static int release(void **state)
{
        while (n_services > 0)
                service_unref(services[--n_services]);
        force = config_unref(force);
        control = control_free(control);
        free(text);
        text = NULL;
        return stop_loop(state);
}

static void add_services(void)
{
        add_service(names[0], SERVICE_RELAY, "localhost:1");
        add_service(names[1], SERVICE_RELAY, "unix:/a\"b");
        add_service(names[2], SERVICE_ECHO, NULL);
}

static struct counters *counters(size_t service, size_t worker)
{
        return &service_shard(services[service], worker)->counters;
}

static void write_metrics(void)
{
        free(text);
        assert_int_equal(metrics_write(control, &text, &length), 0);
        assert_int_equal(strlen(text), length);
}

/* Fails unless the text has this line once. */
static void expect_line(const char *line)
{
        char whole[512];

        (void)snprintf(whole, sizeof(whole), "\n%s\n", line);
        if (count_words(text, whole) != 1)
                fail_msg("expected the line %s once in:\n%s", line, text);
}

static void test_the_process(void **state)
{
        (void)state;
        write_metrics();
        assert_string_equal(
                text,
                "# HELP selectd_build_info The version of selectd. The value is 1.\n"
                "# TYPE selectd_build_info gauge\n"
                "selectd_build_info{version=\"" SELECTD_VERSION "\"} 1\n"
                "# HELP selectd_reloads_total Reloads of the configuration file.\n"
                "# TYPE selectd_reloads_total counter\n"
                "selectd_reloads_total{result=\"success\"} 3\n"
                "selectd_reloads_total{result=\"failure\"} 2\n"
                "# HELP selectd_log_records_lost_total Log records that were lost because they "
                "could not be written.\n"
                "# TYPE selectd_log_records_lost_total counter\n"
                "selectd_log_records_lost_total 18446744073709551615\n");
}

/* What the workers and the main thread have counted is added up. */
static void test_services(void **state)
{
        struct counters *first, *second;

        (void)state;
        add_services();
        first = counters(2, 0);
        second = counters(2, 1);
        counter_add(&first->accepted, 5);
        counter_add(&second->accepted, 2);
        counter_add(&first->closed[REASON_END_OF_STREAM], 1);
        counter_add(&second->closed[REASON_RESET_AFTER], 3);
        counter_add(&first->client.received, 10);
        counter_add(&second->client.sent, 7);
        counter_add(&first->upstream.received, 20);
        counter_add(&second->upstream.sent, 30);
        counter_add(&first->client.held, 100);
        counter_add(&first->client.held, (uint64_t)-40);
        counter_add(&second->upstream.held, 50);
        counter_add(&first->failed_dials, 4);
        counters_count_faults(second, FAULT_LATENCY | FAULT_DISCARD);
        service_count_turned_away(services[2], TURNED_AWAY_LIMIT);
        write_metrics();
        expect_line("selectd_connections_open{service=\"echo\"} 3");
        expect_line("selectd_connections_open{service=\"a\"} 0");
        expect_line("selectd_connections_accepted_total{service=\"echo\"} 7");
        expect_line("selectd_connections_turned_away_total{reason=\"limit\",service=\"echo\"} 1");
        expect_line("selectd_connections_turned_away_total{reason=\"error\",service=\"echo\"} 0");
        expect_line(
                "selectd_connections_closed_total{reason=\"end_of_stream\",service=\"echo\"} 1");
        expect_line("selectd_connections_closed_total{reason=\"reset_after\",service=\"echo\"} 3");
        expect_line("selectd_received_bytes_total{direction=\"from_client\",service=\"echo\"} 10");
        expect_line(
                "selectd_received_bytes_total{direction=\"from_upstream\",service=\"echo\"} 20");
        expect_line("selectd_sent_bytes_total{direction=\"to_client\",service=\"echo\"} 7");
        expect_line("selectd_sent_bytes_total{direction=\"to_upstream\",service=\"echo\"} 30");
        expect_line("selectd_held_bytes{direction=\"to_client\",service=\"echo\"} 60");
        expect_line("selectd_held_bytes{direction=\"to_upstream\",service=\"echo\"} 50");
        expect_line("selectd_faults_total{kind=\"latency\",service=\"echo\"} 1");
        expect_line("selectd_faults_total{kind=\"discard\",service=\"echo\"} 1");
        expect_line("selectd_faults_total{kind=\"rate\",service=\"echo\"} 0");
        expect_line("selectd_upstream_dials_failed_total{service=\"echo\"} 4");
}

#define PROXY(stream)                                                                  \
        "{direction=\"" stream "\",listener=\"127.0.0.1:40000\",proxy=\"a\",upstream=" \
        "\"localhost:1\"}"

static void test_proxies(void **state)
{
        struct counters *first;

        (void)state;
        add_services();
        first = counters(0, 0);
        counter_add(&first->client.received, 1);
        counter_add(&first->upstream.sent, 2);
        counter_add(&first->upstream.received, 3);
        counter_add(&first->client.sent, 4);
        write_metrics();
        expect_line("toxiproxy_proxy_received_bytes_total" PROXY("upstream") " 1");
        expect_line("toxiproxy_proxy_sent_bytes_total" PROXY("upstream") " 2");
        expect_line("toxiproxy_proxy_received_bytes_total" PROXY("downstream") " 3");
        expect_line("toxiproxy_proxy_sent_bytes_total" PROXY("downstream") " 4");
        assert_null(strstr(text, "proxy=\"echo\""));
}

static void test_escaping(void **state)
{
        (void)state;
        add_services();
        write_metrics();
        expect_line("selectd_connections_open{service=\"b\\\"\\\\\\n\"} 0");
        /* The text of an upstream is escaped for the log already. */
        expect_line("toxiproxy_proxy_sent_bytes_total{direction=\"upstream\","
                    "listener=\"127.0.0.1:40000\",proxy=\"b\\\"\\\\\\n\","
                    "upstream=\"unix:/a\\\\\\\"b\"} 0");
}

/* A removed service whose connections have not ended is no proxy any more. */
static void test_a_removed_service(void **state)
{
        struct config *before;

        (void)state;
        add_services();
        before = force;
        assert_int_equal(config_without(before, "a", &force), 0);
        config_unref(before);
        counter_add(&counters(0, 0)->accepted, 1);
        write_metrics();
        expect_line("selectd_connections_open{service=\"a\"} 1");
        assert_null(strstr(text, "proxy=\"a\""));
}

/* Each family is introduced once, and its rows follow at once. No row occurs twice. */
static void test_families(void **state)
{
        char family[128] = "";
        unsigned families = 0;
        char *line, *rest;

        (void)state;
        add_services();
        write_metrics();
        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                const size_t n = strcspn(line, "{ ");

                if (strncmp(line, "# HELP ", 7) == 0) {
                        assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
                        families++;
                } else if (line[0] == '#') {
                        char type[160];

                        (void)snprintf(type, sizeof(type), "# TYPE %s %s", family,
                                       strstr(family, "_total") ? "counter" : "gauge");
                        assert_string_equal(line, type);
                } else {
                        assert_int_equal(n, strlen(family));
                        assert_memory_equal(line, family, n);
                }
        }
        assert_int_equal(families, 14);
}

/* Each reason has a row for each service. */
static void test_every_reason(void **state)
{
        char line[256];

        (void)state;
        add_services();
        write_metrics();
        for (unsigned i = 0; i < REASONS; i++) {
                (void)snprintf(line, sizeof(line),
                               "selectd_connections_closed_total{reason=\"%s\",service=\"a\"} 0",
                               reason_name(i));
                expect_line(line);
        }
        for (size_t i = 0; i < FAULT_KINDS; i++) {
                (void)snprintf(line, sizeof(line),
                               "selectd_faults_total{kind=\"%s\",service=\"echo\"} 0",
                               conditions_fault_name(i));
                expect_line(line);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_process, make, release),
                cmocka_unit_test_setup_teardown(test_services, make, release),
                cmocka_unit_test_setup_teardown(test_proxies, make, release),
                cmocka_unit_test_setup_teardown(test_escaping, make, release),
                cmocka_unit_test_setup_teardown(test_a_removed_service, make, release),
                cmocka_unit_test_setup_teardown(test_families, make, release),
                cmocka_unit_test_setup_teardown(test_every_reason, make, release),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
