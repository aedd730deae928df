/* SPDX-License-Identifier: MIT */
/* The receive window doubles as bytes are received, up to its bound. */
#include "unit.h"
#include "window.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define KIB    ((uint64_t)1024)
#define LOCKED 2
#define NEVER  UINT64_MAX

static int option(int fd, int name)
{
        int value = -1;
        socklen_t length = sizeof(value);

        assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &length), 0);
        return value;
}

/* Grows a window in the steps of a stream, and checks when it grows and to which size. */
static void grows(void **state)
{
        static const struct {
                uint64_t received, next, buffer_at_least;
        } steps[] = {
                { 1, 256 * KIB, 0 },
                { 256 * KIB - 1, 256 * KIB, 0 },
                { 256 * KIB, 512 * KIB, 128 * KIB },
                { 300 * KIB, 512 * KIB, 128 * KIB },
                { 1024 * KIB, 2048 * KIB, 512 * KIB },
                { 3072 * KIB, 4096 * KIB, 1024 * KIB },
                { 4096 * KIB, NEVER, 1500 * KIB },
        };
        int fd = socket(AF_INET, SOCK_STREAM, 0), first = option(fd, SO_RCVBUF);
        struct window window;

        (void)state;
        window_init(&window, 1500 * KIB);
        window_update(&window, fd, (uint64_t)1 << 40);
        assert_int_equal(option(fd, SO_BUF_LOCK), 0);
        window_lock(&window, fd);
        assert_int_equal(option(fd, SO_RCVBUF), first);
        assert_int_equal(option(fd, SO_BUF_LOCK), LOCKED);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int buffer;

                window_update(&window, fd, steps[i].received);
                buffer = option(fd, SO_RCVBUF);
                assert_true(window.next_bytes == steps[i].next);
                assert_in_range(buffer, steps[i].buffer_at_least, 2 * 1500 * KIB);
                assert_int_equal(option(fd, SO_BUF_LOCK), LOCKED);
                assert_int_equal(option(fd, SO_RCVLOWAT), 1);
        }
        assert_int_equal(close(fd), 0);
}

/* The system keeps setting the size. */
static void left_to_the_system(void **state)
{
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct window window;

        (void)state;
        window_init(&window, 0);
        assert_false(window_is_bounded(&window));
        window_lock(&window, fd);
        window_update(&window, fd, (uint64_t)1 << 40);
        assert_int_equal(option(fd, SO_BUF_LOCK), 0);
        assert_int_equal(close(fd), 0);
}

/* The smallest window is the one that a socket has anyway. */
static void least(void **state)
{
        int fd = socket(AF_INET, SOCK_STREAM, 0), first = option(fd, SO_RCVBUF);
        struct window window;

        (void)state;
        window_init(&window, 1);
        assert_true(window_is_bounded(&window));
        window_lock(&window, fd);
        window_update(&window, fd, (uint64_t)1 << 40);
        assert_int_equal(option(fd, SO_RCVBUF), first);
        assert_int_equal(option(fd, SO_BUF_LOCK), LOCKED);
        assert_int_equal(close(fd), 0);
}

/* A fixed size stays fixed, as set by systemd's ReceiveBuffer= and SendBuffer=. */
static void fixed_sizes_stay(void **state)
{
        static const int options[] = { SO_RCVBUF, SO_SNDBUF };
        const int size = 16384;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(options); i++) {
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                struct window window;

                assert_int_equal(setsockopt(fd, SOL_SOCKET, options[i], &size, sizeof(size)), 0);
                window_init(&window, 1024 * KIB);
                window_lock(&window, fd);
                window_update(&window, fd, (uint64_t)1 << 40);
                assert_int_equal(option(fd, options[i]), 2 * size);
                assert_int_equal(option(fd, SO_BUF_LOCK), options[i] == SO_SNDBUF ? 3 : LOCKED);
                assert_int_equal(close(fd), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(grows),
                cmocka_unit_test(left_to_the_system),
                cmocka_unit_test(least),
                cmocka_unit_test(fixed_sizes_stay),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
