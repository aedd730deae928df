/* SPDX-License-Identifier: MIT */
/*
 * The loop on each backend: its name, deferred work, posts from other threads, and the watch of
 * descriptors.
 */
#include "turning.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
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

        /* the environment has no influence */
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
}

/* Deferred work */

struct job {
        struct loop_task task;
        struct job *next; /* a job that this one defers */
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
        free(job); /* the loop must not use it again */
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
        assert_int_equal(runs, 4); /* in one turn, including work that a task defers */
        turn_a_while();
        assert_int_equal(runs, 4);
        /* and without a turn */
        loop_defer(loop, &job_new(job_new(NULL))->task);
        loop_run_deferred(loop);
        assert_int_equal(runs, 6);
}

/* Posted work */

#define POSTERS 8
#define POSTS   20000

/*
 * A task that a thread posts repeatedly. The thread raises @asked, and the task raises @done to it.
 */
struct poster {
        struct loop_task task;
        pthread_t thread;
        _Atomic unsigned asked;
        _Atomic unsigned done;
        unsigned runs;
        bool elsewhere; /* the task ran on another thread */
};

/* A task that is posted once. */
struct letter {
        struct loop_task task;
        unsigned text; /* not atomic: the post itself must order these accesses */
};

static pthread_t home;
static struct letter letters[POSTERS][500];
static unsigned delivered;

static int start_posts(void **state)
{
        home = pthread_self();
        delivered = 0;
        return start_loop(state) == 0 && loop_open_posts(loop) == 0 ? 0 : -1;
}

static void poster_run(struct loop_task *task)
{
        struct poster *poster = container_of(task, struct poster, task);

        poster->runs++;
        poster->elsewhere |= !pthread_equal(pthread_self(), home);
        atomic_store(&poster->done, atomic_load(&poster->asked));
}

static void *post(void *arg)
{
        struct poster *poster = arg;

        for (unsigned i = 1; i <= POSTS; i++) {
                atomic_store(&poster->asked, i);
                loop_post(loop, &poster->task);
        }
        return NULL;
}

/* Each task sees everything that was asked, on the loop's thread. The last post is not lost. */
static void posted_by_many(void **state)
{
        struct poster posters[POSTERS] = { 0 };

        (void)state;
        for (size_t i = 0; i < POSTERS; i++) {
                posters[i].task.run = poster_run;
                assert_int_equal(pthread_create(&posters[i].thread, NULL, post, &posters[i]), 0);
        }
        for (size_t i = 0; i < POSTERS; i++) {
                turn_until(posters[i].done == POSTS);
                assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        }
        turn_a_while();
        for (size_t i = 0; i < POSTERS; i++) {
                assert_int_equal(posters[i].done, POSTS);
                assert_in_range(posters[i].runs, 1, POSTS);
                assert_false(posters[i].elsewhere);
        }
}

static void *post_one_by_one(void *arg)
{
        uint64_t deadline = now_usec() + DEADLINE_USEC;
        struct poster *poster = arg;

        for (unsigned i = 1; i <= POSTS / 4; i++) {
                atomic_store(&poster->asked, i);
                loop_post(loop, &poster->task);
                while (atomic_load(&poster->done) < i && now_usec() < deadline)
                        (void)sched_yield();
        }
        return NULL;
}

/* The loop has just found no more tasks when the next post comes. */
static void posted_one_by_one(void **state)
{
        struct poster poster = { .task.run = poster_run };

        (void)state;
        assert_int_equal(pthread_create(&poster.thread, NULL, post_one_by_one, &poster), 0);
        turn_until(poster.done == POSTS / 4);
        assert_int_equal(pthread_join(poster.thread, NULL), 0);
        assert_int_equal(poster.runs, POSTS / 4);
}

static void letter_run(struct loop_task *task)
{
        delivered += container_of(task, struct letter, task)->text;
}

static void *send_letters(void *arg)
{
        struct letter *own = arg;

        for (size_t i = 0; i < ELEMENTS(letters[0]); i++) {
                own[i] = (struct letter){ .task.run = letter_run, .text = 1 };
                loop_post(loop, &own[i].task);
        }
        return NULL;
}

/* No task is lost among others, and each sees everything that was written before its post. */
static void posted_once_each(void **state)
{
        pthread_t threads[POSTERS];

        (void)state;
        for (size_t i = 0; i < POSTERS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, send_letters, letters[i]), 0);
        turn_until(delivered == POSTERS * ELEMENTS(letters[0]));
        for (size_t i = 0; i < POSTERS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        turn_a_while();
        assert_int_equal(delivered, POSTERS * ELEMENTS(letters[0]));
}

/* A task that waits is not posted again, and one that has run is. Other tasks keep their order. */
static void posted_twice(void **state)
{
        struct poster first = { .task.run = poster_run }, second = { .task.run = poster_run };

        (void)state;
        for (unsigned i = 1; i <= 3; i++) {
                atomic_store(&first.asked, i);
                loop_post(loop, &first.task);
                loop_post(loop, &second.task);
                loop_post(loop, &first.task);
                loop_post(loop, &second.task);
                assert_int_equal(first.runs,
                                 i - 1); /* not yet, although this is the loop's thread */
                turn_until(first.done == i && second.runs == i);
                turn_a_while();
                assert_int_equal(first.runs, i);
                assert_int_equal(second.runs, i);
        }
}

/* Posts itself again until @until. */
struct storm {
        struct loop_task task;
        uint64_t until;
        bool over;
};

static void storm_run(struct loop_task *task)
{
        struct storm *storm = container_of(task, struct storm, task);

        storm->over = now_usec() >= storm->until;
        if (!storm->over)
                loop_post(loop, task);
}

static void on_little_time(evutil_socket_t fd, short what, void *arg)
{
        struct storm *storm = arg;

        (void)fd;
        (void)what;
        if (!storm->over)
                storm->until = 0; /* ends the storm */
        runs++;
}

/* However fast tasks are posted, timers and sockets are served in between. */
static void posts_do_not_starve(void **state)
{
        const struct timeval wait = loop_timeval(5 * USEC_PER_MSEC);
        struct storm storm = { .task.run = storm_run, .until = now_usec() + USEC_PER_SEC };
        struct poster other = { .task.run = poster_run };

        (void)state;
        runs = 0;
        assert_int_equal(event_base_once(loop_base(loop), -1, EV_TIMEOUT, on_little_time, &storm,
                                         &wait),
                         0);
        loop_post(loop, &storm.task);
        loop_post(loop, &other.task);
        turn_until(storm.over);
        assert_int_equal(storm.until, 0);
        assert_int_equal(runs, 1);
        assert_int_equal(other.runs, 1);
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
        turn_a_while(); /* reported once, although nobody reads it */
        assert_int_equal(watched.urgent, 1);

        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        assert_int_equal(close(pair[1]), 0);
        turn_until(watched.errors + watched.urgent > 1);
        turn_a_while();
        assert_int_equal(watched.errors + watched.urgent, 2);
        assert_int_equal(close(pair[0]), 0);
        assert_true(loop_watch(loop, -1, &watched.watch) < 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(names, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(values, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(deferred, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(posted_by_many, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_one_by_one, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_once_each, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_twice, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posts_do_not_starve, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(watch, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
