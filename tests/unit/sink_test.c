/* SPDX-License-Identifier: MIT */
/*
 * The sink: a slow reader gets whole records in order, and all missing records have been counted.
 */
#include "sink.h"
#include "unit.h"

#include <ctype.h>
#include <sys/socket.h>

#define RECORDS   5000
#define LINE_SIZE 8192

static uint8_t queue[SINK_QUEUE_BYTES];
static struct sink sink = SINK_INIT(queue);
static int saved_stderr;

/* A reader that parses a stream of lines. Each line is its number and as many letters. */
struct reader {
        int fd;
        char line[LINE_SIZE + 1];
        size_t length;
        unsigned n, last;
};

static size_t make_line(char *line, unsigned number)
{
        size_t n = (size_t)snprintf(line, LINE_SIZE, "%u:", number);
        size_t letters = random_between(0, random_between(0, 9) ? 100 : LINE_SIZE - 20);

        memset(line + n, 'x', letters);
        line[n + letters] = '\n';
        return n + letters + 1;
}

static void take_line(struct reader *reader)
{
        char *end;
        unsigned long number = strtoul(reader->line, &end, 10);

        assert_int_equal(*end, ':');
        assert_int_equal(strspn(end + 1, "x"), strlen(end + 1));
        assert_true(reader->n == 0 || number > reader->last);
        reader->last = (unsigned)number;
        reader->n++;
}

/* Reads up to @n bytes. */
static void read_some(struct reader *reader, size_t n)
{
        char bytes[65536];
        ssize_t got = read(reader->fd, bytes, n < sizeof(bytes) ? n : sizeof(bytes));

        for (ssize_t i = 0; i < got; i++) {
                if (bytes[i] != '\n') {
                        assert_in_range(reader->length, 0, LINE_SIZE - 1);
                        reader->line[reader->length++] = bytes[i];
                        continue;
                }
                reader->line[reader->length] = '\0';
                take_line(reader);
                reader->length = 0;
        }
}

/* @reads: one of so many records is followed by a read. */
static void run(int reader_fd, size_t reads)
{
        struct reader reader = { .fd = reader_fd };
        char line[LINE_SIZE];

        assert_int_equal(fcntl(reader_fd, F_SETFL, O_NONBLOCK), 0);
        for (unsigned i = 1; i <= RECORDS; i++) {
                sink_put(&sink, line, make_line(line, i));
                assert_in_range(sink_waiting(&sink), 0, SINK_QUEUE_BYTES);
                if (random_between(1, reads) == 1)
                        read_some(&reader, random_between(1, 65536));
        }
        while (!sink_flush(&sink))
                read_some(&reader, 65536);
        for (int i = 0; i < 100; i++)
                read_some(&reader, 65536);
        assert_int_equal(reader.n + sink.n_lost, RECORDS);
        assert_int_equal(reader.length, 0);
        print_message("%u records read, %ju lost\n", reader.n, (uintmax_t)sink.n_lost);
}

static void use_stderr(int fd)
{
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        sink_to_stderr(&sink);
}

static void back_to_stderr(int fds[2])
{
        (void)dup2(saved_stderr, STDERR_FILENO);
        sink_to_stderr(&sink);
        (void)close(fds[0]);
        (void)close(fds[1]);
}

static void on_pipe(enum sink_method method)
{
        for (size_t reads = 1; reads <= 1000; reads *= 10) {
                int fds[2];

                assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
                use_stderr(fds[1]);
                assert_int_equal(sink.method, SINK_WRITE);
                assert_true(sink.fd != STDERR_FILENO);
                assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
                if (method == SINK_POLL) {
                        sink.method = SINK_POLL;
                        sink.fd = STDERR_FILENO;
                }
                run(fds[0], reads);
                back_to_stderr(fds);
        }
}

static void to_pipe(void **state)
{
        (void)state;
        on_pipe(SINK_WRITE);
}

/* As if standard error could not be opened again. */
static void to_pipe_of_another_user(void **state)
{
        (void)state;
        on_pipe(SINK_POLL);
}

static void to_socket(void **state)
{
        (void)state;
        for (size_t reads = 1; reads <= 1000; reads *= 10) {
                int fds[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
                use_stderr(fds[1]);
                assert_int_equal(sink.method, SINK_SEND);
                run(fds[0], reads);
                assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
                back_to_stderr(fds);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(to_pipe),
                cmocka_unit_test(to_pipe_of_another_user),
                cmocka_unit_test(to_socket),
        };

        seed_random();
        saved_stderr = dup(STDERR_FILENO);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
