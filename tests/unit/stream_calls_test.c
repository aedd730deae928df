/* SPDX-License-Identifier: MIT */
/* System calls that a stream does not make because their result cannot matter, or not yet. */
#include "stream.h"
#include "turning.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static unsigned n_outq, n_atmark, n_linger, n_added;
static size_t largest_unlocked; /* the most bytes that a read asked for before a lock was set */
static int locks;               /* the last locks that were set */

/* These functions replace the C library's, and count calls. */
int ioctl(int fd, unsigned long request, ...)
{
        va_list arguments;
        void *argument;

        va_start(arguments, request);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        n_outq += request == SIOCOUTQ;
        n_atmark += request == SIOCATMARK;
        return (int)syscall(SYS_ioctl, fd, request, argument);
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
        if (!locks && n > largest_unlocked)
                largest_unlocked = n;
        return (ssize_t)syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
        n_linger += level == SOL_SOCKET && option == SO_LINGER;
        if (level == SOL_SOCKET && option == SO_BUF_LOCK)
                memcpy(&locks, value, sizeof(locks));
        return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
        n_added += op == EPOLL_CTL_ADD && event->events == (EPOLLPRI | EPOLLET);
        return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static int error;
static size_t received, largest_read;
static size_t urgent_at; /* bytes read with the urgent one */
static unsigned n_settled;

static void on_data(struct stream *stream, struct share *share)
{
        (void)stream;
        received += share->n;
        largest_read = share->n > largest_read ? share->n : largest_read;
        if (share->urgent)
                urgent_at = received;
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

static void on_settled(struct stream *stream)
{
        assert_true(stream->watched);
        n_settled++;
}

static const struct stream_events events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_exception = on_end,
        .on_error = on_error,
};

static const struct stream_events carrying_events = {
        .on_data = on_data,
        .on_end = on_end,
        .on_error = on_error,
        .on_settled = on_settled,
};

static struct stream stream;
static int peer;

static int start_with(void **state, const struct stream_events *stream_events)
{
        const int on = 1;
        int r = start_loop(state), pair[2];

        if (r < 0)
                return r;
        tcp_pair(pair);
        n_outq = n_atmark = n_linger = n_added = n_settled = 0;
        error = locks = 0;
        largest_unlocked = 0;
        received = largest_read = urgent_at = 0;
        peer = pair[1];
        r = stream_init(&stream, loop, pair[0], stream_events);
        stream_set_receive_buffer(&stream, LOOP_SCRATCH_BYTES);
        return r < 0 ? r : setsockopt(pair[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

static int start(void **state)
{
        return start_with(state, &events);
}

static int start_carrying(void **state)
{
        return start_with(state, &carrying_events);
}

static int end(void **state)
{
        stream_deinit(&stream);
        closep(&peer);
        return stop_loop(state);
}

/* If nothing was sent, nothing is asked. Acknowledged bytes stay acknowledged. */
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

/* A reset is requested unless the peer has made one. */
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

/* Makes the peer send @n bytes, and the stream read all of them. */
static void pass(size_t n)
{
        static const uint8_t data[LOOP_SCRATCH_BYTES];
        size_t before = received;

        assert_int_equal(send(peer, data, n, 0), n);
        turn_until(received == before + n);
}

/* A stream that carries little and ends soon joins no watch, and its buffer is not locked. */
static void short_life(void **state)
{
        (void)state;
        assert_int_equal(stream_resume(&stream), 0);
        pass(1);
        assert_int_equal(stream_send(&stream, (const uint8_t *)"hello", 5), 0);
        if (n_settled > 0)
                skip(); /* the machine was too slow */
        stream_deinit(&stream);
        turn_for(3 * SETTLE_USEC);
        assert_int_equal(n_added + n_settled + (unsigned)locks, 0);
}

/* A stream that lasts settles, even while it is not read. */
static void long_life(void **state)
{
        uint64_t began = now_usec();

        (void)state;
        turn_until(n_settled);
        assert_true(now_usec() - began >= SETTLE_USEC);
        assert_int_equal(n_added, 1);
        assert_true(locks);
        turn_for(3 * SETTLE_USEC);
        assert_int_equal(n_settled, 1);
        closep(&peer);
        peer = -1;
}

/* A stream that carries much settles at once. Before that no read takes much, but this cannot be
 * seen. */
static void much_received(void **state)
{
        (void)state;
        assert_int_equal(stream_resume(&stream), 0);
        pass(WINDOW_UNLOCKED_BYTES - 1);
        pass(LOOP_SCRATCH_BYTES / 2);
        assert_int_equal(largest_read, LOOP_SCRATCH_BYTES / 2);
        assert_int_equal(largest_unlocked, WINDOW_UNLOCKED_BYTES);
        assert_true(locks);
        assert_int_equal(n_settled, 1);
        n_atmark = 0;
        pass(LOOP_SCRATCH_BYTES / 2);
        assert_int_equal(n_atmark, 0);
}

/* A large first read ends before an urgent byte, wherever it is. */
static void urgent_in_a_large_read(void **state)
{
        static const uint8_t data[2 * WINDOW_UNLOCKED_BYTES];

        for (size_t before = WINDOW_UNLOCKED_BYTES - 1; before <= WINDOW_UNLOCKED_BYTES + 1;
             before++) {
                assert_int_equal(end(state), 0);
                assert_int_equal(start_carrying(state), 0);
                assert_int_equal(send(peer, data, before, 0), before);
                assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
                assert_int_equal(send(peer, data, 100, 0), 100);
                assert_int_equal(stream_resume(&stream), 0);
                turn_until(received == before + 101);
                assert_int_equal(urgent_at, before + 1);
        }
}

/* A reset after a large first read is still reported. */
static void reset_behind_a_large_read(void **state)
{
        static const uint8_t data[WINDOW_UNLOCKED_BYTES];
        const struct linger none = { .l_onoff = 1 };

        (void)state;
        assert_int_equal(send(peer, data, sizeof(data), 0), sizeof(data));
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        closep(&peer);
        peer = -1;
        assert_int_equal(stream_resume(&stream), 0);
        turn_until(error);
        assert_int_equal(error, -ECONNRESET);
        assert_int_equal(received, sizeof(data));
}

static void much_sent(void **state)
{
        static const uint8_t data[WINDOW_UNLOCKED_BYTES];

        (void)state;
        assert_int_equal(stream_send(&stream, data, sizeof(data) - 1), 0);
        assert_int_equal(n_settled, 0);
        assert_int_equal(stream_send(&stream, data, 1), 0);
        assert_int_equal(n_settled, 1);
        turn_for(3 * SETTLE_USEC);
        assert_int_equal(n_settled, 1);
}

/* The urgent byte is also found without the watch. */
static void urgent_to_a_newcomer(void **state)
{
        (void)state;
        assert_int_equal(send(peer, "abc", 3, 0), 3);
        assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
        assert_int_equal(send(peer, "abc", 3, 0), 3);
        assert_int_equal(stream_resume(&stream), 0);
        turn_until(received == 7);
        if (n_settled > 0)
                skip(); /* the machine was too slow */
        assert_int_equal(urgent_at, 4);
}

/* A reset before the watch began is reported by the watch. */
static void reset_of_an_unread_newcomer(void **state)
{
        const struct linger none = { .l_onoff = 1 };

        (void)state;
        assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        closep(&peer);
        peer = -1;
        turn_until(error);
        assert_int_equal(error, -ECONNRESET);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(acknowledgements, start, end),
                cmocka_unit_test_setup_teardown(resets, start, end),
                cmocka_unit_test_setup_teardown(short_life, start_carrying, end),
                cmocka_unit_test_setup_teardown(long_life, start_carrying, end),
                cmocka_unit_test_setup_teardown(much_received, start_carrying, end),
                cmocka_unit_test_setup_teardown(much_sent, start_carrying, end),
                cmocka_unit_test_setup_teardown(urgent_in_a_large_read, start_carrying, end),
                cmocka_unit_test_setup_teardown(reset_behind_a_large_read, start_carrying, end),
                cmocka_unit_test_setup_teardown(urgent_to_a_newcomer, start_carrying, end),
                cmocka_unit_test_setup_teardown(reset_of_an_unread_newcomer, start_carrying, end),
        };

        return run_on_all_backends(tests);
}
