/* SPDX-License-Identifier: MIT */
/* The pool of pipes: its bound, the pipes that come back to it, and its descriptors. */
#include "pipe.h"
#include "unit.h"

#include <sys/socket.h>

#define MAX 3

/* Fills a pipe with @n bytes. */
static void fill(struct pipe *pipe, size_t n)
{
        static const uint8_t data[1000];
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(write(pair[1], data, n), n);
        assert_int_equal(pipe_fill(pipe, pair[0]), n);
        assert_int_equal(pipe_held(pipe), n);
        assert_int_equal(close(pair[0]) + close(pair[1]), 0);
}

/* A pipe that comes back empty is taken again next. */
static void empty(void **state)
{
        struct pipes pool;
        struct pipe *pipe;
        uint8_t data[100];

        (void)state;
        assert_int_equal(pipes_init(&pool, MAX), 0);
        pipe = pipes_take(&pool);
        assert_non_null(pipe);
        fill(pipe, 100);
        assert_int_equal(pipe_read(pipe, data, 100), 0);
        assert_int_equal(pipe_held(pipe), 0);
        assert_null(pipe_give(pipe));
        assert_ptr_equal(pipes_take(&pool), pipe);
        assert_null(pipe_give(pipe));
        pipes_deinit(&pool);
}

/* A pipe that comes back with bytes in it is not taken again. */
static void with_content(void **state)
{
        struct pipes pool;
        struct pipe *pipe;
        unsigned idle;

        (void)state;
        assert_int_equal(pipes_init(&pool, MAX), 0);
        idle = count_descriptors();
        pipe = pipes_take(&pool);
        fill(pipe, 100);
        pipe_give(pipe);
        assert_int_equal(count_descriptors(), idle);
        pipe = pipes_take(&pool);
        assert_non_null(pipe);
        assert_int_equal(pipe_held(pipe), 0);
        fill(pipe, 50);
        pipe_give(pipe);
        pipes_deinit(&pool);
}

static void at_most(void **state)
{
        struct pipe *taken[MAX];
        struct pipes pool;
        unsigned before, idle;

        (void)state;
        before = count_descriptors();
        assert_int_equal(pipes_init(&pool, MAX), 0);
        idle = count_descriptors();
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < MAX; i++) {
                        taken[i] = pipes_take(&pool);
                        assert_non_null(taken[i]);
                        assert_int_equal(pipe_is_spare(taken[i]), i < MAX - 1);
                }
                assert_null(pipes_take(&pool));
                if (round)
                        fill(taken[round], 10);
                for (int i = 0; i < MAX; i++)
                        pipe_give(taken[i]);
                assert_int_equal(count_descriptors(), idle);
        }
        assert_null(pipe_give(NULL));
        pipes_deinit(&pool);
        pipes_deinit(&pool); /* does nothing */
        assert_int_equal(count_descriptors(), before);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(empty),
                cmocka_unit_test(with_content),
                cmocka_unit_test(at_most),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
