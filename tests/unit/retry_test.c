/* SPDX-License-Identifier: MIT */
/*
 * Retries: which client tries when, the effect of failures and successes, and clients that leave.
 */
#include "retry.h"
#include "turning.h"

#define N 20

struct client {
        struct waiter waiter;
        unsigned turns;
};

static struct retries retries;
static struct client clients[N];
static unsigned n_turns;

static void on_turn(struct waiter *waiter)
{
        container_of(waiter, struct client, waiter)->turns++;
        n_turns++;
}

static int start(void **state)
{
        memset(clients, 0, sizeof(clients));
        for (size_t i = 0; i < N; i++)
                clients[i].waiter.on_turn = on_turn;
        n_turns = 0;
        if (start_loop(state) < 0)
                return -1;
        retries_init(&retries, loop);
        return 0;
}

static void wait_for(struct client *client, const void *key)
{
        assert_int_equal(retries_wait(&retries, key, &client->waiter), 0);
}

static void leave_all(void)
{
        for (size_t i = 0; i < N; i++)
                waiter_leave(&clients[i].waiter);
}

static struct client *who_tries(void)
{
        for (size_t i = 0; i < N; i++)
                if (clients[i].waiter.trying)
                        return &clients[i];
        return NULL;
}

/* One client tries at a time, in turn, after pauses that double. */
static void failures(void **state)
{
        uint64_t pause = RETRY_MIN_USEC, began = now_usec();

        (void)state;
        for (size_t i = 0; i < 3; i++)
                wait_for(&clients[i], "a");
        for (size_t i = 0; i < 3; i++) {
                turn_until(clients[i].waiter.trying);
                assert_int_equal(n_turns, i + 1);
                assert_true(now_usec() >= began + pause);
                turn_a_while();
                assert_int_equal(n_turns, i + 1);
                began = now_usec();
                wait_for(&clients[i], "a");
                pause *= 2;
        }
        leave_all();
}

/* Each success lets two more clients try, and in the end all have been served. */
static void successes(void **state)
{
        struct client *client;
        uint64_t first;

        (void)state;
        for (size_t i = 0; i < N; i++)
                wait_for(&clients[i], "a");
        turn_until(n_turns == 1);
        first = now_usec();
        while ((client = who_tries())) {
                unsigned turns = n_turns;

                retries_succeeded(&retries, "a");
                waiter_leave(&client->waiter);
                turn_until(n_turns == (turns + 2 < N ? turns + 2 : N));
        }
        for (size_t i = 0; i < N; i++)
                assert_int_equal(clients[i].turns, 1);
        assert_true(now_usec() - first < DEADLINE_USEC);
        retries_succeeded(&retries, "a"); /* no client waits any more */
}

/* A client that never waited has reached the upstream. */
static void success_of_another(void **state)
{
        (void)state;
        wait_for(&clients[0], "a");
        turn_until(n_turns == 1);
        wait_for(&clients[0], "a"); /* the next turn is in 200 ms */
        wait_for(&clients[1], "b");
        retries_succeeded(&retries, "a");
        turn();
        turn();
        assert_int_equal(clients[0].turns, 2);
        assert_int_equal(clients[1].turns, 0);
        leave_all();
}

static void who_tries_leaves(void **state)
{
        (void)state;
        wait_for(&clients[0], "a");
        wait_for(&clients[1], "a");
        turn_until(clients[0].waiter.trying);
        waiter_leave(&clients[0].waiter);
        turn_until(clients[1].waiter.trying);
        leave_all();
}

static void who_waits_leaves(void **state)
{
        (void)state;
        for (size_t i = 0; i < 3; i++)
                wait_for(&clients[i], "a");
        waiter_leave(&clients[0].waiter);
        waiter_leave(&clients[0].waiter);
        turn_until(clients[1].waiter.trying);
        leave_all();
        turn_a_while();
        assert_int_equal(n_turns, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(failures),         TEST(successes),        TEST(success_of_another),
                TEST(who_tries_leaves), TEST(who_waits_leaves),
        };

        return run_on_all_backends(tests);
}
