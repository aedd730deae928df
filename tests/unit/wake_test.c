/* SPDX-License-Identifier: MIT */
/*
 * Posts to a loop whose eventfd cannot be written: a posted task still runs. This test makes
 * write(2) fail as often as it needs.
 */
#include "turning.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define ALWAYS UINT32_MAX

static _Atomic unsigned failures; /* so many of the next writes fail */
static _Atomic int failure;       /* the errno of these failures */

/* Replaces the C library's. Only writes of 8 bytes are to an eventfd. */
ssize_t write(int fd, const void *bytes, size_t n)
{
        unsigned left = atomic_load(&failures);

        if (n == sizeof(uint64_t) && left > 0) {
                atomic_store(&failures, left == ALWAYS ? ALWAYS : left - 1);
                errno = atomic_load(&failure);
                return -1;
        }
        return syscall(SYS_write, fd, bytes, n);
}

struct job {
        struct loop_task task;
        unsigned runs;
};

static void job_run(struct loop_task *task)
{
        container_of(task, struct job, task)->runs++;
}

static void *post(void *arg)
{
        struct job *job = arg;

        loop_post(loop, &job->task);
        return NULL;
}

/* Posts from another thread, while the next @n writes fail with @error. */
static void post_from_thread(struct job *job, unsigned n, int error)
{
        pthread_t thread;

        atomic_store(&failure, error);
        atomic_store(&failures, n);
        assert_int_equal(pthread_create(&thread, NULL, post, job), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        atomic_store(&failures, 0);
}

/* A loop that wakes at a post, and otherwise only after the deadline. */
static int start_quiet_loop(void **state)
{
        const struct timeval interval = { .tv_sec = DEADLINE_USEC / USEC_PER_SEC + 1 };

        if (start_loop(state) < 0 || loop_open_posts(loop) < 0)
                return -1;
        return event_add(tick, &interval);
}

static int start_ticking_loop(void **state)
{
        return start_loop(state) == 0 ? loop_open_posts(loop) : -1;
}

/* A failed wake-up is tried again at once. */
static void fails_now_and_then(void **state)
{
        static const int errors[] = { EINTR, EIO, ENOMEM };
        struct job job = { .task.run = job_run };

        (void)state;
        for (unsigned i = 0; i < ELEMENTS(errors); i++) {
                post_from_thread(&job, i + 1, errors[i]);
                turn_until(job.runs == i + 1);
        }
}

/* The next post makes up for a failed wake-up. */
static void fails_for_a_while(void **state)
{
        struct job first = { .task.run = job_run }, second = { .task.run = job_run };

        (void)state;
        post_from_thread(&first, ALWAYS, EIO);
        post_from_thread(&second, 0, 0);
        turn_until(first.runs == 1 && second.runs == 1);
}

/* The next turn of the loop makes up for it too, however many tasks there are. */
static void fails_always(void **state)
{
        static struct job jobs[1000];

        (void)state;
        for (size_t i = 0; i < ELEMENTS(jobs); i++) {
                jobs[i] = (struct job){ .task.run = job_run };
                post_from_thread(&jobs[i], ALWAYS, EIO);
        }
        atomic_store(&failures, ALWAYS);
        for (size_t i = 0; i < ELEMENTS(jobs); i++)
                turn_until(jobs[i].runs == 1);
        atomic_store(&failures, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(fails_now_and_then, start_quiet_loop, stop_loop),
                cmocka_unit_test_setup_teardown(fails_for_a_while, start_quiet_loop, stop_loop),
                cmocka_unit_test_setup_teardown(fails_always, start_ticking_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
