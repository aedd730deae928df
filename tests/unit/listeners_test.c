/* SPDX-License-Identifier: MIT */
/*
 * The listeners: which sockets are open under a configuration, and what happens to them and to
 * their clients when another configuration is applied.
 */
#include "listeners_fixture.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

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
        port = listen_anywhere();
        client = connect_to(port);
        apply("b = { listen = \"unix:%s/sock\"; }; a = { listen = \"127.0.0.1:0\"; };",
              test_directory);
        expect_described("a on 127.0.0.1:%u, b on unix:%s/sock", port, test_directory);
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
        assert_int_equal(listeners_count(listeners), 2);
        assert_int_equal(n_retired, 0);
}

/* Another service takes over the address, and somebody listens at every moment. */
static void renamed_service(void **state)
{
        unsigned port;
        int client;

        (void)state;
        port = listen_anywhere();
        apply("a = { listen = \"127.0.0.1:%u\"; };", port);
        client = connect_to(port);
        apply("b = { listen = \"127.0.0.1:%u\"; };", port);
        expect_accepted(0, "b");
        expect_served(port, "b");
        assert_int_equal(close(client), 0);
}

/* New clients are refused, those that have connected are accepted, and the socket is closed later.
 */
static void what_is_left_out_is_retired(void **state)
{
        uint64_t began;
        unsigned port;
        int client;

        (void)state;
        port = listen_anywhere();
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
        port = listen_anywhere();
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

/* Each retired socket is closed LISTENER_RETIRE_USEC after it was retired. */
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
 * A client whose handshake is not finished is accepted too. Without TCP_QUICKACK, the client delays
 * the last packet of the handshake by up to 200 ms, to send it with its first data.
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

/* Clients of 127.0.0.1 are served while the service changes to the wildcard address, and back. */
static void wider_and_narrower(void **state)
{
        unsigned port;
        int client;

        (void)state;
        port = listen_anywhere();
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

/* An address is in use: the error names it, and all sockets are as before. */
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

        port = listen_anywhere();
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

/* Connects a client that cannot be accepted, because no descriptor is left. Return: its socket. */
static int connect_without_descriptors(void)
{
        struct rlimit before, none;
        int client, least;

        client = connect_to(listen_anywhere());
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

/* Without a free descriptor, clients wait until listeners_resume() is called. */
static void no_descriptors(void **state)
{
        int client = connect_without_descriptors();

        (void)state;
        listeners_resume(listeners);
        turn_a_while(); /* shorter than the second after which accepting is tried again anyway */
        assert_int_equal(n_accepted, 1);
        assert_int_equal(close(client), 0);
}

/* Accepting is tried again after a second, even without a call of listeners_resume(). */
static void tries_again(void **state)
{
        int client = connect_without_descriptors();

        (void)state;
        expect_accepted(0, "a");
        assert_int_equal(close(client), 0);
}

/* For a stop, clients that have connected are accepted, and new ones are refused. */
static void retire_all(void **state)
{
        unsigned port;
        int clients[3];

        (void)state;
        port = listen_anywhere();
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                clients[i] = connect_to(port);
        listeners_accept_pending(listeners);
        assert_int_equal(n_accepted, ELEMENTS(clients));
        assert_int_equal(listeners_retire(listeners), 1);
        expect_refused(port);
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                assert_int_equal(close(clients[i]), 0);
}

/* A text that does not fit ends with the number of sockets that it leaves out. */
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                LISTENERS_TEST(listens_where_the_configuration_says),
                LISTENERS_TEST(what_is_in_both_stays),
                LISTENERS_TEST(renamed_service),
                LISTENERS_TEST(what_is_left_out_is_retired),
                LISTENERS_TEST(disabled_service),
                LISTENERS_TEST(retired_one_after_the_other),
                LISTENERS_TEST(a_handshake_is_finished),
                LISTENERS_TEST(wider_and_narrower),
                LISTENERS_TEST(failure_changes_nothing),
                LISTENERS_TEST(no_descriptors),
                LISTENERS_TEST(tries_again),
                LISTENERS_TEST(retire_all),
                LISTENERS_TEST(many_sockets),
        };

        return run_listeners_tests(tests);
}
