/* SPDX-License-Identifier: MIT */
/*
 * The control interface with a server that only accepts configurations: the configurations that it
 * makes, its steps, and its answers.
 */
#include "config.h"
#include "control.h"
#include "turning.h"

#include <arpa/inet.h>
#include <errno.h>

#define SYSTEM_PORT 40000 /* the port that the system chooses for port 0 */

static struct control *control;
static struct address address; /* of the control interface */
static struct config *force;
static struct loop_task applied;
static char steps[1024];       /* the applied steps: "+a" enabled, "-a" disabled, "!a" removed */
static const char *unbindable; /* a service that cannot listen */

static const struct config *target_config(void *arg)
{
        (void)arg;
        return force;
}

static void on_applied(struct loop_task *task)
{
        (void)task;
        control_applied(control);
}

/* Records how a service differs between two configurations. */
static void note_difference(const struct config *config)
{
        size_t n = strlen(steps);

        for (size_t i = 0; i < config->n_services; i++)
                if (config_find_service(force, config->services[i]->name) != config->services[i])
                        n += (size_t)snprintf(steps + n, sizeof(steps) - n, "%c%s ",
                                              config->services[i]->enabled ? '+' : '-',
                                              config->services[i]->name);
        for (size_t i = 0; i < force->n_services; i++)
                if (!config_find_service(config, force->services[i]->name))
                        n += (size_t)snprintf(steps + n, sizeof(steps) - n, "!%s ",
                                              force->services[i]->name);
}

static int target_apply(void *arg, struct config *config, char *why)
{
        const struct service_config *service =
                unbindable ? config_find_service(config, unbindable) : NULL;

        (void)arg;
        if (service && service->enabled) {
                (void)snprintf(why, CONTROL_WHY_SIZE, "it cannot listen");
                return -EADDRINUSE;
        }
        note_difference(config);
        config_ref(config);
        config_unref(force);
        force = config;
        loop_defer(loop, &applied);
        return 0;
}

static bool target_bound(void *arg, const char *name, struct address *out)
{
        const struct service_config *service = config_find_service(force, name);

        (void)arg;
        if (!service)
                return false;
        *out = service->listen[0];
        if (service->enabled && address_port(out) == 0)
                address_set_port(out, SYSTEM_PORT);
        return service->enabled;
}

static const char *target_taken(void *arg, const struct address *to, const char *service)
{
        (void)arg;
        (void)to;
        (void)service;
        return NULL;
}

static const struct control_target target = {
        .config = target_config,
        .apply = target_apply,
        .bound = target_bound,
        .taken = target_taken,
};

static int start(void **state)
{
        const struct socket_access access = { .mode = 0600 };
        struct address any;

        if (start_loop(state) < 0)
                return -1;
        applied.run = on_applied;
        steps[0] = '\0';
        unbindable = NULL;
        assert_int_equal(config_new(&force), 0);
        assert_int_equal(address_parse("127.0.0.1:0", &any), 0);
        assert_int_equal(control_new(loop, &target, NULL, &control), 0);
        assert_int_equal(control_listen(control, &any, &access, &address), 0);
        return 0;
}

static int stop(void **state)
{
        control = control_free(control);
        force = config_unref(force);
        return stop_loop(state);
}

/* Clients */

static char answered[65536];

static int ask_later(const char *method, const char *path, const char *body)
{
        char text[8192];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int n = snprintf(text, sizeof(text),
                         "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         "Content-Length: %zu\r\n\r\n%s",
                         method, path, strlen(body), body);

        assert_int_equal(connect(fd, &address.sa, address.length), 0);
        assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
        assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
        return fd;
}

/* Waits for the answer. Return: its body. */
static const char *answer_of(int fd, int status)
{
        size_t n = 0;
        ssize_t got;
        char *body;

        do {
                turn();
                got = recv(fd, answered + n, sizeof(answered) - 1 - n, 0);
                n += got > 0 ? (size_t)got : 0;
        } while (got > 0 || (got < 0 && errno == EAGAIN));
        answered[n] = '\0';
        assert_int_equal(close(fd), 0);
        if (n < 12 || strtol(answered + 9, NULL, 10) != status)
                fail_msg("expected %d, got: %s", status, answered);
        body = strstr(answered, "\r\n\r\n");
        assert_non_null(body);
        return body + 4;
}

static void expect(const char *method, const char *path, const char *body, int status,
                   const char *expected)
{
        const char *got = answer_of(ask_later(method, path, body), status);

        if (strcmp(got, expected) != 0)
                fail_msg("%s %s: expected %s, got %s", method, path, expected, got);
}

static void expect_steps(const char *expected)
{
        assert_string_equal(steps, expected);
        steps[0] = '\0';
}

#define A "{\"name\":\"a\",\"listen\":\"localhost:0\",\"upstream\":\"localhost:1\"}"
#define A_IS(enabled, toxics)                                                          \
        "{\"name\":\"a\",\"listen\":\"127.0.0.1:40000\",\"upstream\":\"localhost:1\"," \
        "\"enabled\":" enabled ",\"toxics\":[" toxics "]}"
#define LATENCY(ms)                                                                          \
        "{\"attributes\":{\"latency\":" ms ",\"jitter\":0},\"name\":\"latency_downstream\"," \
        "\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":1}"

static const struct condition_list *groups(const char *name, enum direction direction)
{
        return &config_find_service(force, name)->conditions[direction];
}

static void test_a_proxy_lives(void **state)
{
        (void)state;
        expect("GET", "/proxies", "", 200, "{}");
        expect("POST", "/proxies", A, 201, A_IS("true", ""));
        expect_steps("+a ");
        expect("GET", "/proxies", "", 200, "{\"a\":" A_IS("true", "") "}");
        expect("POST", "/proxies", A, 409, "{\"error\":\"proxy already exists\",\"status\":409}\n");
        expect("POST", "/proxies/a", "{\"enabled\":true,\"listen\":\"127.0.0.1:40000\"}", 200,
               A_IS("true", ""));
        expect_steps("");
        expect("PATCH", "/proxies/a", "{\"enabled\":false}", 200, A_IS("false", ""));
        expect_steps("-a ");
        expect("PATCH", "/proxies/a", "{\"enabled\":true}", 200, A_IS("true", ""));
        expect_steps("+a ");
        assert_int_equal(address_port(&config_find_service(force, "a")->listen[0]), SYSTEM_PORT);
        expect("POST", "/proxies/a", "{\"upstream\":\"localhost:2\"}", 200,
               "{\"name\":\"a\",\"listen\":\"127.0.0.1:40000\",\"upstream\":\"localhost:2\","
               "\"enabled\":true,\"toxics\":[]}");
        expect_steps("-a +a ");
        expect("DELETE", "/proxies/a", "", 204, "");
        expect_steps("-a !a ");
        expect("GET", "/proxies/a", "", 404, "{\"error\":\"proxy not found\",\"status\":404}\n");
        expect("DELETE", "/proxies/a", "", 404, "{\"error\":\"proxy not found\",\"status\":404}\n");
}

static void test_a_toxic_lives(void **state)
{
        static const char one[] = "{\"type\":\"latency\",\"attributes\":{\"latency\":5}}";

        (void)state;
        expect("POST", "/proxies", A, 201, A_IS("true", ""));
        expect("POST", "/proxies/a/toxics", one, 200, LATENCY("5"));
        assert_int_equal(groups("a", TO_CLIENT)->n, 1);
        assert_int_equal(groups("a", TO_CLIENT)->groups[0].latency_usec, 5000);
        assert_int_equal(groups("a", TO_CLIENT)->groups[0].version, 1);
        expect("POST", "/proxies/a/toxics", one, 409,
               "{\"error\":\"toxic already exists\",\"status\":409}\n");
        expect("POST", "/proxies/a/toxics", "{\"type\":\"noop\",\"stream\":\"UPSTREAM\"}", 200,
               "{\"attributes\":{},\"name\":\"noop_UPSTREAM\",\"type\":\"noop\","
               "\"stream\":\"UPSTREAM\",\"toxicity\":1}");
        expect("GET", "/proxies/a", "", 200,
               A_IS("true", "{\"attributes\":{},\"name\":\"noop_UPSTREAM\",\"type\":\"noop\","
                            "\"stream\":\"UPSTREAM\",\"toxicity\":1}," LATENCY("5")));
        expect("POST", "/proxies/a/toxics/latency_downstream", "{\"attributes\":{\"latency\":6}}",
               200, LATENCY("6"));
        assert_int_equal(groups("a", TO_CLIENT)->groups[0].version, 3);
        expect("DELETE", "/proxies/a/toxics/noop_UPSTREAM", "", 204, "");
        expect("GET", "/proxies/a/toxics", "", 200, "[" LATENCY("6") "]");
        expect("GET", "/proxies/a/toxics/latency_downstream", "", 200, LATENCY("6"));
        expect("GET", "/proxies/a/toxics/x", "", 404,
               "{\"error\":\"toxic not found\",\"status\":404}\n");
        expect_steps("+a +a +a +a +a ");
        expect("POST", "/proxies/a", "{\"enabled\":false}", 200, A_IS("false", LATENCY("6")));
        expect("POST", "/reset", "", 204, "");
        expect("GET", "/proxies/a", "", 200, A_IS("true", ""));
        assert_int_equal(groups("a", TO_CLIENT)->n, 0);
}

static void test_a_service_that_cannot_listen(void **state)
{
        (void)state;
        unbindable = "a";
        expect("POST", "/proxies", A, 500, "{\"error\":\"it cannot listen\",\"status\":500}\n");
        expect("GET", "/proxies", "", 200, "{}");
        unbindable = NULL;
        expect("POST", "/proxies", A, 201, A_IS("true", ""));
        expect_steps("+a ");
        unbindable = "a";
        expect("POST", "/proxies/a", "{\"listen\":\"127.0.0.1:5\"}", 500,
               "{\"error\":\"it cannot listen\",\"status\":500}\n");
        expect_steps("-a -a ");
        expect("GET", "/proxies/a", "", 200,
               "{\"name\":\"a\",\"listen\":\"127.0.0.1:5\",\"upstream\":\"localhost:1\","
               "\"enabled\":false,\"toxics\":[]}");
        expect("POST", "/reset", "", 500, "{\"error\":\"it cannot listen\",\"status\":500}\n");
}

static void test_populate(void **state)
{
        static const char two[] =
                "[{\"name\":\"b\",\"listen\":\"127.0.0.1:7\",\"upstream\":\"localhost:1\"},"
                "{\"name\":\"a\",\"listen\":\"localhost:0\",\"upstream\":\"localhost:1\","
                "\"toxics\":[{\"type\":\"latency\",\"attributes\":{\"latency\":5}}]}]";
        static const char b[] =
                "{\"name\":\"b\",\"listen\":\"127.0.0.1:7\",\"upstream\":\"localhost:1\","
                "\"enabled\":true,\"toxics\":[]}";
        char expected[1024];

        (void)state;
        expect("POST", "/populate", "[]", 201, "{\"proxies\":null}");
        (void)snprintf(expected, sizeof(expected), "{\"proxies\":[%s,%s]}", b,
                       A_IS("true", LATENCY("5")));
        expect("POST", "/populate", two, 201, expected);
        expect_steps("+b +a ");
        expect("POST", "/populate", two, 201, expected);
        expect_steps("-a +a ");
        expect("POST", "/populate", "[" A ",{\"name\":\"c\"}]", 400,
               "{\"error\":\"missing required field: upstream at proxy 2\",\"status\":400,"
               "\"proxies\":null}");
        expect_steps("");
        unbindable = "a";
        (void)snprintf(expected, sizeof(expected),
                       "{\"error\":\"it cannot listen\",\"status\":500,\"proxies\":[%s]}", b);
        expect("POST", "/populate", two, 500, expected);
        expect_steps("-a -a ");
}

/* Changes that are requested at the same time are made one after the other. */
static void test_many_at_once(void **state)
{
        int fds[20];

        (void)state;
        expect("POST", "/proxies", A, 201, A_IS("true", ""));
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = ask_later("POST", "/proxies/a/toxics", "{\"type\":\"noop\"}");
        (void)answer_of(fds[0], 200);
        for (size_t i = 1; i < ELEMENTS(fds); i++)
                (void)answer_of(fds[i], 409);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = ask_later("POST", "/proxies/a",
                                   i % 2 ? "{\"upstream\":\"localhost:1\"}"
                                         : "{\"upstream\":\"localhost:2\"}");
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                (void)answer_of(fds[i], 200);
}

/* A reload keeps services that were made by requests, and resets those of the file. */
static void test_reload(void **state)
{
        struct service_config *service;
        struct config *file, *merged;
        struct address listen;

        (void)state;
        assert_int_equal(address_parse("127.0.0.1:9", &listen), 0);
        expect("POST", "/proxies", A, 201, A_IS("true", ""));
        expect("POST", "/proxies/a/toxics", "{\"type\":\"latency\",\"attributes\":{\"latency\":5}}",
               200, LATENCY("5"));
        assert_int_equal(service_config_new("f", &service), 0);
        service->listen = calloc(1, sizeof(*service->listen));
        service->listen[0] = listen;
        service->n_listen = 1;
        assert_int_equal(config_new(&merged), 0);
        assert_int_equal(config_with(merged, service, &file), 0);
        config_unref(merged);
        service_config_unref(service);
        assert_int_equal(control_keep(control, file, &merged), 0);
        assert_int_equal(merged->n_services, 2);
        assert_ptr_equal(config_find_service(merged, "a"), config_find_service(force, "a"));
        config_unref(force);
        force = merged;
        expect("GET", "/proxies/a", "", 200, A_IS("true", LATENCY("5")));
        config_unref(file);
}

static void test_load(void **state)
{
        static const char text[] =
                "[{\"name\":\"a\",\"listen\":\"localhost:0\",\"upstream\":\"localhost:1\","
                "\"toxics\":[{\"type\":\"latency\",\"attributes\":{\"latency\":5}}]}]";
        char why[CONTROL_WHY_SIZE];
        struct config *config;

        (void)state;
        write_bytes("good.json", text, strlen(text));
        write_bytes("bad.json", "[{}]", 4);
        write_bytes("empty.json", "", 0);
        assert_int_equal(control_load(control, "none.json", force, &config, why), -ENOENT);
        assert_int_equal(control_load(control, "bad.json", force, &config, why), -EINVAL);
        assert_string_equal(why, "bad.json: missing required field: name at proxy 1");
        assert_int_equal(control_load(control, "empty.json", force, &config, why), -EINVAL);
        assert_int_equal(control_load(control, "good.json", force, &config, why), 0);
        config_unref(force);
        force = config;
        expect("GET", "/proxies/a", "", 200, A_IS("true", LATENCY("5")));
}

static void test_routes(void **state)
{
        static const char *const unknown[] = { "/", "/x", "/proxies/", "/proxies/a/x",
                                               "/version/" };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(unknown); i++)
                expect("GET", unknown[i], "", 404, "404 page not found\n");
        expect("PUT", "/proxies", "", 405, "");
        expect("DELETE", "/proxies", "", 405, "");
        expect("GET", "/reset", "", 405, "");
        expect("PATCH", "/populate", "", 405, "");
        expect("POST", "/version", "", 405, "");
        expect("GET", "/version", "", 200,
               "{\"version\": \"2.12.0\", \"selectd\": \"" SELECTD_VERSION "\"}\n");
        expect("POST", "/proxies", "", 400,
               "{\"error\":\"bad request body: line 1, column 0: it ends too early\","
               "\"status\":400}\n");
        expect("POST", "/proxies", "{}", 400,
               "{\"error\":\"missing required field: name\",\"status\":400}\n");
        expect("POST", "/proxies", "{\"name\":\"a\"}", 400,
               "{\"error\":\"missing required field: upstream\",\"status\":400}\n");
}

/* Names of proxies are any text. Names of services are printable. */
static void test_names(void **state)
{
        (void)state;
        expect("POST", "/proxies",
               "{\"name\":\"a/b:@\xc3\xa9\\n\",\"listen\":\"\",\"upstream\":\"localhost:1\"}", 201,
               "{\"name\":\"a/b:@\xc3\xa9\\n\",\"listen\":\"[::]:40000\","
               "\"upstream\":\"localhost:1\",\"enabled\":true,\"toxics\":[]}");
        expect_steps("+a/b:@\\xc3\\xa9\\n ");
        expect("DELETE", "/proxies/a%2Fb:@%C3%A9%0A", "", 204, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
        const struct CMUnitTest tests[] = {
                TEST(test_a_proxy_lives),
                TEST(test_a_toxic_lives),
                TEST(test_a_service_that_cannot_listen),
                TEST(test_populate),
                TEST(test_many_at_once),
                TEST(test_reload),
                TEST(test_load),
                TEST(test_routes),
                TEST(test_names),
        };

        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
