/* SPDX-License-Identifier: MIT */
/*
 * Serving: serving_apply() makes, changes, disables, enables and removes services with their
 * sockets, workers and connections, and a failure changes nothing.
 */
#include "mistakes.h"
#include "serving.h"
#include "turning.h"

#include <errno.h>

static const char *n_workers; /* for the tests that run now */

static struct workers workers;
static struct serving serving;
static char why[SERVING_WHY_SIZE];
static char listen_at[32]; /* an address that nobody listens on, for the service "it" */
static uint64_t last_id;

/* The owner */

static void on_accept(void *arg, struct service *service, struct service_config *config, int fd,
                      const struct address *peer)
{
        const struct client client = {
                .service = service,
                .config = config,
                .peer = *peer,
                .id = ++last_id,
                .fd = fd,
        };

        (void)arg;
        worker_admit(workers_choose(&workers, config), &client);
}

static void on_retired(void *arg)
{
        (void)arg;
}

static void on_ended(void *arg)
{
        (void)arg;
}

static void on_refused(void *arg, struct service *service, const char *client, int error)
{
        (void)arg;
        fail_msg("%s: %s: %d", service_name(service), client, error);
}

static void on_applied(void *arg)
{
        (void)arg;
        serving_check(&serving);
}

static void on_failed(void *arg)
{
        (void)arg;
        fail();
}

static const struct listeners_events listeners_events = { on_accept, on_retired };
static const struct worker_events worker_events = { on_ended, on_refused, on_applied, on_failed };

/* A wait */

static unsigned n_waited;

static void on_waited(struct apply_wait *wait)
{
        assert_false(apply_wait_is_set(wait));
        n_waited++;
}

static struct apply_wait wait = { .on_applied = on_waited };

/* Configurations */

/* Return: a configuration with these services. */
_printf_(1, 2) static struct config *load(const char *format, ...)
{
        char services[1024], text[2048];
        struct config *config = NULL;
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(services, sizeof(services), format, arguments);
        va_end(arguments);
        (void)snprintf(text, sizeof(text), "workers = %s; services = { %s };", n_workers, services);
        write_text("conf", text);
        forget_mistakes();
        if (config_load("conf", collect_mistake, NULL, &config) != 0)
                fail_msg("%s", mistakes);
        return config;
}

/* Applies a configuration, which is consumed, and waits until it is in force everywhere. */
static void apply(struct config *config)
{
        unsigned before = n_waited;

        if (serving_apply(&serving, config, &wait, why) != 0)
                fail_msg("%s", why);
        assert_int_equal(n_waited, before); /* not within the call */
        config_unref(config);
        turn_until(n_waited > before);
}

/* Return: the configuration in force, in which "it" is enabled or not. */
static struct config *with_enabled(bool enabled)
{
        struct service_config *service = NULL;
        struct config *config = NULL;

        assert_int_equal(service_config_copy("it", config_find_service(serving.config, "it"),
                                             &service),
                         0);
        service->enabled = enabled;
        assert_int_equal(config_with(serving.config, service, &config), 0);
        service_config_unref(service);
        return config;
}

/* Sockets */

static void address_of(const char *text, struct address *out)
{
        assert_int_equal(address_parse(text, out), 0);
}

/* Return: a socket that is bound to @text. */
static int bind_to(const char *text, struct address *address)
{
        const int one = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        address_of(text, address);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        assert_int_equal(bind(fd, &address->sa, address->length), 0);
        assert_int_equal(getsockname(fd, &address->sa, &address->length), 0);
        return fd;
}

/* Return: a connected socket; -1: refused. */
static int try_to_connect(void)
{
        struct address address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        address_of(listen_at, &address);
        if (connect(fd, &address.sa, address.length) == 0)
                return fd;
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(close(fd), 0);
        return -1;
}

/* Return: a socket that the echo "it" has answered. */
static int talk(void)
{
        int fd = try_to_connect();
        char byte = 'x';

        assert_true(fd >= 0);
        assert_int_equal(send(fd, &byte, 1, 0), 1);
        turn_until(recv(fd, &byte, 1, MSG_DONTWAIT) == 1);
        return fd;
}

/* The connection has ended, in order or by a reset. */
static void expect_end(int fd)
{
        char byte;

        turn_until(recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN);
        assert_int_equal(close(fd), 0);
}

static struct counters counted(void)
{
        struct counters sum;

        service_count(registry_find(&serving.registry, "it"), &sum);
        return sum;
}

/* Life */

static int start(void **state)
{
        struct config *config;
        struct address address;
        int fd;

        if (start_loop(state) < 0 || loop_open_posts(loop) < 0)
                return -1;
        fd = bind_to("127.0.0.1:0", &address);
        (void)snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", address_port(&address));
        (void)close(fd);
        config = load("it = { listen = \"%s\"; };", listen_at);
        memset(&workers, 0, sizeof(workers));
        memset(&serving, 0, sizeof(serving));
        last_id = 0;
        if (workers_start(&workers, config, loop, &worker_events, NULL) < 0 ||
            serving_init(&serving, loop, &workers, &listeners_events, NULL, why) < 0)
                return -1;
        apply(config);
        return 0;
}

static int stop(void **state)
{
        serving.listeners = listeners_free(serving.listeners);
        if (workers_stop(&workers, now_usec() + DEADLINE_USEC) > 0)
                return -1;
        serving_deinit(&serving);
        workers_free(&workers);
        return stop_loop(state);
}

/* Tests */

/* A disabled service refuses at once, and has no connections once all workers are current. */
static void disable(void **state)
{
        int fds[3];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = talk();
        apply(with_enabled(false));
        assert_int_equal(counted().closed[REASON_DISABLED], 3);
        assert_int_equal(try_to_connect(), -1);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                expect_end(fds[i]);

        apply(with_enabled(true)); /* at the same address */
        assert_int_equal(close(talk()), 0);
        assert_int_equal(counted().accepted, 4); /* it is the same service */
}

/* Clients that come after the service has been enabled again stay. */
static void disable_and_enable_at_once(void **state)
{
        struct config *disabled, *enabled;
        int old = talk(), new;

        (void)state;
        disabled = with_enabled(false);
        assert_int_equal(serving_apply(&serving, disabled, NULL, why), 0);
        config_unref(disabled);
        enabled = with_enabled(true);
        assert_int_equal(serving_apply(&serving, enabled, NULL, why), 0);
        config_unref(enabled);
        new = talk();
        expect_end(old);
        assert_int_equal(counted().closed[REASON_DISABLED], 1);
        apply(config_ref(serving.config));
        assert_int_equal(close(new), 0);
}

/* If an address cannot be bound, nothing changes, and the reason names the address. */
static void cannot_enable(void **state)
{
        struct config *enabled, *before;
        struct address address;
        char expected[128];
        int fd;

        (void)state;
        apply(with_enabled(false));
        fd = bind_to(listen_at, &address);
        assert_int_equal(listen(fd, 1), 0);
        enabled = with_enabled(true);
        before = serving.config;
        assert_int_equal(serving_apply(&serving, enabled, &wait, why), -EADDRINUSE);
        (void)snprintf(expected, sizeof(expected), "it: cannot listen on %s: %s", listen_at,
                       strerror(EADDRINUSE));
        assert_string_equal(why, expected);
        assert_false(apply_wait_is_set(&wait));
        assert_ptr_equal(serving.config, before);
        assert_int_equal(listeners_count(serving.listeners), 0);

        assert_int_equal(close(fd), 0);
        apply(enabled);
        assert_int_equal(close(talk()), 0);
}

/* A service that fails to start leaves no trace, and others go on. */
static void cannot_add(void **state)
{
        struct address address;
        int fd = bind_to("127.0.0.1:0", &address), old = talk();
        struct config *more;

        (void)state;
        assert_int_equal(listen(fd, 1), 0);
        more = load("it = { listen = \"%s\"; idle_timeout = 1; }; "
                    "more = { listen = \"127.0.0.1:%u\"; };",
                    listen_at, address_port(&address));
        assert_int_equal(serving_apply(&serving, more, &wait, why), -EADDRINUSE);
        config_unref(more);
        assert_null(registry_find(&serving.registry, "more"));
        assert_int_equal(send(old, "y", 1, 0), 1);
        turn_until(counted().client.sent == 2);
        assert_int_equal(close(old) | close(fd), 0);
}

/* All connections have the new settings when the wait is over. */
static void change(void **state)
{
        int fds[6];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = talk();
        apply(load("it = { listen = \"%s\"; to_client = { latency = \"1h\"; }; };", listen_at));
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                assert_int_equal(send(fds[i], "y", 1, 0), 1);
        turn_until(counted().client.received == 2 * ELEMENTS(fds));
        assert_int_equal(counted().client.sent, ELEMENTS(fds)); /* the new bytes are held */
        apply(load("it = { listen = \"%s\"; };", listen_at));
        assert_int_equal(counted().client.sent, 2 * ELEMENTS(fds));
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                assert_int_equal(close(fds[i]), 0);
}

/* A service that is removed keeps its connections, and is the same one if it comes back. */
static void remove_it(void **state)
{
        const struct service *service = registry_find(&serving.registry, "it");
        struct config *without;
        int fd = talk();

        (void)state;
        assert_int_equal(config_without(serving.config, "it", &without), 0);
        apply(without);
        assert_int_equal(send(fd, "y", 1, 0), 1);
        turn_until(counted().client.sent == 2);
        apply(load("it = { listen = \"%s\"; };", listen_at));
        assert_ptr_equal(registry_find(&serving.registry, "it"), service);
        assert_int_equal(close(fd), 0);

        assert_int_equal(config_without(serving.config, "it", &without), 0);
        apply(without);
        turn_until(workers_count_connections(&workers) == 0);
        turn_until(listeners_count(serving.listeners) == 0); /* it had been retired */
        registry_prune(&serving.registry, serving.config);
        assert_null(registry_find(&serving.registry, "it"));
}

/* A wait that is set twice gets one call, and a wait that has ended gets none. */
static void waits(void **state)
{
        struct config *config = serving.config;

        (void)state;
        n_waited = 0;
        assert_int_equal(serving_apply(&serving, config, &wait, why), 0);
        assert_int_equal(serving_apply(&serving, config, &wait, why), 0);
        turn_until(n_waited);
        turn_a_while();
        assert_int_equal(n_waited, 1);
        assert_int_equal(serving_apply(&serving, config, &wait, why), 0);
        serving_stop_waiting(&serving, &wait);
        serving_stop_waiting(&serving, &wait);
        turn_a_while();
        assert_int_equal(n_waited, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(disable),       TEST(disable_and_enable_at_once),
                TEST(cannot_enable), TEST(cannot_add),
                TEST(change),        TEST(remove_it),
                TEST(waits),
        };
        int failed;

        if (enter_directory(NULL) < 0)
                return 1;
        log_set_level(LOG_LEVEL_ERROR);
        n_workers = "1";
        failed = cmocka_run_group_tests_name("one worker", tests, NULL, NULL);
        n_workers = "3";
        failed += cmocka_run_group_tests_name("three workers", tests, NULL, NULL);
        return leave_directory(NULL) < 0 ? 1 : failed;
}
