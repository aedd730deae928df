/* The loop on each backend: its name, its timers, what is deferred, and the watch of descriptors.
 */
#include "turning.h"

#include <errno.h>
#include <sys/socket.h>

static void names(void **state)
{
        struct loop *untouched = NULL, *other = NULL;

        (void)state;
        assert_string_equal(loop_backend(loop), backend);
        assert_int_equal(loop_new("kqueue", &untouched), -ENOTSUP);
        assert_int_equal(loop_new("", &untouched), -ENOTSUP);
        assert_int_equal(loop_new("EPOLL", &untouched), -ENOTSUP);
        assert_null(untouched);
        assert_null(loop_free(NULL));

        /* the environment has no say */
        assert_int_equal(setenv("EVENT_NOEPOLL", "1", 1), 0);
        assert_int_equal(loop_new("auto", &other), 0);
        assert_string_equal(loop_backend(other), "epoll");
        assert_null(loop_free(other));
        assert_int_equal(unsetenv("EVENT_NOEPOLL"), 0);
}

static void values(void **state)
{
        struct timeval tv = loop_timeval(3 * USEC_PER_SEC + 7);

        (void)state;
        assert_int_equal(tv.tv_sec, 3);
        assert_int_equal(tv.tv_usec, 7);
        memset(loop_scratch(loop), 0xff, LOOP_SCRATCH_BYTES);
        assert_true(loop_now_usec() <= loop_now_usec());
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        *(uint64_t *)arg = loop_now_usec();
}

/* None early. As to late: a busy machine may delay any one, but hardly each of them. */
static void timers(void **state)
{
        uint64_t least_late = UINT64_MAX;

        (void)state;
        for (unsigned i = 0; i < 40; i++) {
                uint64_t wait = i * 337, fired = 0, due = loop_now_usec() + wait;
                const struct timeval tv = loop_timeval(wait);

                assert_int_equal(event_base_once(loop_base(loop), -1, EV_TIMEOUT, on_timer, &fired,
                                                 &tv),
                                 0);
                turn_until(fired);
                assert_true(fired >= due);
                if (fired - due < least_late)
                        least_late = fired - due;
        }
        assert_in_range(least_late, 0, 5 * USEC_PER_MSEC);
}

/* Deferred work */

struct job {
        struct loop_task task;
        struct job *next; /* deferred by this one */
};

static int runs;
static bool in_callback;

static void job_run(struct loop_task *task)
{
        struct job *job = container_of(task, struct job, task);

        assert_false(in_callback);
        runs++;
        if (job->next)
                loop_defer(loop, &job->next->task);
        free(job); /* the loop must not look at it again */
}

static struct job *job_new(struct job *next)
{
        struct job *job = calloc(1, sizeof(*job));

        assert_non_null(job);
        *job = (struct job){ .task.run = job_run, .next = next };
        return job;
}

static void on_defer(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        (void)arg;
        in_callback = true;
        loop_defer(loop, &job_new(job_new(job_new(NULL)))->task);
        loop_defer(loop, &job_new(NULL)->task);
        assert_int_equal(runs, 0);
        in_callback = false;
}

static void deferred(void **state)
{
        (void)state;
        runs = 0;
        assert_int_equal(event_base_once(loop_base(loop), -1, EV_TIMEOUT, on_defer, NULL, NULL), 0);
        turn_until(runs > 0);
        assert_int_equal(runs, 4); /* in one turn, what a task defers too */
        turn_a_while();
        assert_int_equal(runs, 4);
        /* and without a turn */
        loop_defer(loop, &job_new(job_new(NULL))->task);
        loop_run_deferred(loop);
        assert_int_equal(runs, 6);
}

/* The watch */

struct watched {
        struct loop_watch watch;
        int urgent, errors;
};

static void on_exception(struct loop_watch *watch, bool urgent)
{
        struct watched *watched = container_of(watch, struct watched, watch);

        if (urgent)
                watched->urgent++;
        else
                watched->errors++;
}

static void watch(void **state)
{
        const struct linger none = { .l_onoff = 1 };
        struct watched watched = { .watch.on_exception = on_exception };
        int pair[2];

        (void)state;
        tcp_pair(pair);
        assert_int_equal(loop_watch(loop, pair[0], &watched.watch), 0);
        assert_int_equal(send(pair[1], "data", 4, 0), 4);
        turn_a_while();
        assert_int_equal(watched.urgent + watched.errors, 0);
        assert_int_equal(send(pair[1], "!", 1, MSG_OOB), 1);
        turn_until(watched.urgent);
        turn_a_while(); /* once, though nobody reads it */
        assert_int_equal(watched.urgent, 1);

        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        assert_int_equal(close(pair[1]), 0);
        turn_until(watched.errors + watched.urgent > 1);
        turn_a_while();
        assert_int_equal(watched.errors + watched.urgent, 2);
        assert_int_equal(close(pair[0]), 0);
}

static void unwatch(void **state)
{
        struct watched watched = { .watch.on_exception = on_exception };
        int pair[2];

        (void)state;
        tcp_pair(pair);
        assert_int_equal(loop_watch(loop, pair[0], &watched.watch), 0);
        loop_unwatch(loop, pair[0]);
        assert_int_equal(send(pair[1], "!", 1, MSG_OOB), 1);
        assert_int_equal(close(pair[1]), 0);
        turn_a_while();
        assert_int_equal(watched.urgent + watched.errors, 0);
        assert_int_equal(close(pair[0]), 0);
        assert_true(loop_watch(loop, -1, &watched.watch) < 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(names, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(values, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(timers, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(deferred, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(watch, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(unwatch, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
