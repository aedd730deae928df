/* SPDX-License-Identifier: MIT */
/* Sockets that systemd passed: which service gets them, and when they are closed. */
#include "listeners_fixture.h"

#include <systemd/sd-daemon.h>

/* Opens a listening socket as descriptor @fd, where systemd would pass it. Return: its port. */
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

/* Sets the environment as systemd does when it passes @n descriptors. */
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
        assert_null(getenv("LISTEN_FDS")); /* so that no child process takes them */

        other = load("b = { listen = \"127.0.0.1:0\"; }; c = { listen = \"127.0.0.1:0\"; };");
        assert_int_equal(listeners_match(listeners, other, why), -EINVAL);
        assert_non_null(strstr(why, "\"a\""));
        config_unref(other);

        apply("a = { listen = \"127.0.0.1:0\"; }; b = { listen = \"unix:%s/sock\"; };",
              test_directory);
        expect_described("a on 127.0.0.1:%u, b on unix:%s/sock", passed, test_directory);
        expect_served(passed, "a");

        assert_int_equal(listeners_retire(listeners),
                         1); /* the other one is open in systemd too, and stays */
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

/* A test passes its sockets before it makes the loop, which would take their numbers. */
#define PASSED_TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                PASSED_TEST(passed_socket),
                PASSED_TEST(passed_and_not_taken),
                PASSED_TEST(passed_rubbish),
        };

        return run_listeners_tests(tests);
}
