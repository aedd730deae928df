/* SPDX-License-Identifier: MIT */
/*
 * Output arrives completely and in order, without blocking the loop, whatever the descriptor is.
 *
 * This test replaces the C library's writev(), for libevent as well.
 */
#include "output.h"
#include "turning.h"

#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

#define BYTES ((size_t)1024 * 1024) /* more than a pipe, a terminal or a socket holds */

static bool interrupt_each; /* every second call fails with EINTR */
static unsigned n_interrupts;

ssize_t writev(int fd, const struct iovec *pieces, int n)
{
        static unsigned n_calls;

        if (interrupt_each && ++n_calls % 2) {
                n_interrupts++;
                errno = EINTR;
                return -1;
        }
        return syscall(SYS_writev, fd, pieces, n);
}

static struct output *output;
static int reads, writes; /* the two ends of the pipe, terminal or socket */
static uint8_t data[BYTES], got[BYTES];
static size_t n_got;
static int n_rooms, n_failures, failure;

static void on_room(void *arg)
{
        assert_ptr_equal(arg, data);
        assert_false(output_is_full(output));
        n_rooms++;
}

static void on_failed(void *arg, int error)
{
        assert_ptr_equal(arg, data);
        n_failures++;
        failure = error;
}

/* Makes an output in front of @writes, which blocks or does not. */
static void begin(bool blocks)
{
        static const struct output_events events = { on_room, on_failed };
        int flags = fcntl(writes, F_GETFL) & ~O_NONBLOCK;

        assert_int_equal(fcntl(writes, F_SETFL, flags | (blocks ? 0 : O_NONBLOCK)), 0);
        assert_int_equal(evutil_make_socket_nonblocking(reads), 0);
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)('a' + random() % 26);
        n_got = 0;
        n_rooms = n_failures = 0;
        assert_int_equal(output_new(loop, writes, &output), 0);
        output_set_events(output, &events, data);
}

static void end(void)
{
        output = output_free(output);
        closep(&reads);
        closep(&writes);
}

static void read_some(void)
{
        ssize_t n = read(reads, got + n_got, sizeof(got) - n_got);

        n_got += n > 0 ? (size_t)n : 0;
}

static void make_pipe(void)
{
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        reads = fds[0];
        writes = fds[1];
}

static void make_terminal(void)
{
        struct termios raw;

        assert_int_equal(openpty(&reads, &writes, NULL, NULL, NULL), 0);
        assert_int_equal(tcgetattr(writes, &raw), 0);
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(writes, TCSANOW, &raw), 0);
}

static void make_socket(void)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        reads = fds[0];
        writes = fds[1];
}

static void (*const makes[])(void) = { make_pipe, make_terminal, make_socket };

/* Everything arrives, and the loop goes on before it is read. */
static void writes_all(void **state)
{
        (void)state;
        for (size_t i = 0; i < 2 * ELEMENTS(makes); i++) {
                bool blocks = i % 2;

                makes[i / 2]();
                begin(blocks);
                output_write(output, data, BYTES - 2);
                output_printf(output, "%c%c", data[BYTES - 2], data[BYTES - 1]);
                assert_true(output_is_full(output));
                turn_a_while();
                assert_int_equal(n_rooms, 0);
                assert_true(output_is_full(output));
                assert_int_equal(!(fcntl(writes, F_GETFL) & O_NONBLOCK), blocks);
                turn_until((read_some(), n_got == BYTES));
                turn_until(n_rooms > 0);
                assert_memory_equal(got, data, BYTES);
                assert_int_equal(output_finish(output), 0);
                assert_int_equal(n_failures, 0);
                end();
        }
}

static void *read_all(void *arg)
{
        while (n_got < BYTES)
                read_some();
        return arg;
}

static void finishes(void **state)
{
        (void)state;
        for (size_t i = 0; i < 2 * ELEMENTS(makes); i++) {
                pthread_t thread;

                makes[i / 2]();
                begin(i % 2);
                output_write(output, data, BYTES);
                assert_int_equal(pthread_create(&thread, NULL, read_all, NULL), 0);
                assert_int_equal(output_finish(output), 0);
                assert_int_equal(pthread_join(thread, NULL), 0);
                assert_memory_equal(got, data, BYTES);
                end();
        }
}

static void interrupted(void **state)
{
        interrupt_each = true;
        n_interrupts = 0;
        writes_all(state);
        finishes(state);
        interrupt_each = false;
        assert_true(n_interrupts > 10);
}

static void nobody_reads(void **state)
{
        (void)state;
        make_pipe();
        begin(true);
        assert_int_equal(close(reads), 0);
        reads = -1;
        output_write(output, data, 100);
        assert_int_equal(n_failures, 0); /* on_failed() is not called from within a call */
        turn_until(n_failures == 1);
        assert_int_equal(failure, -EPIPE);
        output_write(output, data, 100);
        output_printf(output, "%s", "x");
        turn_a_while();
        assert_int_equal(n_failures, 1);
        assert_int_equal(output_finish(output), -EPIPE);
        end();
}

static void regular_file(void **state)
{
        (void)state;
        writes = open("file", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        reads = open("file", O_RDONLY | O_CLOEXEC);
        begin(true);
        output_write(output, data, BYTES);
        assert_int_equal(output_finish(output), 0);
        while (n_got < BYTES)
                read_some();
        assert_memory_equal(got, data, BYTES);
        end();
}

static void nothing(void **state)
{
        (void)state;
        make_pipe();
        begin(true);
        turn_a_while();
        assert_int_equal(n_rooms + n_failures, 0);
        assert_int_equal(output_finish(output), 0);
        end();
}

#define output_test(test) cmocka_unit_test_setup_teardown(test, start_loop, stop_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                output_test(writes_all),   output_test(finishes),     output_test(interrupted),
                output_test(nobody_reads), output_test(regular_file), output_test(nothing),
        };

        (void)signal(SIGPIPE, SIG_IGN);
        seed_random();
        backend = "poll"; /* as in the clients, whose input and output may be files */
        return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
