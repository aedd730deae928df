/* SPDX-License-Identifier: MIT */
/*
 * The dialer: in which order it tries upstreams and their addresses, how long each try and all of
 * them may take, and what it reports to its owner. A dialer that is freed leaves nothing behind.
 */
#include "config.h"
#include "dialer.h"
#include "dialer_targets.h"
#include "mistakes.h"
#include "turning.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

/* Dialers */

static struct resolver *resolver;
static struct dialers dialers;
static struct config *config;
static struct service *service;

/* A dialer, and what it has reported. */
struct client {
        struct dialer *dialer;
        unsigned tries_failed, waits, ends;
        int errors[8]; /* of the tries that failed */
        char names[8][128];
        int fd; /* -1: not connected */
        int error;
        char name[128]; /* the upstream that was reached, or else the last one that was tried */
};

static void on_try_failed(void *arg, int error, const char *name)
{
        struct client *c = arg;

        assert_int_equal(c->ends, 0);
        assert_in_range(c->tries_failed, 0, ELEMENTS(c->errors) - 1);
        (void)snprintf(c->names[c->tries_failed], sizeof(c->name), "%s", name);
        c->errors[c->tries_failed++] = error;
}

static void on_waiting(void *arg)
{
        struct client *c = arg;

        assert_int_equal(c->ends, 0);
        c->waits++;
}

/* The last call. It frees the dialer, which an owner may do. */
static void end(struct client *c, int fd, int error, const char *name)
{
        assert_non_null(c->dialer); /* dialer_new() has returned */
        assert_int_equal(c->ends, 0);
        c->ends++;
        c->fd = fd;
        c->error = error;
        (void)snprintf(c->name, sizeof(c->name), "%s", name);
        c->dialer = dialer_free(c->dialer);
}

static void on_connected(void *arg, int fd, const char *name)
{
        end(arg, fd, 0, name);
}

static void on_failed(void *arg, int error, const char *name)
{
        end(arg, -1, error, name);
}

static const struct dialer_events events = {
        .on_try_failed = on_try_failed,
        .on_waiting = on_waiting,
        .on_connected = on_connected,
        .on_failed = on_failed,
};

/* Loads a configuration of one relay. @names: its upstreams, up to NULL; @more: further keys. */
static void load_relay(const char *listen, const char *more, const char *const names[])
{
        char text[1024];
        size_t n = (size_t)snprintf(text, sizeof(text),
                                    "services = { relay = { mode = \"relay\"; listen = \"%s\"; "
                                    "%s\nupstream = [ \"%s\"",
                                    listen, more, names[0]);

        for (size_t i = 1; names[i]; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, ", \"%s\"", names[i]);
        (void)snprintf(text + n, sizeof(text) - n, " ]; }; };\n");
        write_text("conf", text);
        forget_mistakes();
        config = config_unref(config);
        if (config_load("conf", collect_mistake, NULL, &config) != 0)
                fail_msg("%s", mistakes);
}

#define configure(more, ...) \
        load_relay("127.0.0.1:0", more, (const char *const[]){ __VA_ARGS__, NULL })

static int try_to_dial(struct client *c)
{
        *c = (struct client){ .fd = -1 };
        return dialer_new(&dialers, service, config->services[0], &events, c, &c->dialer);
}

static void dial(struct client *c)
{
        assert_int_equal(try_to_dial(c), 0);
        assert_int_equal(c->ends, 0);
}

static void expect_failed_try(const struct client *c, unsigned i, int error, const char *name)
{
        assert_in_range(c->tries_failed, i + 1, ELEMENTS(c->errors));
        assert_int_equal(c->errors[i], error);
        assert_string_equal(c->names[i], name);
}

/* Checks that the client is connected to this upstream: a byte arrives there. */
static void expect_connected(struct client *c, const struct target *target)
{
        char byte = 0;
        int fd;

        turn_until(c->ends);
        assert_int_equal(c->error, 0);
        assert_string_equal(c->name, target->name);
        fd = accept4(target->fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(send(c->fd, "x", 1, 0), 1);
        assert_int_equal(recv(fd, &byte, 1, 0), 1);
        assert_int_equal(byte, 'x');
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(c->fd), 0);
}

static void expect_failed(struct client *c, int error, const char *name)
{
        turn_until(c->ends);
        assert_int_equal(c->error, error);
        assert_int_equal(c->fd, -1);
        assert_string_equal(c->name, name);
}

static unsigned descriptors; /* of the process before a test */

static int start(void **state)
{
        if (start_loop(state) < 0 || loop_open_posts(loop) < 0 || resolver_new(&resolver) < 0 ||
            service_new("relay", 1, &service) < 0)
                return -1;
        dialers_init(&dialers, loop, resolver);
        descriptors = count_descriptors();
        return 0;
}

static int stop(void **state)
{
        config = config_unref(config);
        service = service_unref(service);
        resolver = resolver_free(resolver);
        return stop_loop(state);
}

/* Tests */

/* The owner gets a socket with the options of the service. */
static void connects(void **state)
{
        struct target target = listening();
        socklen_t length = sizeof(int);
        struct client c;
        int value = 0;

        (void)state;
        configure("user_timeout = 7;", target.name);
        dial(&c);
        turn_until(c.ends);
        assert_int_equal(c.tries_failed + c.waits, 0);
        assert_true(fcntl(c.fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(getsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
        assert_int_equal(value, 1);
        assert_int_equal(getsockopt(c.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &length), 0);
        assert_int_equal(value, 7000);
        expect_connected(&c, &target);
        assert_int_equal(close(target.fd), 0);
        assert_int_equal(count_descriptors(), descriptors);
}

/* Upstreams are tried in the order of the configuration. */
static void in_order(void **state)
{
        struct target first = refusing(), second = at_path(1), third = listening();
        struct client c;

        (void)state;
        configure("", first.name, second.name, third.name);
        dial(&c);
        expect_connected(&c, &second);
        assert_int_equal(c.tries_failed, 1);
        expect_failed_try(&c, 0, -ECONNREFUSED, first.name);
        assert_int_equal(close(first.fd) | close(second.fd) | close(third.fd), 0);
        assert_int_equal(count_descriptors(), descriptors);
}

/* The addresses of a name are tried in turn, before the next upstream. */
static void addresses_of_a_name(void **state)
{
        struct target target = listening(), other = listening();
        struct client c;

        (void)state;
        rename_host(&target, "two");
        configure("", "unknown:1", target.name, other.name);
        dial(&c);
        expect_connected(&c, &target);
        assert_int_equal(c.tries_failed, 2);
        expect_failed_try(&c, 0, -EHOSTDOWN, "unknown:1");
        expect_failed_try(&c, 1, -ECONNREFUSED, target.name); /* 127.0.0.2 */
        assert_int_equal(close(target.fd) | close(other.fd), 0);
}

/* No upstream can be reached. The dialer reports each failure, and at the end the last one again.
 */
static void all_fail(void **state)
{
        struct target refused = refusing();
        struct client c;

        (void)state;
        configure("", refused.name, "unix:/nonexistent/sock");
        dial(&c);
        expect_failed(&c, -ENOENT, "unix:/nonexistent/sock");
        assert_int_equal(c.tries_failed, 2);
        expect_failed_try(&c, 0, -ECONNREFUSED, refused.name);
        expect_failed_try(&c, 1, -ENOENT, "unix:/nonexistent/sock");
        assert_int_equal(c.waits, 0);
        assert_int_equal(close(refused.fd), 0);
        assert_int_equal(count_descriptors(), descriptors);
}

/* An upstream that does not answer: Linux drops the SYN while the backlog is full. */
static void no_answer(void **state)
{
        struct target silent = refusing(), second = at_path(1);
        uint64_t began;
        struct client c;
        int fillers[4];

        (void)state;
        assert_int_equal(listen(silent.fd, 0), 0);
        fill_backlog(&silent, fillers);
        configure("connect_timeout = \"60ms\";", silent.name, second.name);
        began = now_usec();
        dial(&c);
        turn_until(c.tries_failed);
        assert_true(now_usec() >= began + 60 * USEC_PER_MSEC);
        expect_failed_try(&c, 0, -ETIMEDOUT, silent.name);
        expect_connected(&c, &second);
        close_all(fillers, ELEMENTS(fillers));
        assert_int_equal(close(silent.fd) | close(second.fd), 0);
        assert_int_equal(count_descriptors(), descriptors);
}

/* A unix socket whose backlog is full refuses at once (EAGAIN). The dialer waits for room. */
static void full_unix_socket(void **state)
{
        struct target target = at_path(0);
        struct client hasty, patient;
        int fillers[4], fd;
        uint64_t began;

        (void)state;
        fill_backlog(&target, fillers);
        configure("connect_timeout = \"60ms\";", target.name);
        began = now_usec();
        dial(&hasty);
        expect_failed(&hasty, -ETIMEDOUT, target.name);
        assert_true(now_usec() >= began + 60 * USEC_PER_MSEC);
        assert_int_equal(hasty.tries_failed, 1);

        configure("connect_timeout = 30;", target.name);
        dial(&patient);
        turn_a_while();
        assert_int_equal(patient.ends + patient.tries_failed, 0);
        fd = accept4(target.fd, NULL, NULL, SOCK_CLOEXEC);
        expect_connected(&patient, &target);
        assert_int_equal(patient.tries_failed, 0);
        close_all(fillers, ELEMENTS(fillers));
        assert_int_equal(close(fd) | close(target.fd), 0);
        assert_int_equal(count_descriptors(), descriptors);
}

/* A connection that would come back to the service is not made. */
static void the_service_itself(void **state)
{
        struct target relay = listening();
        char listen[sizeof(relay.name)];
        struct client c;

        (void)state;
        memcpy(listen, relay.name, sizeof(listen));
        rename_host(&relay, "own");
        load_relay(listen, "", (const char *const[]){ relay.name, NULL });
        dial(&c);
        expect_failed(&c, -EDEADLK, relay.name);
        assert_int_equal(fcntl(relay.fd, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(accept4(relay.fd, NULL, NULL, SOCK_CLOEXEC), -1); /* nobody came */
        assert_int_equal(close(relay.fd), 0);
}

/* A socket that is connected to itself counts as refused. Its port is free at once. */
static void connected_to_itself(void **state)
{
        struct target target = refusing();
        struct address address;
        struct client c;

        (void)state;
        assert_int_equal(address_of_socket(target.fd, &address), 0);
        configure("", target.name);
        to_itself = true;
        dial(&c);
        expect_failed(&c, -ECONNREFUSED, target.name);
        assert_int_equal(close(target.fd), 0);
        target.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* without SO_REUSEADDR */
        assert_int_equal(bind(target.fd, &address.sa, address.length), 0);
        assert_int_equal(close(target.fd), 0);
}

/* The upstream is not contacted before connect_delay is over. */
static void connect_delay(void **state)
{
        struct target target = listening();
        uint64_t began;
        struct client c;

        (void)state;
        configure("connect_delay = \"80ms\";", target.name);
        began = now_usec();
        dial(&c);
        turn_until(c.ends);
        assert_int_equal(c.waits, 1);
        assert_true(now_usec() >= began + 80 * USEC_PER_MSEC);
        expect_connected(&c, &target);
        assert_int_equal(close(target.fd), 0);
}

/* Upstreams are tried again, and one that begins to listen meanwhile is reached. */
static void connect_wait(void **state)
{
        struct target first = refusing(), second = refusing();
        struct client c;

        (void)state;
        configure("connect_wait = 30;", first.name, second.name);
        dial(&c);
        turn_until(c.waits);
        assert_int_equal(c.tries_failed, 2);
        assert_int_equal(listen(second.fd, 1), 0);
        expect_connected(&c, &second);
        assert_int_equal(c.tries_failed, 3); /* the first upstream was tried again */
        expect_failed_try(&c, 2, -ECONNREFUSED, first.name);
        assert_int_equal(close(first.fd) | close(second.fd), 0);
}

/* connect_wait counts from the end of connect_delay. */
static void connect_wait_ends(void **state)
{
        struct target target = refusing();
        uint64_t began;
        struct client c;

        (void)state;
        configure("connect_delay = \"60ms\"; connect_wait = \"150ms\";", target.name);
        began = now_usec();
        dial(&c);
        expect_failed(&c, -ECONNREFUSED, target.name);
        assert_true(now_usec() >= began + 210 * USEC_PER_MSEC);
        assert_int_equal(close(target.fd), 0);
}

/* No more than max_dialing clients of a service are being connected at a time. */
static void max_dialing(void **state)
{
        struct client clients[3], *const last = &clients[2];

        (void)state;
        configure("max_dialing = 2; connect_delay = 3600;", "127.0.0.1:1");
        dial(&clients[0]);
        dial(&clients[1]);
        assert_int_equal(try_to_dial(last), -EUSERS);
        assert_null(last->dialer);
        clients[0].dialer = dialer_free(clients[0].dialer);
        dial(last);
        for (size_t i = 1; i < ELEMENTS(clients); i++)
                clients[i].dialer = dialer_free(clients[i].dialer);
}

/* Frees a dialer while it waits. It makes no further call, and no descriptor stays open. */
static void expect_freed(const char *setting, const char *upstream, bool has_waited)
{
        unsigned before = count_descriptors();
        struct client c;

        configure(setting, upstream);
        dial(&c);
        turn_until(!has_waited || c.waits);
        c.tries_failed = 0;
        c.dialer = dialer_free(c.dialer);
        config = config_unref(config); /* the dialer had a reference of its own */
        turn_a_while();
        assert_int_equal(c.ends + c.tries_failed, 0);
        assert_int_equal(count_descriptors(), before);
}

static void freed(void **state)
{
        struct target listens = listening(), refuses = refusing();

        (void)state;
        expect_freed("", listens.name, false); /* waits for the socket */
        expect_freed("connect_delay = \"10ms\";", listens.name, true);
        expect_freed("connect_wait = 3600;", refuses.name, true); /* waits for the next retry */
        expect_freed("", "own:1", false);                         /* waits for the name */
        assert_int_equal(close(listens.fd) | close(refuses.fd), 0);
        assert_null(dialer_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(connects),
                TEST(in_order),
                TEST(addresses_of_a_name),
                TEST(all_fail),
                TEST(no_answer),
                TEST(full_unix_socket),
                TEST(the_service_itself),
                TEST(connected_to_itself),
                TEST(connect_delay),
                TEST(connect_wait),
                TEST(connect_wait_ends),
                TEST(max_dialing),
                TEST(freed),
        };
        int failed;

        if (enter_directory(NULL) < 0)
                return 1;
        failed = run_on_all_backends(tests);
        return leave_directory(NULL) < 0 ? 1 : failed;
}
