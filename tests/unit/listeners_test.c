/* SPDX-License-Identifier: MIT */
/*
 * The listeners: which sockets are open under a configuration, what happens to them and to their
 * clients when another one is applied, and the sockets that systemd passed.
 *
 * All sockets are on loopback addresses, or in the test's directory.
 */
#include "listeners.h"
#include "mistakes.h"
#include "turning.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

static struct listeners *listeners;
static struct registry registry;
static struct config *config; /* that was applied last */
static char why[LISTENERS_WHY_SIZE];

/* Clients that were accepted, and the service of the last one. */
static unsigned n_accepted, n_retired;
static char accepted_by[64];
static struct address accepted_peer;

static void on_accept(void *arg, struct service *service, struct service_config *of, int fd,
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

static void on_retired(void *arg)
{
        assert_ptr_equal(arg, &listeners);
        n_retired++;
}

static const struct listeners_events events = { .on_accept = on_accept, .on_retired = on_retired };

/* Configurations */

/* Return: a configuration of these services, the text of "services". */
static struct config *load(const char *services)
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
static int apply_config(struct config *next)
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
_printf_(1, 2) static void apply(const char *format, ...)
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
static const char *described(void)
{
        static char text[LISTENERS_TEXT_SIZE];

        return listeners_describe(listeners, text);
}

_printf_(1, 2) static void expect_described(const char *format, ...)
{
        char expected[LISTENERS_TEXT_SIZE];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(expected, sizeof(expected), format, arguments);
        va_end(arguments);
        assert_string_equal(described(), expected);
}

/* The port of the only service, which listens on a port of 127.0.0.1 that the system chose. */
static unsigned only_port(void)
{
        const char *colon = strrchr(described(), ':');

        assert_non_null(colon);
        return (unsigned)strtoul(colon + 1, NULL, 10);
}

/* Clients */

/* Return: a socket that is connected to @host at a port; -1: refused. */
static int try_to_connect_to(const char *host, unsigned port)
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

static int connect_to(unsigned port)
{
        int fd = try_to_connect_to("127.0.0.1", port);

        assert_true(fd >= 0);
        return fd;
}

static void expect_refused(unsigned port)
{
        assert_int_equal(try_to_connect_to("127.0.0.1", port), -1);
}

/* One more client is accepted, by this service. */
static void expect_accepted(unsigned before, const char *service)
{
        turn_until(n_accepted > before);
        assert_int_equal(n_accepted, before + 1);
        assert_string_equal(accepted_by, service);
}

static void expect_served_at(const char *host, unsigned port, const char *service)
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

static void expect_served(unsigned port, const char *service)
{
        expect_served_at("127.0.0.1", port, service);
}

/* Life */

static int start(void **state)
{
        n_accepted = n_retired = 0;
        accepted_by[0] = '\0';
        log_set_level(LOG_LEVEL_ERROR);
        registry = (struct registry){ .n_shards = 1 };
        if (start_loop(state) < 0)
                return -1;
        return listeners_new(loop, &events, &listeners, why, &listeners);
}

static int stop(void **state)
{
        listeners = listeners_free(listeners);
        config = config_unref(config);
        registry_deinit(&registry);
        return stop_loop(state);
}

/* Tests */

static void listens_where_the_configuration_says(void **state)
{
        unsigned first, before = count_descriptors();
        const char *text;
        char *end;

        (void)state;
        assert_int_equal(listeners_count(listeners), 0);
        apply("a = { listen = [ \"127.0.0.1:0\", \"unix:%s/sock\" ]; };\n"
              "b = { listen = \"127.0.0.1:0\"; };",
              test_directory);
        assert_int_equal(listeners_count(listeners), 3);
        text = described();
        first = (unsigned)strtoul(text + strlen("a on 127.0.0.1:"), &end, 10);
        expect_served(first, "a");
        expect_served(only_port(), "b");
        expect_described("a on 127.0.0.1:%u, a on unix:%s/sock, b on 127.0.0.1:%u", first,
                         test_directory, only_port());
        assert_int_equal(access("sock", F_OK), 0);

        listeners = listeners_free(listeners);
        assert_int_equal(access("sock", F_OK), -1);
        assert_int_equal(count_descriptors(), before);
        assert_null(listeners_free(NULL));
}

/* A client that connects while another configuration is applied is accepted, by the same socket. */
static void what_is_in_both_stays(void **state)
{
        unsigned port;
        int client;

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        client = connect_to(port);
        apply("b = { listen = \"unix:%s/sock\"; }; a = { listen = \"127.0.0.1:0\"; };",
              test_directory);
        expect_described("a on 127.0.0.1:%u, b on unix:%s/sock", port, test_directory);
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
        assert_int_equal(listeners_count(listeners), 2);
        assert_int_equal(n_retired, 0);
}

/* The address passes to another service, without a moment in which nobody listens. */
static void renamed_service(void **state)
{
        unsigned port;
        int client;

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        apply("a = { listen = \"127.0.0.1:%u\"; };", port);
        client = connect_to(port);
        apply("b = { listen = \"127.0.0.1:%u\"; };", port);
        expect_accepted(0, "b");
        expect_served(port, "b");
        assert_int_equal(close(client), 0);
}

/* Nobody new can connect, but who has connected is accepted; the socket is closed a while later. */
static void what_is_left_out_is_retired(void **state)
{
        uint64_t began;
        unsigned port;
        int client;

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        client = connect_to(port);
        began = now_usec();
        apply("b = { listen = \"unix:%s/sock\"; };", test_directory);
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
        expect_refused(port);
        assert_int_equal(listeners_count(listeners), 2);
        turn_until(n_retired);
        assert_true(now_usec() >= began + LISTENER_RETIRE_USEC);
        assert_int_equal(listeners_count(listeners), 1);
        expect_described("b on unix:%s/sock", test_directory);
}

/* The sockets of a disabled service are closed at once. They come back when it is enabled. */
static void disabled_service(void **state)
{
        struct config *next;
        unsigned port;

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        for (int i = 0; i < 2; i++) {
                char services[64];

                (void)snprintf(services, sizeof(services), "a = { listen = \"127.0.0.1:%u\"; };",
                               port);
                next = load(services);
                next->services[0]->enabled = false;
                assert_int_equal(apply_config(next), 0);
                assert_int_equal(listeners_count(listeners), 0);
                expect_refused(port);
                apply("%s", services);
                expect_served(port, "a");
        }
}

/* Each retired socket is closed in its own time. */
static void retired_one_after_the_other(void **state)
{
        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; }; b = { listen = \"127.0.0.1:0\"; };\n"
              "c = { listen = \"unix:%s/sock\"; };",
              test_directory);
        apply("b = { listen = \"127.0.0.1:0\"; }; c = { listen = \"unix:%s/sock\"; };",
              test_directory);
        turn_a_while();
        apply("c = { listen = \"unix:%s/sock\"; };", test_directory);
        assert_int_equal(listeners_count(listeners), 3);
        turn_until(n_retired == 2);
        expect_described("c on unix:%s/sock", test_directory);
}

/*
 * A client that is in the middle of connecting is a client: here one that holds back the last
 * packet of its handshake (TCP_QUICKACK off), for 200 ms at most, until there are data to go with
 * it.
 */
static void a_handshake_is_finished(void **state)
{
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
        struct address address;
        char text[32];

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        (void)snprintf(text, sizeof(text), "127.0.0.1:%u", only_port());
        assert_int_equal(address_parse(text, &address), 0);
        assert_int_equal(setsockopt(client, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)), 0);
        assert_int_equal(connect(client, &address.sa, address.length), 0);
        apply("b = { listen = \"unix:%s/sock\"; };", test_directory);
        assert_int_equal(send(client, "x", 1, 0), 1);
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
}

/* A narrow address stays open for its clients when a wider one takes its place, and the reverse. */
static void wider_and_narrower(void **state)
{
        unsigned port;
        int client;

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        apply("a = { listen = \"127.0.0.1:%u\"; };", port);
        assert_int_equal(try_to_connect_to("127.0.0.2", port), -1);
        client = connect_to(port);
        apply("a = { listen = \"*:%u\"; };", port);
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
        expect_served_at("127.0.0.1", port, "a");
        expect_served_at("127.0.0.2", port, "a");
        apply("a = { listen = \"127.0.0.1:%u\"; };", port);
        expect_served_at("127.0.0.1", port, "a");
        assert_int_equal(try_to_connect_to("127.0.0.2", port), -1);
}

/* An address that cannot be had: the error names it, and everything is as it was. */
static void failure_changes_nothing(void **state)
{
        char before[LISTENERS_TEXT_SIZE], services[1024], expected[256];
        int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        unsigned descriptors, port, free_port, busy;
        struct address address;

        (void)state;
        assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
        assert_int_equal(bind(other, &address.sa, address.length), 0);
        assert_int_equal(address_of_socket(other, &address), 0);
        free_port = address_port(&address);
        assert_int_equal(close(other), 0);
        other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
        assert_int_equal(bind(other, &address.sa, address.length), 0);
        assert_int_equal(listen(other, 1), 0);
        assert_int_equal(address_of_socket(other, &address), 0);
        busy = address_port(&address);

        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        (void)snprintf(before, sizeof(before), "%s", described());
        descriptors = count_descriptors();
        (void)snprintf(services, sizeof(services),
                       "c = { listen = \"127.0.0.1:%u\"; }; d = { listen = \"127.0.0.1:%u\"; };",
                       free_port, busy);
        assert_int_equal(apply_config(load(services)), -EADDRINUSE);
        (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u", busy);
        assert_non_null(strstr(why, expected));
        assert_non_null(strstr(why, "d"));
        assert_string_equal(described(), before);
        assert_int_equal(count_descriptors(), descriptors);
        expect_refused(free_port);
        expect_served(port, "a");
        assert_int_equal(close(other), 0);
}

/* Connects a client while no descriptor is left to accept it with. Return: its socket. */
static int connect_without_descriptors(void)
{
        struct rlimit before, none;
        int client, least;

        apply("a = { listen = \"127.0.0.1:0\"; };");
        client = connect_to(only_port());
        least = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        assert_int_equal(close(least), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){ .rlim_cur = (rlim_t)least, .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        turn_a_while();
        assert_int_equal(n_accepted, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        return client;
}

/* With no descriptor left, clients wait until a connection has ended. */
static void no_descriptors(void **state)
{
        int client = connect_without_descriptors();

        (void)state;
        listeners_resume(listeners);
        turn_a_while(); /* less than the second after which it would try again by itself */
        assert_int_equal(n_accepted, 1);
        assert_int_equal(close(client), 0);
}

/* Nobody says that a descriptor is free again: accepting is tried anyway. */
static void tries_again(void **state)
{
        int client = connect_without_descriptors();

        (void)state;
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
}

/* For a stop: nobody new can connect, and who has connected is accepted at once. */
static void retire_all(void **state)
{
        unsigned port;
        int clients[3];

        (void)state;
        apply("a = { listen = \"127.0.0.1:0\"; };");
        port = only_port();
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                clients[i] = connect_to(port);
        listeners_accept_pending(listeners);
        assert_int_equal(n_accepted, ELEMENTS(clients));
        assert_int_equal(listeners_retire(listeners), 1);
        expect_refused(port);
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                assert_int_equal(close(clients[i]), 0);
}

/* A text that would be too long ends in the number of sockets that it does not name. */
static void many_sockets(void **state)
{
        char services[4096];
        const char *more;
        size_t n = (size_t)snprintf(services, sizeof(services), "a = { listen = [ \"127.0.0.1:0\"");
        unsigned shown = 1;

        (void)state;
        for (int i = 1; i < 100; i++)
                n += (size_t)snprintf(services + n, sizeof(services) - n, ", \"127.0.0.1:0\"");
        apply("%s ]; };", services);
        more = strstr(described(), ", and ");
        assert_non_null(more);
        for (const char *p = described(); p < more; p++)
                shown += *p == ',';
        assert_in_range(shown, 10, 60);
        assert_int_equal(strtoul(more + strlen(", and "), NULL, 10), 100 - shown);
        assert_string_equal(more + strlen(", and 50"), " more");
}

/* Sockets that systemd passed */

/* A listening socket as descriptor @fd of this process, as systemd passes it. Return: its port. */
static unsigned pass_socket(int fd)
{
        int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct address address;

        assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
        assert_int_equal(bind(made, &address.sa, address.length), 0);
        assert_int_equal(listen(made, 16), 0);
        assert_int_equal(address_of_socket(made, &address), 0);
        if (made != fd) {
                assert_int_equal(dup2(made, fd), fd);
                assert_int_equal(close(made), 0);
        }
        return address_port(&address);
}

/* Says that @n descriptors were passed. Their numbers are free: no loop has been made yet. */
static void pass(const char *n, const char *names)
{
        char pid[16];

        (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
        assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
        assert_int_equal(setenv("LISTEN_FDS", n, 1), 0);
        assert_int_equal(setenv("LISTEN_FDNAMES", names, 1), 0);
}

/* A passed socket belongs to the service of its name, in place of "listen", and always stays. */
static void passed_socket(void **state)
{
        unsigned passed = pass_socket(SD_LISTEN_FDS_START);
        struct config *other;

        pass("1", "a");
        assert_int_equal(start(state), 0);
        assert_null(getenv("LISTEN_FDS")); /* no child takes them for its own */

        other = load("b = { listen = \"127.0.0.1:0\"; }; c = { listen = \"127.0.0.1:0\"; };");
        assert_int_equal(listeners_match(listeners, other, why), -EINVAL);
        assert_non_null(strstr(why, "\"a\""));
        config_unref(other);

        apply("a = { listen = \"127.0.0.1:0\"; }; b = { listen = \"unix:%s/sock\"; };",
              test_directory);
        expect_described("a on 127.0.0.1:%u, b on unix:%s/sock", passed, test_directory);
        expect_served(passed, "a");

        assert_int_equal(listeners_retire(listeners), 1); /* b's; systemd keeps the other open */
        expect_served(passed, "a");
}

/* A passed socket that no configuration has claimed is closed with the rest. */
static void passed_and_not_taken(void **state)
{
        (void)pass_socket(SD_LISTEN_FDS_START);
        pass("1", "a");
        assert_int_equal(start(state), 0);
        listeners = listeners_free(listeners);
        assert_int_equal(fcntl(SD_LISTEN_FDS_START, F_GETFD), -1);
}

/* The second descriptor is connected, and does not listen. */
static void passed_rubbish(void **state)
{
        const int second = SD_LISTEN_FDS_START + 1;
        int pair[2];

        (void)pass_socket(SD_LISTEN_FDS_START);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        if (pair[0] != second) {
                assert_int_equal(dup2(pair[0], second), second);
                assert_int_equal(close(pair[0]), 0);
        }
        pass("2", "a:rubbish");
        assert_int_equal(start(state), -EINVAL);
        assert_null(listeners);
        assert_non_null(strstr(why, "\"rubbish\""));
        assert_int_equal(fcntl(SD_LISTEN_FDS_START, F_GETFD), -1); /* all are closed */
        assert_int_equal(fcntl(second, F_GETFD), -1);
        assert_int_equal(close(pair[1]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(listens_where_the_configuration_says),
                TEST(what_is_in_both_stays),
                TEST(renamed_service),
                TEST(what_is_left_out_is_retired),
                TEST(disabled_service),
                TEST(retired_one_after_the_other),
                TEST(a_handshake_is_finished),
                TEST(wider_and_narrower),
                TEST(failure_changes_nothing),
                TEST(no_descriptors),
                TEST(tries_again),
                TEST(retire_all),
                TEST(many_sockets),
                cmocka_unit_test_teardown(passed_socket, stop),
                cmocka_unit_test_teardown(passed_and_not_taken, stop),
                cmocka_unit_test_teardown(passed_rubbish, stop),
        };
        int failed;

        if (enter_directory(NULL) < 0)
                return 1;
        failed = run_on_all_backends(tests);
        return leave_directory(NULL) < 0 ? 1 : failed;
}
