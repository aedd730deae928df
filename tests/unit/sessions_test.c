/* SPDX-License-Identifier: MIT */
/*
 * The connections of a loop: their counters while they are open and when they end, and the effect
 * of a change of their service. Clients are pairs of sockets, and upstreams listen on loopback
 * addresses.
 */
#include "config.h"
#include "mistakes.h"
#include "resolver.h"
#include "sessions.h"
#include "turning.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

static struct resolver *resolver;
static struct sessions sessions;
static struct service *service;
static struct service_config *config;
static uint64_t last_id;
static unsigned n_ended;

static void on_ended(void *arg)
{
        (void)arg;
        n_ended++;
}

static int start(void **state)
{
        if (start_loop(state) < 0 || loop_open_posts(loop) < 0 || resolver_new(&resolver) < 0 ||
            service_new("it", 1, &service) < 0)
                return -1;
        sessions_init(&sessions, loop, resolver, 0, on_ended, NULL);
        last_id = 0;
        n_ended = 0;
        return 0;
}

static int stop(void **state)
{
        sessions_close_all(&sessions);
        loop_run_deferred(loop);
        config = service_config_unref(config);
        service = service_unref(service);
        resolver = resolver_free(resolver);
        return stop_loop(state);
}

/* The settings of a service that a file sets with @more. */
static struct service_config *load(const char *more)
{
        struct service_config *loaded;
        struct config *file = NULL;
        char text[1024];

        (void)snprintf(text, sizeof(text), "services = { it = { listen = \"127.0.0.1:0\"; %s }; };",
                       more);
        write_text("conf", text);
        forget_mistakes();
        if (config_load("conf", collect_mistake, NULL, &file) != 0)
                fail_msg("%s", mistakes);
        loaded = service_config_ref(file->services[0]);
        config_unref(file);
        return loaded;
}

static void configure(const char *more)
{
        service_config_unref(config);
        config = load(more);
}

/* Return: the client's end of its socket. */
static int admit(void)
{
        struct client client = {
                .service = service,
                .config = config,
                .id = ++last_id,
                .peer = { .length = sizeof(sa_family_t) },
        };
        int pair[2];

        client.peer.sa.sa_family = AF_UNIX;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                         0);
        client.fd = pair[0];
        assert_int_equal(sessions_admit(&sessions, &client), 0);
        return pair[1];
}

static struct counters counted(void)
{
        struct counters sum;

        service_count(service, &sum);
        return sum;
}

static void say(int fd, const char *words)
{
        assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

static void hear(int fd, const char *words)
{
        char got[64];
        size_t n = 0;

        while (n < strlen(words)) {
                ssize_t one = recv(fd, got + n, sizeof(got) - n, 0);

                assert_true(one > 0 || errno == EAGAIN);
                n += one > 0 ? (size_t)one : 0;
                if (one < 0)
                        turn();
        }
        assert_memory_equal(got, words, n);
}

/* The client leaves. */
static void hang_up(int fd)
{
        unsigned before = n_ended;

        assert_int_equal(close(fd), 0);
        turn_until(n_ended > before);
}

static void expect_end_of_stream(int fd)
{
        char byte;

        turn_until(recv(fd, &byte, 1, 0) == 0);
        assert_int_equal(close(fd), 0);
}

/* Counting */

static void echo(void **state)
{
        struct counters now;
        int fd;

        (void)state;
        configure("");
        fd = admit();
        say(fd, "hello");
        hear(fd, "hello");
        now = counted();
        assert_int_equal(now.accepted, 1);
        assert_int_equal(counters_open(&now), 1);
        assert_int_equal(now.client.received, 5);
        assert_int_equal(now.client.sent, 5);
        hang_up(fd);
        now = counted();
        assert_int_equal(now.accepted, 1);
        assert_int_equal(counters_open(&now), 0);
        assert_int_equal(now.closed[REASON_END_OF_STREAM], 1);
}

/* Return: the bytes in the client's socket, and those that the client has read. */
static uint64_t arrived(int fd, uint64_t n_read)
{
        int n = 0;

        assert_int_equal(ioctl(fd, SIOCINQ, &n), 0);
        return n_read + (uint64_t)n;
}

/* Bytes count as sent when the socket has taken them, even while most of them wait. */
static void slow_reader(void **state)
{
        static uint8_t bytes[256 * 1024];
        uint64_t n_sent = 0, n_read = 0;
        ssize_t n;
        int fd;

        (void)state;
        configure("");
        fd = admit();
        for (int i = 0; i < 100; i++) {
                n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
                n_sent += n > 0 ? (uint64_t)n : 0;
                turn();
        }
        assert_int_equal(counted().client.sent, arrived(fd, 0));
        assert_true(counted().client.sent < n_sent); /* the sockets are full */
        while (n_read < n_sent) {
                n = recv(fd, bytes, 10000, 0);
                n_read += n > 0 ? (uint64_t)n : 0;
                turn();
                assert_int_equal(counted().client.sent, arrived(fd, n_read));
        }
        assert_int_equal(counted().client.received, n_sent);
        assert_int_equal(counted().client.sent, n_sent);
        hang_up(fd);
}

/* A fault counts when it begins, once for a connection. */
static void fault(void **state)
{
        int fd;

        (void)state;
        configure("to_client = { latency = \"1h\"; };");
        fd = admit();
        assert_int_equal(counted().faults[0], 0);
        say(fd, "one");
        turn_until(counted().faults[0]);
        say(fd, "two");
        turn_until(counted().client.received == 6);
        assert_int_equal(counted().faults[0], 1);
        assert_int_equal(counted().client.sent, 0);
        assert_int_equal(close(fd), 0);
}

static void dropped(void **state)
{
        struct counters now;
        int fd;

        (void)state;
        configure("to_client = { drop_new = 1; };");
        fd = admit();
        now = counted();
        assert_int_equal(now.accepted, 1);
        assert_int_equal(now.closed[REASON_DROP_NEW], 1);
        assert_int_equal(now.faults[7], 1);
        expect_end_of_stream(fd);
}

static void limit(void **state)
{
        int fd;

        (void)state;
        configure("to_client = { limit = 3; };");
        fd = admit();
        say(fd, "hello");
        hear(fd, "hel");
        turn_until(counted().closed[REASON_LIMIT] == 1);
        assert_int_equal(counted().client.sent, 3);
        assert_int_equal(counted().faults[3], 1);
        hang_up(fd);
}

static void hub(void **state)
{
        int fds[3];

        (void)state;
        configure("mode = \"hub\";");
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = admit();
        say(fds[0], "hello");
        hear(fds[1], "hello");
        hear(fds[2], "hello");
        assert_int_equal(counted().client.received, 5);
        assert_int_equal(counted().client.sent, 10);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                hang_up(fds[i]);
        assert_int_equal(counted().closed[REASON_END_OF_STREAM], 3);
}

/* Return: a socket that listens on a port of its own, whose address is written to @out. */
static int listen_somewhere(char out[32])
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f000001) } };
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        (void)snprintf(out, 32, "127.0.0.1:%u", ntohs(address.sin_port));
        return fd;
}

static void relay(void **state)
{
        char address[32], settings[128], got[8];
        int listener = listen_somewhere(address), fd, upstream;
        struct counters now;

        (void)state;
        (void)snprintf(settings, sizeof(settings),
                       "mode = \"relay\"; send_proxy = 1; upstream = \"%s\";", address);
        configure(settings);
        fd = admit();
        upstream = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(upstream >= 0);
        say(fd, "question");
        turn_until(counted().upstream.sent == 8); /* the PROXY header is not counted */
        assert_int_equal(recv(upstream, got, 6, MSG_WAITALL), 6);
        assert_memory_equal(got, "PROXY ", 6);
        say(upstream, "answers");
        hear(fd, "answers");
        now = counted();
        assert_int_equal(now.client.received, 8);
        assert_int_equal(now.upstream.received, 7);
        assert_int_equal(now.client.sent, 7);
        assert_int_equal(now.failed_dials, 0);
        assert_int_equal(close(upstream) | close(listener), 0);
        turn_until(n_ended);
        assert_int_equal(counted().closed[REASON_UPSTREAM_FAILED],
                         1); /* its socket had unread bytes */
        assert_int_equal(close(fd), 0);
}

static void no_upstream(void **state)
{
        char address[32], settings[128];
        int fd = listen_somewhere(address);

        (void)state;
        assert_int_equal(close(fd), 0);
        (void)snprintf(settings, sizeof(settings),
                       "mode = \"relay\"; upstream = [ \"%s\", \"%s\" ];", address, address);
        configure(settings);
        fd = admit();
        turn_until(n_ended);
        assert_int_equal(counted().failed_dials, 2);
        assert_int_equal(counted().closed[REASON_UPSTREAM_UNREACHED], 1);
        assert_int_equal(close(fd), 0);
}

/* Changes of the service */

/* Return: the connection with that id. */
static struct connection *find(uint64_t id)
{
        struct connection *connection;

        LIST_FOREACH(connection, &service_shard(service, 0)->connections, of_shard)
                if (connection->id == id)
                        return connection;
        return NULL;
}

static void change(void **state)
{
        struct service_config *changed;
        int fd;

        (void)state;
        configure("to_client = { latency = \"1h\"; };");
        fd = admit();
        say(fd, "held");
        turn_until(counted().client.received == 4);
        sessions_change_service(&sessions, service, config, 0); /* nothing has changed */
        changed = load("");
        sessions_change_service(&sessions, service, changed, 0);
        hear(fd, "held"); /* it does not wait any longer */
        assert_ptr_equal(find(1)->config, changed);
        service_config_unref(changed);
        changed = load("mode = \"hub\";");
        sessions_change_service(&sessions, service, changed, 0);
        assert_ptr_not_equal(find(1)->config, changed); /* another mode is for new clients */
        service_config_unref(changed);
        hang_up(fd);
}

/* A disabled service ends its connections, and drops the bytes that they hold. */
static void disable(void **state)
{
        struct service_config *disabled;
        int old, held, new;

        (void)state;
        configure("to_client = { latency = \"1h\"; };");
        old = admit();
        held = admit();
        new = admit(); /* after the service has been enabled again */
        say(held, "held");
        turn_until(counted().client.received == 4);
        assert_int_equal(service_config_copy("it", config, &disabled), 0);
        disabled->enabled = false;
        sessions_change_service(&sessions, service, disabled, 2);
        assert_int_equal(counted().closed[REASON_DISABLED], 2);
        turn_until(n_ended == 2);
        assert_non_null(find(3));
        expect_end_of_stream(old);
        expect_end_of_stream(held); /* a unix socket has no reset */
        assert_int_equal(counted().client.sent, 0);
        service_config_unref(disabled);
        assert_int_equal(close(new), 0);
}

static void stopping(void **state)
{
        int fd;

        (void)state;
        configure("");
        fd = admit();
        sessions_close_all(&sessions);
        assert_int_equal(counted().closed[REASON_STOPPING], 1);
        turn_until(n_ended);
        expect_end_of_stream(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(echo),   TEST(slow_reader), TEST(fault),    TEST(dropped),
                TEST(limit),  TEST(hub),         TEST(relay),    TEST(no_upstream),
                TEST(change), TEST(disable),     TEST(stopping),
        };
        int failed;

        if (enter_directory(NULL) < 0)
                return 1;
        log_set_level(LOG_LEVEL_ERROR);
        failed = run_on_all_backends(tests);
        return leave_directory(NULL) < 0 ? 1 : failed;
}
