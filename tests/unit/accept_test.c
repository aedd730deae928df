/* SPDX-License-Identifier: MIT */
/*
 * Errors of accept4(2), which this test replaces: errors of one client that has left, and errors of
 * the system, which pause the listener.
 */
#include "listener.h"
#include "turning.h"

#include <errno.h>
#include <sys/syscall.h>

static int next_error; /* what the next call fails with; 0: it succeeds */
static int calls, accepted, reported;

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags)
{
        calls++;
        if (next_error) {
                errno = next_error;
                next_error = 0;
                return -1;
        }
        return (int)syscall(SYS_accept4, fd, address.__sockaddr__, length, flags);
}

static void on_accept(struct listener *listener, int fd, const struct address *peer, void *arg)
{
        (void)listener;
        (void)peer;
        (void)arg;
        assert_int_equal(close(fd), 0);
        accepted++;
}

static void on_error(struct listener *listener, int error, void *arg)
{
        (void)listener;
        (void)arg;
        reported = error;
}

static const struct listener_events events = { .on_accept = on_accept, .on_error = on_error };
static const struct socket_access everyone = { .mode = 0666 };
static const struct socket_options options;

static struct listener *make_listener(void)
{
        struct listener *listener = NULL;
        struct address address;
        int fd = -1;

        assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
        assert_int_equal(listener_bind(&address, &everyone, 10, false, &fd), 0);
        assert_int_equal(listener_new(loop, fd, true, &options, &events, NULL, &listener), 0);
        return listener;
}

static int connect_to(const struct listener *listener)
{
        const struct address *address = listener_address(listener);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, &address->sa, address->length), 0);
        return fd;
}

/* Lets a client come while accept4(2) fails once. */
static int come_with_error(struct listener *listener, int error)
{
        int client = connect_to(listener);

        next_error = error;
        calls = accepted = reported = 0;
        turn_until(calls > 0);
        return client;
}

/* Errors of a client are not reported, and the next client is accepted. */
static void of_a_client(void **state)
{
        static const int errors[] = { ECONNABORTED, EINTR,  EPROTO,       ENETDOWN,   ENOPROTOOPT,
                                      EHOSTDOWN,    ENONET, EHOSTUNREACH, ENETUNREACH };
        struct listener *listener = make_listener();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                int client = come_with_error(listener, errors[i]);

                turn_until(accepted > 0);
                assert_int_equal(reported, 0);
                assert_int_equal(close(client), 0);
        }
        listener_free(listener);
}

/*
 * Errors of the system are reported once. The listener does not spin, and continues when it is
 * resumed.
 */
static void of_the_system(void **state)
{
        static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EINVAL };
        struct listener *listener = make_listener();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                int client = come_with_error(listener, errors[i]);

                assert_int_equal(reported, -errors[i]);
                assert_int_equal(listener_is_exhausted(reported), i < 4);
                for (int turns = 0; turns < 5; turns++)
                        turn();
                assert_int_equal(calls, 1);
                assert_int_equal(accepted, 0);
                assert_int_equal(listener_resume(listener), 0);
                turn_until(accepted > 0);
                assert_int_equal(close(client), 0);
        }
        listener_free(listener);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(of_a_client, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(of_the_system, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
