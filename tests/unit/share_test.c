/* SPDX-License-Identifier: MIT */
/*
 * One share for several streams, which take all of it, a part or nothing: every peer gets the same
 * bytes, complete and in order, and waiting bytes are stored once.
 *
 * The bytes are in the scratch buffer, as in a hub, and are overwritten when the share is over.
 */
#include "link.h"
#include "turning.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>

#define PERIOD 251 /* the period of the pattern in which bytes count up */
#define MANY   100

/* A stream, its link, and the far end of its socket. */
struct member {
        struct stream stream;
        struct link link;
        uint64_t received, sending;
        int peer, errors;
};

static struct member members[MANY];
static size_t n_members;
static uint64_t given;                               /* the bytes given to each */
static uint8_t pattern[PERIOD + LOOP_SCRATCH_BYTES]; /* the pattern from any of its bytes on */

static void on_data(struct stream *stream, struct share *share)
{
        (void)stream;
        (void)share;
        fail_msg("nobody reads");
}

static void on_end(struct stream *stream)
{
        (void)stream;
        fail_msg("nobody reads");
}

static void on_error(struct stream *stream, int error)
{
        (void)error;
        container_of(stream, struct member, stream)->errors++;
        stream_stop(stream);
}

static void assert_pattern(const uint8_t *data, size_t n, uint64_t at)
{
        assert_memory_equal(data, pattern + at % PERIOD, n);
}

static void on_sending(struct link *link, const struct share *share)
{
        struct member *member = container_of(link, struct member, link);

        assert_pattern(share->data, share->n, member->sending);
        member->sending += share->n;
}

static void on_empty(struct link *link)
{
        (void)link;
}

static void on_link_error(struct link *link, int error)
{
        on_error(&container_of(link, struct member, link)->stream, error);
}

static void on_over(struct link *link, const struct fate_end *end)
{
        (void)link;
        (void)end;
}

static const struct stream_events stream_events = {
        .on_data = on_data, .on_end = on_end, .on_exception = on_end, .on_error = on_error
};
static const struct link_events link_events = {
        .on_sending = on_sending,
        .on_empty = on_empty,
        .on_done = on_empty,
        .on_over = on_over,
        .on_error = on_link_error,
};

static int set_delay(struct link *link, uint64_t usec)
{
        const struct shaping shaping = { .send_delay_usec = usec, .hold_bytes = 1 << 20 };

        return link_set_shaping(link, &shaping);
}

/* Makes a member whose socket takes about @room bytes at once. */
static struct member *join(int room)
{
        struct member *member = &members[n_members++];
        int pair[2];

        assert_in_range(n_members, 1, MANY);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
        *member = (struct member){ .peer = pair[1], .received = given, .sending = given };
        assert_int_equal(stream_init(&member->stream, loop, pair[0], &stream_events), 0);
        link_init(&member->link, NULL, &member->stream, &link_events);
        return member;
}

static void leave(struct member *member)
{
        link_stop(&member->link);
        stream_deinit(&member->stream);
        closep(&member->peer);
        member->peer = -1;
}

static int start(void **state)
{
        n_members = 0;
        given = 0;
        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(i % PERIOD);
        return start_loop(state);
}

static int end(void **state)
{
        while (n_members > 0)
                leave(&members[--n_members]);
        return stop_loop(state);
}

/* Gives the next @n bytes to all members except the failed one. Return: whether a copy was made. */
static bool give(size_t n)
{
        struct share share = share_of_memory(loop_scratch(loop), n);
        const struct share_copy *copy = NULL;

        memcpy(loop_scratch(loop), pattern + given % PERIOD, n);
        for (size_t i = 0; i < n_members; i++) {
                if (members[i].errors)
                        continue;
                link_put_shared(&members[i].link, &share);
                assert_true(!copy || share.copy == copy); /* one copy for all */
                copy = share.copy;
        }
        share_deinit(&share);
        memset(loop_scratch(loop), 0xff, LOOP_SCRATCH_BYTES);
        given += n;
        return copy;
}

/* A peer receives up to @n bytes. */
static void receive(struct member *member, size_t n)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];
        ssize_t got = recv(member->peer, data, n < sizeof(data) ? n : sizeof(data), 0);

        assert_true(got > 0 || errno == EAGAIN);
        if (got <= 0)
                return;
        assert_pattern(data, (size_t)got, member->received);
        member->received += (size_t)got;
}

static void receive_all(void)
{
        for (size_t i = 0; i < n_members; i++)
                if (!members[i].errors)
                        turn_until((receive(&members[i], SIZE_MAX), members[i].received == given));
}

/* Gives bytes until no socket takes any more. Bytes that are given after that wait. */
static void fill(struct member *member)
{
        while (stream_queued(&member->stream) == 0)
                (void)give(LOOP_SCRATCH_BYTES);
}

/* Peers read at different speeds, and shares have different sizes. */
static void random_sizes(void **state)
{
        unsigned copies = 0, parts = 0, rounds = 300;

        (void)state;
        seed_random();
        for (int i = 0; i < 8; i++)
                (void)join(i % 2 ? 8192 : 200000);
        for (unsigned round = 0; round < rounds; round++) {
                const struct stream *last = &members[n_members - 1].stream;
                size_t was = stream_queued(last), n = random_between(1, LOOP_SCRATCH_BYTES);

                copies += give(n >> random_between(0, 12) ?: 1);
                parts += was == 0 && stream_queued(last) > 0;
                for (size_t i = 0; i < n_members; i++) /* the first ones read most */
                        if (random_between(0, 2 * n_members) > i)
                                receive(&members[i], random_between(1, 60000));
                if (random() % 16 == 0)
                        receive_all();
                turn();
        }
        receive_all();
        assert_in_range(copies, 1, rounds - 1);
        assert_in_range(parts, 1, rounds - 1);
}

/* If every socket takes all of a share, it is not copied. */
static void taken_by_all(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++)
                (void)join(400000);
        for (int i = 0; i < 20; i++) {
                assert_false(give(LOOP_SCRATCH_BYTES));
                receive_all();
        }
}

/*
 * Waiting bytes are stored in one copy, with 1 KB for each member, the least that libevent
 * allocates.
 */
static void kept_once(void **state)
{
        const size_t shares = 3;
        size_t before, queued[MANY];

        (void)state;
        while (n_members < MANY)
                (void)join(4096);
        fill(&members[0]);
        for (size_t i = 0; i < MANY; i++)
                queued[i] = stream_queued(&members[i].stream);
        before = mallinfo2().uordblks; /* 0 under a sanitizer, which replaces malloc() */
        for (size_t i = 0; i < shares; i++)
                assert_true(give(LOOP_SCRATCH_BYTES));
        assert_in_range(mallinfo2().uordblks - before, 0,
                        shares * (LOOP_SCRATCH_BYTES + 64 + MANY * 1200));
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(stream_queued(&members[i].stream),
                                 queued[i] + shares * LOOP_SCRATCH_BYTES);
        receive_all();
}

/* Members that leave while bytes wait for them do not affect the others. */
static void left_by_some(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++)
                fill(join(8192));
        assert_true(give(LOOP_SCRATCH_BYTES));
        for (int i = 0; i < 3; i++)
                leave(&members[--n_members]);
        assert_true(give(5000));
        receive_all();
        /* the last bytes still wait when the test ends */
        fill(&members[0]);
}

/* A member whose peer has left fails alone, even when bytes wait for it. */
static void failed_for_some(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++)
                (void)join(8192);
        assert_int_equal(close(members[1].peer), 0);
        members[1].peer = -1;
        fill(&members[0]);
        assert_int_equal(members[1].errors, 1);
        assert_int_equal(close(members[2].peer), 0);
        members[2].peer = -1;
        turn_until(members[2].errors);
        (void)give(LOOP_SCRATCH_BYTES);
        receive_all();
        for (size_t i = 0; i < n_members; i++)
                assert_int_equal(members[i].errors, i == 1 || i == 2);
}

/* Some members have a shaper, and others do not. */
static void delayed_for_some(void **state)
{
        (void)state;
        for (int i = 0; i < 6; i++)
                assert_int_equal(set_delay(&join(8192)->link, i % 2 ? 2000 : 0), 0);
        for (int i = 0; i < 10; i++)
                (void)give(5000);
        receive_all();
        for (size_t i = 0; i < n_members; i++)
                assert_int_equal(link_held(&members[i].link), 0);
}

/*
 * Bytes that fall due while a share is given leave, and do not change the share for later members.
 */
static void due_meanwhile(void **state)
{
        uint64_t due = now_usec() + 2000;

        (void)state;
        for (int i = 0; i < 4; i++)
                assert_int_equal(set_delay(&join(200000)->link, 2000), 0);
        (void)give(10);
        while (now_usec() <= due + 2000)
                ;
        (void)give(1000);
        receive_all();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(random_sizes, start, end),
                cmocka_unit_test_setup_teardown(taken_by_all, start, end),
                cmocka_unit_test_setup_teardown(kept_once, start, end),
                cmocka_unit_test_setup_teardown(left_by_some, start, end),
                cmocka_unit_test_setup_teardown(failed_for_some, start, end),
                cmocka_unit_test_setup_teardown(delayed_for_some, start, end),
                cmocka_unit_test_setup_teardown(due_meanwhile, start, end),
        };

        (void)signal(SIGPIPE, SIG_IGN); /* as in the daemon, because bufferevents use writev(2) */
        return run_on_all_backends(tests);
}
