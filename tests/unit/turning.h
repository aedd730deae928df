/* SPDX-License-Identifier: MIT */
/*
 * A loop that is turned until a condition holds. A tick ends each turn, so that a wait in vain ends
 * in a failure.
 */
#pragma once

#include "loop.h"
#include "unit.h"

#include <netinet/in.h>
#include <sys/socket.h>

static const char *const all_backends[] = { "epoll", "poll", "select" };

static const char *backend = "auto"; /* the backend of the tests that run now */
static struct loop *loop;
static struct event *tick;

static inline void on_tick(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        (void)arg;
}

/* Set-up of a test: makes the loop. */
static inline int start_loop(void **state)
{
        const struct timeval interval = { .tv_usec = 2000 };

        (void)state;
        if (loop_new(backend, &loop) != 0)
                return -1;
        tick = event_new(loop_base(loop), -1, EV_PERSIST, on_tick, NULL);
        return tick && event_add(tick, &interval) == 0 ? 0 : -1;
}

/* Tear-down of a test. */
static inline int stop_loop(void **state)
{
        (void)state;
        if (tick)
                event_free(tick);
        tick = NULL;
        loop = loop_free(loop);
        return 0;
}

/*
 * Runs a group of tests on each backend. Value: how many failed. A macro, because cmocka counts the
 * tests.
 */
#define run_on_all_backends(tests)                                                          \
        ({                                                                                  \
                int failed_ = 0;                                                            \
                                                                                            \
                for (size_t i_ = 0; i_ < ELEMENTS(all_backends); i_++) {                    \
                        backend = all_backends[i_];                                         \
                        failed_ += cmocka_run_group_tests_name(backend, tests, NULL, NULL); \
                }                                                                           \
                failed_;                                                                    \
        })

static inline void turn(void)
{
        assert_int_equal(loop_turn(loop), 0);
}

/* Turns the loop until @condition holds, and fails if that takes too long. */
#define turn_until(condition)                                                     \
        do {                                                                      \
                uint64_t deadline_ = now_usec() + DEADLINE_USEC;                  \
                                                                                  \
                while (!(condition)) {                                            \
                        if (now_usec() > deadline_)                               \
                                fail_msg("never so on %s: " #condition, backend); \
                        turn();                                                   \
                }                                                                 \
        } while (0)

/* Turns for at least @usec. */
static inline void turn_for(uint64_t usec)
{
        for (uint64_t began = now_usec(); now_usec() - began < usec;)
                turn();
}

/* Turns for so long that an event that must not happen would happen. */
static inline void turn_a_while(void)
{
        for (int i = 0; i < 20; i++)
                turn();
}

/* A TCP connection over the loopback; both ends are non-blocking. */
static inline void tcp_pair(int pair[2])
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
        pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(pair[1], (struct sockaddr *)&address, length), 0);
        pair[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(pair[0] >= 0);
        assert_int_equal(evutil_make_socket_nonblocking(pair[1]), 0);
        assert_int_equal(close(listener), 0);
}
