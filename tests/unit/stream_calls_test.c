/* SPDX-License-Identifier: MIT */
/* System calls that a stream does not make because their result cannot matter. */
#include "stream.h"
#include "turning.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static unsigned n_outq, n_linger;

/* These take the place of the C library's functions and count calls. */
int ioctl(int fd, unsigned long request, ...)
{
        va_list arguments;
        void *argument;

        va_start(arguments, request);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        n_outq += request == SIOCOUTQ;
        return (int)syscall(SYS_ioctl, fd, request, argument);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
        n_linger += level == SOL_SOCKET && option == SO_LINGER;
        return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}

static int error;

static void on_data(struct stream *stream, const uint8_t *data, size_t n)
{
        (void)stream;
        (void)data;
        (void)n;
}

static void on_end(struct stream *stream)
{
        (void)stream;
}

static void on_error(struct stream *stream, int r)
{
        (void)stream;
        error = r;
}

static const struct stream_events events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_end,
        .on_error = on_error,
};

static struct stream stream;
static int peer;

static int start(void **state)
{
        int r = start_loop(state), pair[2];

        if (r < 0)
                return r;
        tcp_pair(pair);
        n_outq = n_linger = 0;
        error = 0;
        peer = pair[1];
        return stream_init(&stream, loop, pair[0], &events);
}

static int end(void **state)
{
        stream_deinit(&stream);
        closep(&peer);
        return stop_loop(state);
}

/* Nothing sent is nothing to ask about. What was once acknowledged stays acknowledged. */
static void acknowledgements(void **state)
{
        (void)state;
        assert_int_equal(stream_unacknowledged(&stream), 0);
        assert_int_equal(n_outq, 0);
        for (unsigned i = 1; i <= 2; i++) {
                assert_int_equal(stream_send(&stream, (const uint8_t *)"hello", 5), 0);
                turn_until(stream_unacknowledged(&stream) == 0);
                assert_true(n_outq >= i);
                n_outq = i;
                assert_int_equal(stream_unacknowledged(&stream), 0);
                assert_int_equal(n_outq, i);
        }
}

/* A reset is asked for unless the peer has made one. */
static void resets(void **state)
{
        const struct linger none = { .l_onoff = 1 };

        (void)state;
        assert_int_equal(stream_resume(&stream), 0);
        stream_set_reset(&stream);
        assert_int_equal(n_linger, 1);
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        closep(&peer);
        peer = -1;
        turn_until(error);
        assert_int_equal(error, -ECONNRESET);
        stream_set_reset(&stream);
        assert_int_equal(n_linger, 2); /* with the peer's own */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(acknowledgements, start, end),
                cmocka_unit_test_setup_teardown(resets, start, end),
        };

        return run_on_all_backends(tests);
}
