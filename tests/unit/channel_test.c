/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: all bytes both ways, the end after everything that arrived, and system
 * calls that are interrupted or fail.
 *
 * This test replaces the C library's recv() and writev(), for libevent as well.
 */
#include "channel.h"
#include "turning.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define BYTES ((size_t)4 * 1024 * 1024) /* more than the sockets hold */

static bool interrupt_each; /* every second call fails with EINTR */
static int send_error;      /* what writev() fails with; 0: it succeeds */
static unsigned n_interrupts;

static bool interrupted(void)
{
        static unsigned n;

        if (!interrupt_each || ++n % 2 == 0)
                return false;
        n_interrupts++;
        errno = EINTR;
        return true;
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
        if (interrupted())
                return -1;
        return syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL);
}

ssize_t writev(int fd, const struct iovec *pieces, int n)
{
        if (interrupted())
                return -1;
        if (send_error) {
                errno = send_error;
                return -1;
        }
        return syscall(SYS_writev, fd, pieces, n);
}

static struct channel *channel;
static int pair[2]; /* the channel's socket; the peer's */
static uint8_t data[BYTES], received[BYTES];
static size_t n_received;
static int n_ends, end_error;

static void on_data(void *arg, const uint8_t *bytes, size_t n)
{
        assert_ptr_equal(arg, pair);
        assert_int_equal(n_ends, 0);
        assert_true(n >= 1 && n_received + n <= sizeof(received));
        memcpy(received + n_received, bytes, n);
        n_received += n;
}

static void on_end(void *arg, int error)
{
        assert_ptr_equal(arg, pair);
        n_ends++;
        end_error = error;
}

static int set_up(void **state)
{
        static const struct channel_events events = { .on_data = on_data, .on_end = on_end };
        const int little = 65536;

        (void)signal(SIGPIPE, SIG_IGN);
        fill_random(data, sizeof(data));
        n_received = 0;
        n_ends = 0;
        end_error = 1;
        if (start_loop(state) < 0)
                return -1;
        tcp_pair(pair);
        if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)) < 0 ||
            setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)) < 0)
                return -1;
        return channel_new(loop, pair[0], &events, pair, &channel);
}

static int tear_down(void **state)
{
        interrupt_each = false;
        send_error = 0;
        channel = channel_free(channel);
        closep(&pair[0]);
        closep(&pair[1]);
        return stop_loop(state);
}

static void close_peer(void)
{
        assert_int_equal(close(pair[1]), 0);
        pair[1] = -1;
}

/* Reads what the peer has received into @received. Return: whether the stream has ended. */
static bool peer_reads(void)
{
        ssize_t n = 1;

        while (n > 0 && n_received < sizeof(received)) {
                n = read(pair[1], received + n_received, sizeof(received) - n_received);
                n_received += n > 0 ? (size_t)n : 0;
        }
        return n == 0 || read(pair[1], received, 1) == 0;
}

static void sends_all(void **state)
{
        (void)state;
        assert_int_equal(channel_send(channel, data, BYTES), 0);
        assert_true(channel_unsent_bytes(channel) > 0);
        channel_end(channel);
        assert_false(channel_has_ended(channel));
        turn_until(peer_reads());
        assert_true(channel_has_ended(channel));
        assert_int_equal(channel_unsent_bytes(channel), 0);
        assert_int_equal(n_received, BYTES);
        assert_memory_equal(received, data, BYTES);
        close_peer();
        turn_until(n_ends == 1);
        assert_int_equal(end_error, 0);
}

static void receives_all(void **state)
{
        size_t sent = 0;

        (void)state;
        while (n_received < BYTES) {
                ssize_t n = write(pair[1], data + sent, BYTES - sent);

                sent += n > 0 ? (size_t)n : 0;
                turn();
        }
        close_peer();
        turn_until(n_ends == 1);
        assert_int_equal(end_error, 0);
        assert_memory_equal(received, data, BYTES);
}

static void interrupted_calls(void **state)
{
        interrupt_each = true;
        n_interrupts = 0;
        sends_all(state);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
        interrupt_each = true;
        receives_all(state);
        assert_true(n_interrupts > 10);
}

/* The peer answers and resets: send sees that first. */
static void answer_before_a_reset(void **state)
{
        const size_t n = 60000; /* within the first window: all of it has arrived */

        (void)state;
        assert_int_equal(channel_send(channel, "x", 1), 0);
        assert_int_equal(write(pair[1], data, n), n);
        close_peer(); /* one byte is unread, so this resets */
        assert_int_equal(channel_send(channel, "y", 1), 0);
        assert_int_equal(n_ends, 0); /* on_end() is not called from within a call */
        turn_until(n_ends == 1);
        assert_true(end_error < 0);
        assert_int_equal(n_received, n);
        assert_memory_equal(received, data, n);
        turn_a_while();
        assert_int_equal(n_ends, 1);
}

/* Also a failure that the socket does not know of, and one while reading is paused. */
static void answer_before_a_failed_send(void **state)
{
        (void)state;
        assert_int_equal(write(pair[1], data, 60000), 60000);
        send_error = ENOMEM;
        channel_pause(channel);
        assert_int_equal(channel_send(channel, "x", 1), 0);
        turn_a_while();
        assert_int_equal(n_ends + (int)n_received, 0);
        assert_int_equal(channel_resume(channel), 0);
        turn_until(n_ends == 1);
        assert_int_equal(end_error, -ENOMEM);
        assert_int_equal(n_received, 60000);
        assert_int_equal(channel_resume(channel), 0); /* has no effect any more */
        turn_a_while();
        assert_int_equal(n_ends, 1);
}

/* A reset that is noticed only at the end is not an orderly end. */
static void end_after_a_reset(void **state)
{
        const struct linger none = { .l_onoff = 1 };
        int error;
        socklen_t length = sizeof(error);

        (void)state;
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        close_peer();
        assert_int_equal(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length), 0);
        assert_int_equal(error, ECONNRESET); /* which clears the socket's error */
        channel_end(channel);
        turn_until(n_ends == 1);
        assert_true(end_error < 0);
}

static void pauses(void **state)
{
        (void)state;
        channel_pause(channel);
        assert_int_equal(write(pair[1], data, 100), 100);
        close_peer();
        turn_a_while();
        assert_int_equal(n_ends + (int)n_received, 0);
        assert_int_equal(channel_resume(channel), 0);
        turn_until(n_ends == 1);
        assert_int_equal(end_error, 0);
        assert_int_equal(n_received, 100);
}

#define channel_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                channel_test(sends_all),
                channel_test(receives_all),
                channel_test(interrupted_calls),
                channel_test(answer_before_a_reset),
                channel_test(answer_before_a_failed_send),
                channel_test(end_after_a_reset),
                channel_test(pauses),
        };

        return run_on_all_backends(tests);
}
