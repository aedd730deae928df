/* SPDX-License-Identifier: MIT */
/*
 * A stream linked to itself, an echo, over a pair of sockets: on each backend every byte comes back
 * in order, and then the end. Unread bytes are bounded, and each error is reported once.
 *
 * The test plays the peer between two turns of the loop. Bytes count up in a pattern whose period
 * differs from the size of every buffer.
 */
#include "fates.h"
#include "link.h"
#include "turning.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#define PERIOD          251
#define HOLD_BYTES      ((size_t)256 * 1024) /* the most that a shaper holds */
#define PIPE_MOST_BYTES (1024 * 1024)        /* the largest pipe, /proc/sys/fs/pipe-max-size */

/* An echo, and a record of its callbacks. */
struct echo {
        struct stream stream;
        struct link link;
        struct stream_bytes total; /* of the stream */
        struct loop_task task;
        int peer;
        size_t largest_read, largest_send;
        uint64_t sending;
        int empties, dones, limits, ends, exceptions, errors, error;
        enum fate_reason over_why; /* of the last of @limits */
        size_t queued_at_done;
        uint64_t spliced;   /* spliced bytes, which on_data() does not see */
        uint64_t urgent_at; /* bytes read, up to the last urgent one */
        bool stop_spliced;  /* stops at the first spliced bytes, which are dropped */
        bool fleeting;      /* ends in its first callback */
        struct echo *twin;  /* another echo, which ends with this one */
};

static struct echo *echo;
static bool in_callback;
static size_t most_queued;

static void free_echo(struct echo *e)
{
        closep(&e->peer);
        link_stop(&e->link);
        assert_int_equal(e->total.held, 0);
        assert_int_equal(e->total.received, e->stream.in);
        stream_deinit(&e->stream);
        stream_deinit(&e->stream); /* does nothing */
        free(e);
}

static struct echo *of_stream(struct stream *stream)
{
        return container_of(stream, struct echo, stream);
}

static struct echo *of_link(struct link *link)
{
        return container_of(link, struct echo, link);
}

static void run_free(struct loop_task *task)
{
        assert_false(in_callback);
        free_echo(container_of(task, struct echo, task));
        echo = NULL;
}

/* Ends the echo, as every owner does after an error. */
static void stop(struct echo *e)
{
        stream_stop(&e->stream);
        link_stop(&e->link);
        if (!e->fleeting)
                return;
        e->task.run = run_free;
        in_callback = true;
        loop_defer(loop, &e->task);
        in_callback = false;
        assert_ptr_equal(echo, e); /* not freed yet */
}

static void on_data(struct stream *stream, struct share *share)
{
        struct echo *e = of_stream(stream);

        if (share->place == SHARE_MEMORY)
                assert_ptr_equal(share->data, loop_scratch(loop));
        else
                e->spliced += share->n;
        if (share->place == SHARE_PIPE && e->stop_spliced) {
                stop(e);
                return;
        }
        if (share->n > e->largest_read)
                e->largest_read = share->n;
        if (share->urgent)
                e->urgent_at = stream->in;
        link_put_shared(&e->link, share);
        if (e->fleeting)
                stop(e);
}

static void on_end(struct stream *stream)
{
        of_stream(stream)->ends++;
        link_end(&of_stream(stream)->link);
}

static void on_exception(struct stream *stream)
{
        of_stream(stream)->exceptions++;
        stop(of_stream(stream));
        if (of_stream(stream)->twin)
                stop(of_stream(stream)->twin);
}

static void on_stream_error(struct stream *stream, int error)
{
        of_stream(stream)->errors++;
        of_stream(stream)->error = error;
        stop(of_stream(stream));
}

static void on_sending(struct link *link, const struct share *share)
{
        struct echo *e = of_link(link);

        for (size_t i = 0; share->place == SHARE_MEMORY && i < share->n; i++)
                assert_int_equal(share->data[i], (e->sending + i) % PERIOD);
        e->sending += share->n;
        if (share->n > e->largest_send)
                e->largest_send = share->n;
}

static void on_empty(struct link *link)
{
        assert_int_equal(stream_queued(&of_link(link)->stream), 0);
        of_link(link)->empties++;
}

static void on_done(struct link *link)
{
        struct echo *e = of_link(link);

        e->dones++;
        e->queued_at_done = stream_queued(&e->stream);
        assert_int_equal(stream_shutdown(&e->stream), 0);
        assert_int_equal(stream_sent(&e->stream), e->stream.in);
}

static void on_over(struct link *link, const struct fate_end *end)
{
        if (end->why == FATE_LIMIT)
                assert_int_equal(stream_queued(&of_link(link)->stream), 0);
        of_link(link)->over_why = end->why;
        of_link(link)->limits++;
        stop(of_link(link));
}

static void on_link_error(struct link *link, int error)
{
        on_stream_error(&of_link(link)->stream, error);
}

static const struct stream_events stream_events = { .on_data = on_data,
                                                    .on_end = on_end,
                                                    .on_exception = on_exception,
                                                    .on_error = on_stream_error };
static const struct stream_events carrying_events = { .on_data = on_data,
                                                      .on_end = on_end,
                                                      .on_error = on_stream_error };
static const struct link_events link_events = {
        .on_sending = on_sending,
        .on_empty = on_empty,
        .on_done = on_done,
        .on_over = on_over,
        .on_error = on_link_error,
};

static void start_on(const int pair[2], const struct stream_events *events)
{
        echo = calloc(1, sizeof(*echo));
        assert_non_null(echo);
        echo->peer = pair[1];
        assert_int_equal(stream_init(&echo->stream, loop, pair[0], events), 0);
        link_init(&echo->link, &echo->stream, &echo->stream, &link_events);
        stream_set_total(&echo->stream, &echo->total);
        assert_int_equal(stream_resume(&echo->stream), 0);
}

static void start_unix(void)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        start_on(pair, &stream_events);
}

static void start_tcp_with(const struct stream_events *events)
{
        const int little = 65536;
        int pair[2];

        tcp_pair(pair);
        /* Small buffers, so that a slow reader soon has an effect. */
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
        start_on(pair, events);
}

static void start_tcp(void)
{
        start_tcp_with(&stream_events);
}

/* Urgent data has its place in the stream. */
static void start_carrying(void)
{
        const int on = 1;

        start_tcp_with(&carrying_events);
        assert_int_equal(setsockopt(echo->stream.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
        assert_int_equal(setsockopt(echo->peer, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
}

static int make(void **state)
{
        most_queued = 0;
        return start_loop(state);
}

static int end(void **state)
{
        if (echo)
                free_echo(echo);
        echo = NULL;
        return stop_loop(state);
}

/* Turns the loop once, and then checks the queue. */
static void watch_turn(void)
{
        turn();
        if (stream_queued(&echo->stream) > most_queued)
                most_queued = stream_queued(&echo->stream);
        assert_in_range(most_queued, 0,
                        echo->link.may_splice ? PIPE_MOST_BYTES : LOOP_SCRATCH_BYTES);
        assert_true(stream_sent(&echo->stream) <= echo->stream.in);
}

/* The peer */

static uint64_t peer_sent, peer_received;
static bool peer_saw_end;

static int reset_peer(void **state)
{
        peer_sent = peer_received = 0;
        peer_saw_end = false;
        return make(state);
}

/* Return: the bytes of the pattern from @at on. */
static void write_pattern(uint8_t *out, size_t n, uint64_t at)
{
        for (size_t i = 0; i < n; i++)
                out[i] = (uint8_t)((at + i) % PERIOD);
}

/* Sends up to @n bytes. Return: how many bytes the socket took. */
static size_t peer_send(size_t n)
{
        static uint8_t data[128 * 1024];
        ssize_t sent;

        assert_in_range(n, 1, sizeof(data));
        write_pattern(data, n, peer_sent);
        sent = send(echo->peer, data, n, MSG_NOSIGNAL);
        assert_true(sent > 0 || errno == EAGAIN);
        peer_sent += sent > 0 ? (uint64_t)sent : 0;
        return sent > 0 ? (size_t)sent : 0;
}

/* Receives up to @n bytes. */
static void peer_receive(size_t n)
{
        static uint8_t data[128 * 1024];
        ssize_t got = recv(echo->peer, data, n < sizeof(data) ? n : sizeof(data), 0);

        assert_true(got >= 0 || errno == EAGAIN);
        peer_saw_end |= got == 0;
        for (ssize_t i = 0; i < got; i++)
                assert_int_equal(data[i], (peer_received + (uint64_t)i) % PERIOD);
        peer_received += got > 0 ? (uint64_t)got : 0;
}

#define peer_until(condition, act)                                                \
        do {                                                                      \
                uint64_t deadline_ = now_usec() + DEADLINE_USEC;                  \
                                                                                  \
                while (!(condition)) {                                            \
                        if (now_usec() > deadline_)                               \
                                fail_msg("never so on %s: " #condition, backend); \
                        act;                                                      \
                        watch_turn();                                             \
                }                                                                 \
        } while (0)

/* Return: all bytes moved so far, in any direction. */
static uint64_t progress(void)
{
        return peer_sent + echo->stream.in + stream_sent(&echo->stream);
}

/* Sends until neither the socket nor the stream takes more. */
static void fill(void)
{
        uint64_t deadline = now_usec() + DEADLINE_USEC;
        int still = 0;

        while (still < 20) {
                uint64_t was = progress();

                if (now_usec() > deadline)
                        fail_msg("reading never stops on %s", backend);
                while (peer_send(65536) > 0)
                        ;
                watch_turn();
                still = was == progress() ? still + 1 : 0;
        }
}

static void expect_whole(int dones)
{
        assert_int_equal(peer_received, peer_sent);
        assert_int_equal(echo->stream.in, peer_sent);
        assert_int_equal(echo->sending, peer_sent);
        assert_int_equal(stream_sent(&echo->stream), peer_sent);
        assert_int_equal(echo->total.sent, peer_sent);
        assert_int_equal(echo->total.held, 0);
        assert_int_equal(echo->dones, dones);
        assert_int_equal(echo->ends, dones);
        assert_int_equal(echo->errors + echo->exceptions + echo->limits, 0);
        assert_int_equal(echo->queued_at_done, 0);
}

/* Without a shaper */

static void random_sizes(uint64_t total)
{
        seed_random();
        while (peer_sent < total) {
                (void)peer_send(random_between(1, 100000));
                if (random() % 4 == 0)
                        peer_receive(random_between(1, 50000));
                if (random() % 64 == 0)
                        peer_until(peer_received == peer_sent,
                                   peer_receive(random_between(1, 100000)));
                watch_turn();
        }
        assert_true(most_queued > 0); /* the reader was slow enough to make a queue */
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        peer_until(peer_saw_end, peer_receive(random_between(1, 60000)));
        expect_whole(1);
        assert_true(echo->empties > 0);
}

static void random_sizes_unix(void **state)
{
        (void)state;
        start_unix();
        random_sizes(3 * 1024 * 1024);
}

static void random_sizes_tcp(void **state)
{
        (void)state;
        start_tcp();
        random_sizes(1024 * 1024);
}

/* One message is sent at once, without a queue, and reported as sent. */
static void at_once(void **state)
{
        (void)state;
        start_unix();
        assert_int_equal(peer_send(5), 5);
        peer_until(peer_received == 5, peer_receive(100));
        assert_int_equal(echo->empties, 1);
        assert_null(echo->stream.outbox.queue);
        assert_int_equal(echo->dones + echo->ends, 0);
}

/* The end of the stream waits behind all data, however late the peer reads. */
static void half_close(void **state)
{
        (void)state;
        start_unix();
        fill();
        assert_true(stream_queued(&echo->stream) > 0);
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->dones, 0);
        peer_until(peer_saw_end, peer_receive(9000));
        expect_whole(1);
}

static void end_without_data(void **state)
{
        (void)state;
        start_unix();
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        peer_until(peer_saw_end, peer_receive(1));
        expect_whole(1);
        assert_int_equal(stream_resume(&echo->stream), 0); /* has no effect any more */
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->ends, 1);
}

static void never_reads(void **state)
{
        uint64_t in;

        (void)state;
        start_unix();
        fill();
        in = echo->stream.in;
        assert_true(stream_queued(&echo->stream) > 0);
        assert_int_equal(echo->total.held, stream_queued(&echo->stream));
        assert_int_equal(echo->total.received, echo->total.sent + echo->total.held);
        assert_int_equal(echo->sending, in);
        peer_until(peer_received == peer_sent, peer_receive(128 * 1024));
        assert_true(echo->stream.in > in); /* reading went on */
        expect_whole(0);
}

static void read_max(void **state)
{
        (void)state;
        start_unix();
        stream_set_read_max(&echo->stream, 7);
        assert_int_equal(peer_send(100), 100);
        peer_until(peer_received == 100, peer_receive(1000));
        assert_int_equal(echo->largest_read, 7);
        stream_set_read_max(&echo->stream, LOOP_SCRATCH_BYTES);
        assert_int_equal(peer_send(100), 100);
        peer_until(peer_received == 200, peer_receive(1000));
        assert_int_equal(echo->largest_read, 100);
}

/* Sends the next @n bytes of the pattern without a link. */
static void send_direct(size_t n)
{
        uint8_t data[20000];

        assert_in_range(n, 1, sizeof(data));
        write_pattern(data, n, peer_sent);
        assert_int_equal(stream_send(&echo->stream, data, n), 0);
        peer_sent += n;
}

/* Bulk */

/* Makes @n reads fill the buffer, and receives everything back. */
static void read_full(int n)
{
        for (int i = 0; i < n; i++) {
                assert_int_equal(peer_send(LOOP_SCRATCH_BYTES), LOOP_SCRATCH_BYTES);
                peer_until(peer_received == peer_sent, peer_receive(LOOP_SCRATCH_BYTES));
        }
}

/* Sends a few bytes, and receives them back. */
static void a_little(void)
{
        assert_int_equal(peer_send(100), 100);
        peer_until(peer_received == peer_sent, peer_receive(1000));
}

/*
 * After several reads that fill the buffer, bytes are spliced, until less has arrived for a while.
 */
static void bulk(void **state)
{
        (void)state;
        start_unix();
        link_allow_splicing(&echo->link, true);
        read_full(4);
        assert_int_equal(echo->spliced, 0);
        assert_int_equal(echo->largest_read, LOOP_SCRATCH_BYTES);
        read_full(2);
        assert_int_equal(echo->spliced, 2 * LOOP_SCRATCH_BYTES);
        for (int i = 0; i < 4; i++)
                a_little();
        assert_int_equal(echo->spliced, 2 * LOOP_SCRATCH_BYTES + 400);
        read_full(1); /* so splicing goes on */
        for (int i = 0; i < 8; i++)
                a_little();
        assert_int_equal(echo->spliced, 3 * LOOP_SCRATCH_BYTES + 900);
        read_full(1);
        assert_int_equal(echo->spliced, 3 * LOOP_SCRATCH_BYTES + 900);
        expect_whole(0);
}

/* Bytes that the peer does not take wait in its pipe. If no pipe is left, they are copied. */
static void bulk_waits(void **state)
{
        struct pipe *taken[16];
        int most = (int)loop_pipes_max(UINT64_MAX);

        (void)state;
        for (int few = 0; few < 2; few++) {
                start_unix();
                link_allow_splicing(&echo->link, true);
                read_full(4);
                for (int i = 0; few && i < most; i++) {
                        taken[i] = pipes_take(loop_pipes(loop));
                        assert_non_null(taken[i]);
                }
                fill();
                assert_true(echo->spliced > 0);
                assert_true(stream_queued(&echo->stream) > 0);
                assert_int_equal(echo->stream.outbox.rest == NULL, few);
                assert_int_equal(stream_sent(&echo->stream) + stream_queued(&echo->stream),
                                 echo->stream.in);
                peer_until(peer_received == peer_sent, peer_receive(1 << 20));
                expect_whole(0);
                assert_null(echo->stream.outbox.rest);
                for (int i = 0; few && i < most; i++)
                        pipe_give(taken[i]);
                free_echo(echo);
                echo = NULL;
                peer_sent = peer_received = 0;
        }
}

/* A stream with bytes in its pipe can be stopped and freed. */
static void bulk_waits_in_vain(void **state)
{
        (void)state;
        start_unix();
        link_allow_splicing(&echo->link, true);
        read_full(4);
        fill();
        assert_non_null(echo->stream.outbox.rest);
        stop(echo);
        peer_receive(1 << 20);
        turn_a_while();
        assert_int_equal(echo->errors + echo->ends, 0);
}

/* When splicing is switched off, on_data() sees every later byte. */
static void bulk_ended(void **state)
{
        (void)state;
        start_unix();
        link_allow_splicing(&echo->link, true);
        read_full(5);
        assert_int_equal(echo->spliced, LOOP_SCRATCH_BYTES);
        link_allow_splicing(&echo->link, false);
        read_full(6);
        assert_int_equal(echo->spliced, LOOP_SCRATCH_BYTES);
        expect_whole(0);
}

/* Spliced bytes of a stream that was stopped do not get in the way of other streams. */
static void bulk_of_one_that_stopped(void **state)
{
        struct echo *first;

        (void)state;
        start_unix();
        first = echo;
        echo->stop_spliced = true;
        link_allow_splicing(&echo->link, true);
        read_full(4);
        assert_int_equal(peer_send(LOOP_SCRATCH_BYTES), LOOP_SCRATCH_BYTES);
        turn_until(first->spliced);

        peer_sent = peer_received = 0;
        start_unix();
        link_allow_splicing(&echo->link, true);
        read_full(6);
        assert_int_equal(echo->spliced, 2 * LOOP_SCRATCH_BYTES);
        expect_whole(0);
        free_echo(first);
}

/* Bytes that are sent while others are queued go behind them, even if the socket has room again. */
static void order(void **state)
{
        (void)state;
        start_unix();
        while (stream_queued(&echo->stream) == 0)
                send_direct(10007);
        for (int i = 0; i < 10; i++) {
                peer_receive(50000);
                send_direct(10007);
        }
        assert_int_equal(stream_sent(&echo->stream) + stream_queued(&echo->stream), peer_sent);
        turn_until((peer_receive(50000), peer_received == peer_sent));
        assert_int_equal(stream_sent(&echo->stream), peer_sent);
}

/* Errors */

static void urgent(void **state)
{
        (void)state;
        start_tcp();
        assert_int_equal(send(echo->peer, "!", 1, MSG_OOB), 1);
        peer_until(echo->exceptions, (void)0);
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->exceptions, 1);
        assert_int_equal(echo->errors, 0);
}

static void urgent_while_paused(void **state)
{
        (void)state;
        start_tcp();
        stream_pause(&echo->stream);
        assert_int_equal(send(echo->peer, "abc", 3, 0), 3);
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->stream.in, 0);
        assert_int_equal(send(echo->peer, "!", 1, MSG_OOB), 1);
        peer_until(echo->exceptions, (void)0);
        assert_int_equal(echo->stream.in, 0);
}

/*
 * The watch missed urgent data right before the end. splice(2) stops there as at an end, and the
 * byte must not be lost.
 */
static void urgent_unnoticed_in_bulk(void **state)
{
        (void)state;
        start_carrying();
        turn_until(echo->stream.watched);
        loop_unwatch(loop, echo->stream.fd);
        stream_set_splicing(&echo->stream, true);
        assert_int_equal(peer_send(1), 1);
        peer_until(peer_received == 1, peer_receive(100));
        assert_int_equal(echo->spliced, 1);
        assert_int_equal(send(echo->peer, "\1", 1, MSG_OOB), 1);
        peer_sent++;
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        peer_until(peer_saw_end, peer_receive(100));
        expect_whole(1);
}

/* The urgent byte is read alone, and the bytes before and after it without it. */
static void urgent_carried(void **state)
{
        (void)state;
        start_carrying();
        stream_pause(&echo->stream);
        assert_int_equal(peer_send(3), 3);
        assert_int_equal(send(echo->peer, "\3", 1, MSG_OOB), 1);
        peer_sent++;
        turn_until(echo->stream.urgent_ahead);
        assert_int_equal(peer_send(4), 4);
        assert_int_equal(stream_resume(&echo->stream), 0);
        peer_until(peer_received == 8, peer_receive(100));
        assert_int_equal(echo->urgent_at, 4); /* bytes read when it came */
        assert_int_equal(echo->largest_read, 4);
        assert_false(echo->stream.urgent_ahead);
        assert_int_equal(echo->exceptions, 0);
}

static void reset(void)
{
        const struct linger none = { .l_onoff = 1 };

        assert_int_equal(setsockopt(echo->peer, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        assert_int_equal(close(echo->peer), 0);
        echo->peer = -1;
        peer_until(echo->errors, (void)0);
        assert_int_equal(echo->error, -ECONNRESET);
        assert_int_equal(echo->ends + echo->dones + echo->exceptions, 0);
}

static void reset_while_paused(void **state)
{
        (void)state;
        start_tcp();
        stream_pause(&echo->stream);
        reset();
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->errors, 1);
}

static void reset_while_reading(void **state)
{
        (void)state;
        start_tcp();
        reset();
}

/* The peer leaves while bytes wait for it. */
static void reset_while_queued(void **state)
{
        (void)state;
        start_tcp();
        fill();
        assert_true(stream_queued(&echo->stream) > 0);
        reset();
}

/* Every byte put is either sent, or lost when the link stops. */
static void stopped_with_bytes(void **state)
{
        uint8_t data[1000] = { 0 };
        uint64_t lost;

        (void)state;
        start_unix();
        fill();
        lost = stream_queued(&echo->stream);
        assert_true(lost > 0);
        assert_int_equal(link_lost(&echo->link), 0);
        link_stop(&echo->link);
        assert_int_equal(link_lost(&echo->link), lost);
        assert_int_equal(link_sent(&echo->link) + lost, echo->stream.in);
        link_stop(&echo->link); /* does nothing */
        link_put(&echo->link, data, sizeof(data));
        assert_int_equal(link_lost(&echo->link), lost + sizeof(data));
        peer_receive(1 << 20);
        turn_a_while();
        assert_int_equal(link_lost(&echo->link),
                         lost + sizeof(data)); /* nothing is sent after that */
        assert_int_equal(echo->errors + echo->dones, 0);
}

/* The bytes that a failed send does not take are lost. */
static void failed_with_bytes(void **state)
{
        uint8_t data[1000];

        (void)state;
        start_unix();
        write_pattern(data, sizeof(data), 0);
        send_direct(100); /* without the link */
        link_init(&echo->link, &echo->stream, &echo->stream, &link_events);
        closep(&echo->peer);
        echo->peer = -1;
        link_put(&echo->link, data, sizeof(data));
        assert_int_equal(echo->errors, 1);
        assert_int_equal(link_lost(&echo->link), sizeof(data));
        assert_int_equal(link_sent(&echo->link), 0);
}

/* After a stop there are no callbacks, whatever is due, and none about the queue. */
static void stopped(void **state)
{
        uint64_t in;

        (void)state;
        start_tcp();
        fill();
        stop(echo);
        in = echo->stream.in;
        (void)!send(echo->peer, "!", 1, MSG_OOB); /* the peer's socket may be full */
        assert_int_equal(close(echo->peer), 0);
        echo->peer = -1;
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->errors + echo->exceptions + echo->ends, 0);
        assert_int_equal(echo->stream.in, in);
}

/*
 * Two streams fail in one turn. The first one's callback ends the other, which then gets no
 * callback.
 */
static void stopped_by_another(void **state)
{
        struct echo *first;

        (void)state;
        start_tcp();
        first = echo;
        start_tcp();
        first->twin = echo;
        echo->twin = first;
        assert_int_equal(send(first->peer, "!", 1, MSG_OOB), 1);
        assert_int_equal(send(echo->peer, "!", 1, MSG_OOB), 1);
        turn_until(first->exceptions + echo->exceptions);
        turn_a_while();
        assert_int_equal(first->exceptions + echo->exceptions, 1);
        free_echo(first);
}

/* A session that ends within a callback is freed after the turn, when nothing uses it. */
static void freed_after_the_turn(void **state)
{
        (void)state;
        start_tcp();
        echo->fleeting = true;
        /* data, urgent data and the end arrive in the same turn; there is one callback */
        assert_int_equal(peer_send(100), 100);
        assert_int_equal(send(echo->peer, "!", 1, MSG_OOB), 1);
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        turn_until(!echo);
        turn_a_while();
}

/* With a shaper */

static struct conditions conditions;
static struct shaping shaping;

static int make_unshaped(void **state)
{
        conditions = conditions_none;
        shaping = (struct shaping){ .hold_bytes = HOLD_BYTES };
        return reset_peer(state);
}

static int end_shaped(void **state)
{
        int r = end(state);

        shaping.fates = fates_free(shaping.fates);
        return r;
}

/* Applies the shaping. */
static void shape(void)
{
        struct fates *before =
                redraw(&shaping.fates, &conditions, 1, now_usec(), link_passed(&echo->link));

        assert_int_equal(link_set_shaping(&echo->link, &shaping), 0);
        fates_free(before);
}

static bool out_of_memory;

static void *allocate(size_t n)
{
        return out_of_memory ? NULL : malloc(n);
}

static void *reallocate(void *p, size_t n)
{
        return out_of_memory ? NULL : realloc(p, n);
}

/* Bytes for which a shaper has no memory are lost. */
static void out_of_memory_with_bytes(void **state)
{
        uint8_t data[20000] = { 0 };
        size_t held = 0;

        (void)state;
        start_unix();
        conditions.latency_usec = 3600 * USEC_PER_SEC;
        shape();
        link_put(&echo->link, data, sizeof(data));
        held += sizeof(data);
        out_of_memory = true;
        for (int i = 0; i < 100 && !echo->errors; i++) {
                link_put(&echo->link, data, sizeof(data));
                held += sizeof(data);
        }
        out_of_memory = false;
        assert_int_equal(echo->errors, 1);
        assert_int_equal(echo->error, -ENOMEM);
        assert_int_equal(link_lost(&echo->link), held);
}

/* Sets the size of messages only with a delay, as a connection does. */
static void set_delay(uint64_t usec, size_t message_bytes)
{
        stream_set_read_max(&echo->stream, usec ? message_bytes : LOOP_SCRATCH_BYTES);
        shaping.send_delay_usec = usec;
        shape();
}

/* A shaper ends splicing by itself: it sees every byte, from the next one on. */
static void bulk_ends_with_a_shaper(void **state)
{
        (void)state;
        start_unix();
        link_allow_splicing(&echo->link, true);
        read_full(5);
        assert_int_equal(echo->spliced, LOOP_SCRATCH_BYTES);
        set_delay(1, LOOP_SCRATCH_BYTES);
        read_full(6);
        assert_int_equal(echo->spliced, LOOP_SCRATCH_BYTES);
        expect_whole(0);
}

/* Bytes in a pipe that reach a shaper all the same are lost, and the link fails. */
static void pipe_into_a_shaper(void **state)
{
        struct pipe *pipe = pipes_take(loop_pipes(loop));
        struct share share;
        int pair[2];

        (void)state;
        start_unix();
        set_delay(1, LOOP_SCRATCH_BYTES);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(send(pair[0], "hello", 5, 0), 5);
        assert_int_equal(pipe_fill(pipe, pair[1]), 5);
        share = share_of_pipe(pipe);
        link_put_shared(&echo->link, &share);
        share_deinit(&share);
        assert_int_equal(echo->error, -EIO);
        assert_int_equal(link_lost(&echo->link), 5);
        assert_int_equal(close(pair[0]) + close(pair[1]), 0);
}

static void delayed(void **state)
{
        const uint64_t delay = 20 * USEC_PER_MSEC;
        uint64_t began;

        (void)state;
        start_unix();
        set_delay(delay, 1024);
        began = now_usec();
        assert_int_equal(peer_send(2 * 1024 + 5), 2 * 1024 + 5);
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        for (uint64_t i = 1; i <= 3; i++) {
                peer_until(peer_received >= (i < 3 ? i * 1024 : 2 * 1024 + 5), {
                        peer_receive(100000);
                        if (stream_sent(&echo->stream) < 2 * 1024 && echo->stream.in)
                                assert_true(link_is_waiting(&echo->link));
                });
                assert_true(now_usec() >= began + i * delay);
                /* The end waits in line. On a busy machine, more than one chunk may be due. */
                assert_true(!echo->dones || stream_sent(&echo->stream) == 2 * 1024 + 5);
        }
        assert_int_equal(echo->dones, 1);
        peer_until(peer_saw_end, peer_receive(1));
        assert_false(link_is_waiting(&echo->link));
        assert_int_equal(echo->largest_send, 1024);
        expect_whole(1);
}

/* Held bytes are bounded, and leave when the delay is removed. */
static void delay_taken_away(void **state)
{
        (void)state;
        start_unix();
        set_delay(3600 * USEC_PER_SEC, 1024);
        fill();
        assert_int_equal(echo->sending, 0);
        assert_in_range(echo->stream.in, 1024, HOLD_BYTES);
        assert_true(link_is_waiting(&echo->link));
        assert_int_equal(echo->total.held, link_held(&echo->link));
        assert_int_equal(echo->empties, 0);
        set_delay(0, 1);
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        peer_until(peer_saw_end, peer_receive(100000));
        expect_whole(1);
        assert_true(echo->largest_read >
                    1024); /* without a delay, reads are larger than a message */
}

/*
 * With random delays, sizes and reading, bytes arrive completely and in order, and held bytes are
 * bounded.
 */
static void random_delays(void **state)
{
        (void)state;
        seed_random();
        start_unix();
        for (int i = 0; i < 300; i++) {
                if (random() % 10 == 0)
                        set_delay(random_between(0, 2) * 500,
                                  random_between(1, LOOP_SCRATCH_BYTES));
                (void)peer_send(random_between(1, 3000));
                if (random() % 3 == 0)
                        peer_receive(random_between(1, 10000));
                watch_turn();
        }
        set_delay(USEC_PER_MSEC, LOOP_SCRATCH_BYTES);
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        for (int i = 0; i < 10; i++)
                watch_turn();
        set_delay(0, 1);
        peer_until(peer_saw_end, peer_receive(100000));
        expect_whole(1);
}

/* The hold bounds the held bytes, and reading goes on when fewer are held. */
static void hold(void **state)
{
        (void)state;
        start_unix();
        shaping.hold_bytes = 5000;
        conditions.stall_after_usec = 0;
        conditions.stall_for_usec = CONDITIONS_FOREVER;
        shape();
        stream_set_read_max(&echo->stream, 1000);
        fill();
        assert_in_range(link_held(&echo->link), 5000, 6100);
        assert_in_range(echo->stream.in, 1000, 6000);
        shaping.hold_bytes = 50000;
        shape();
        fill();
        assert_in_range(link_held(&echo->link), 50000, 51100);
        conditions = conditions_none;
        shape();
        peer_until(peer_received == peer_sent, peer_receive(100000));
        expect_whole(0);
        assert_null(echo->link.shaper);                          /* the shaper is gone */
        assert_int_equal(link_faults(&echo->link), FAULT_STALL); /* but its fault is remembered */
}

/* The limit is reported once, when all bytes up to it have been sent, and none beyond it. */
static void limit(void **state)
{
        (void)state;
        seed_random();
        start_unix();
        conditions.limit_bytes = 1000000;
        shape();
        while (!echo->limits) {
                (void)peer_send(60000);
                if (random() % 2)
                        peer_receive(30000);
                watch_turn();
        }
        peer_until(peer_received == 1000000, peer_receive(100000));
        for (int i = 0; i < 20; i++)
                watch_turn();
        peer_receive(1);
        assert_int_equal(peer_received, 1000000);
        assert_int_equal(stream_sent(&echo->stream), 1000000);
        assert_int_equal(echo->limits, 1);
        assert_int_equal(echo->dones + echo->errors + echo->exceptions, 0);
        assert_int_equal(link_faults(&echo->link), FAULT_LIMIT);
}

/* Bytes that come after those that fill the queue are discarded; the queued ones still pass. */
static void discard_behind_a_queue(void **state)
{
        uint64_t in;

        (void)state;
        start_unix();
        fill();
        in = echo->stream.in;
        conditions.discard = true;
        shape();
        peer_until(peer_received == in, peer_receive(128 * 1024));
        peer_until(echo->stream.in == peer_sent, peer_receive(128 * 1024));
        assert_int_equal(peer_received, in);
        assert_int_equal(link_lost(&echo->link), 0);
        assert_int_equal(link_faults(&echo->link), FAULT_DISCARD);
        assert_int_equal(echo->limits, 0);
}

/* A group ends the connection in time although the destination does not read. */
static void over_behind_a_queue(void **state)
{
        (void)state;
        start_unix();
        fill();
        conditions.discard = true;
        conditions.discard_idle_usec = 20 * USEC_PER_MSEC;
        shape();
        for (uint64_t until = now_usec() + DEADLINE_USEC; !echo->limits && now_usec() < until;)
                watch_turn();
        assert_int_equal(echo->limits, 1);
        assert_int_equal(echo->over_why, FATE_IDLE);
        assert_true(stream_queued(&echo->stream) > 0 || link_lost(&echo->link) > 0);
}

/* The same when the group goes. */
static void discard_ends_behind_a_queue(void **state)
{
        (void)state;
        start_unix();
        fill();
        conditions.discard = true;
        shape();
        conditions.discard = false;
        shape();
        assert_int_equal(echo->limits, 1);
        assert_int_equal(echo->over_why, FATE_DISCARD_ENDED);
}

/*
 * Conditions are removed while the destination does not read. The held bytes follow the queued
 * ones.
 */
static void removed_from_slow_reader(void **state)
{
        (void)state;
        start_unix();
        conditions.latency_usec = 20 * USEC_PER_MSEC;
        shape();
        fill();
        assert_true(stream_queued(&echo->stream) > 0);
        assert_true(shaper_is_full(echo->link.shaper));
        assert_int_equal(link_held(&echo->link),
                         shaper_held(echo->link.shaper) + stream_queued(&echo->stream));
        conditions = conditions_none;
        shape();
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        for (int i = 0; i < 20; i++)
                watch_turn();
        assert_int_equal(echo->dones, 0);
        peer_until(peer_saw_end, peer_receive(50000));
        expect_whole(1);
}

/*
 * Conditions of all kinds come and go: bytes arrive completely and in order, held bytes are
 * bounded, and the end comes last.
 */
static void random_conditions(void **state)
{
        (void)state;
        seed_random();
        start_unix();
        for (int i = 0; i < 400; i++) {
                if (random() % 8 == 0) {
                        conditions = conditions_none;
                        conditions.latency_usec = random_between(0, 2) * 2000;
                        conditions.jitter_usec = random_between(0, 1) * 1500;
                        if (random() % 3)
                                conditions.rate = random_between(1, 2) * 500000;
                        conditions.burst_bytes = random_between(1, 20000);
                        conditions.slice_bytes = random_between(0, 1) * 700;
                        conditions.slice_delay_usec = random_between(0, 1) * 200;
                        conditions.stall_after_usec = 0;
                        conditions.stall_for_usec = random_between(0, 1) * 4000;
                        conditions.close_delay_usec = random_between(0, 1) * 5000;
                        shaping.hold_bytes = random_between(1, HOLD_BYTES);
                        shape();
                }
                (void)peer_send(random_between(1, 6000));
                if (random() % 3 == 0)
                        peer_receive(random_between(1, 20000));
                watch_turn();
        }
        assert_int_equal(shutdown(echo->peer, SHUT_WR), 0);
        for (int i = 0; i < 10; i++)
                watch_turn();
        conditions = conditions_none;
        shape();
        peer_until(peer_saw_end, peer_receive(100000));
        expect_whole(1);
}

/* Enough descriptors for the streams' pipes. */
static void raise_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
                limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(at_once, reset_peer, end),
                cmocka_unit_test_setup_teardown(random_sizes_unix, reset_peer, end),
                cmocka_unit_test_setup_teardown(random_sizes_tcp, reset_peer, end),
                cmocka_unit_test_setup_teardown(half_close, reset_peer, end),
                cmocka_unit_test_setup_teardown(end_without_data, reset_peer, end),
                cmocka_unit_test_setup_teardown(never_reads, reset_peer, end),
                cmocka_unit_test_setup_teardown(read_max, reset_peer, end),
                cmocka_unit_test_setup_teardown(bulk, reset_peer, end),
                cmocka_unit_test_setup_teardown(bulk_waits, reset_peer, end),
                cmocka_unit_test_setup_teardown(bulk_waits_in_vain, reset_peer, end),
                cmocka_unit_test_setup_teardown(bulk_ended, reset_peer, end),
                cmocka_unit_test_setup_teardown(bulk_ends_with_a_shaper, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(pipe_into_a_shaper, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(bulk_of_one_that_stopped, reset_peer, end),
                cmocka_unit_test_setup_teardown(order, reset_peer, end),
                cmocka_unit_test_setup_teardown(urgent, reset_peer, end),
                cmocka_unit_test_setup_teardown(urgent_while_paused, reset_peer, end),
                cmocka_unit_test_setup_teardown(urgent_unnoticed_in_bulk, reset_peer, end),
                cmocka_unit_test_setup_teardown(urgent_carried, reset_peer, end),
                cmocka_unit_test_setup_teardown(reset_while_paused, reset_peer, end),
                cmocka_unit_test_setup_teardown(reset_while_reading, reset_peer, end),
                cmocka_unit_test_setup_teardown(reset_while_queued, reset_peer, end),
                cmocka_unit_test_setup_teardown(stopped, reset_peer, end),
                cmocka_unit_test_setup_teardown(stopped_with_bytes, reset_peer, end),
                cmocka_unit_test_setup_teardown(failed_with_bytes, reset_peer, end),
                cmocka_unit_test_setup_teardown(stopped_by_another, reset_peer, end),
                cmocka_unit_test_setup_teardown(freed_after_the_turn, reset_peer, end),
                cmocka_unit_test_setup_teardown(out_of_memory_with_bytes, make_unshaped,
                                                end_shaped),
                cmocka_unit_test_setup_teardown(delayed, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(delay_taken_away, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(random_delays, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(hold, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(limit, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(discard_behind_a_queue, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(over_behind_a_queue, make_unshaped, end_shaped),
                cmocka_unit_test_setup_teardown(discard_ends_behind_a_queue, make_unshaped,
                                                end_shaped),
                cmocka_unit_test_setup_teardown(removed_from_slow_reader, make_unshaped,
                                                end_shaped),
                cmocka_unit_test_setup_teardown(random_conditions, make_unshaped, end_shaped),
        };

        event_set_mem_functions(allocate, reallocate, free);
        (void)signal(SIGPIPE, SIG_IGN); /* as in the daemon, because bufferevents use writev(2) */
        raise_limit();
        return run_on_all_backends(tests);
}
