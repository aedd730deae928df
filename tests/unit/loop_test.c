/*
 * The loop on each backend: its name, its timers, what is deferred, what other threads post, and
 * the watch of descriptors.
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

/* Posted work */

#define POSTERS 8
#define POSTS   20000

/* One task that a thread posts again and again; @done follows @asked, which is why it is posted. */
struct poster {
        struct loop_task task;
        pthread_t thread;
        _Atomic unsigned asked;
        _Atomic unsigned done;
        unsigned runs;
        bool elsewhere; /* it ran on another thread */
};

/* A task that is posted once. */
struct letter {
        struct loop_task task;
        unsigned text; /* plain: the task must see what was written before the post */
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

/* Each task finds all there is to do, on the loop's thread; the last post is not lost. */
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
        uint64_t deadline = loop_now_usec() + DEADLINE_USEC;
        struct poster *poster = arg;

        for (unsigned i = 1; i <= POSTS / 4; i++) {
                atomic_store(&poster->asked, i);
                loop_post(loop, &poster->task);
                while (atomic_load(&poster->done) < i && loop_now_usec() < deadline)
                        (void)sched_yield();
        }
        return NULL;
}

/* Each post is the last for the time being, and comes when the loop has just found no more. */
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

/* None is lost among others, and all that was written before the post is seen. */
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

/* Before it runs a task is posted but once, and after that anew; others keep their place. */
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
                assert_int_equal(first.runs, i - 1); /* not yet, though this is its thread */
                turn_until(first.done == i && second.runs == i);
                turn_a_while();
                assert_int_equal(first.runs, i);
                assert_int_equal(second.runs, i);
        }
}

/* Posts itself again, for as long as @until lies ahead. */
struct storm {
        struct loop_task task;
        uint64_t until;
        bool over;
};

static void storm_run(struct loop_task *task)
{
        struct storm *storm = container_of(task, struct storm, task);

        storm->over = loop_now_usec() >= storm->until;
        if (!storm->over)
                loop_post(loop, task);
}

static void on_little_time(evutil_socket_t fd, short what, void *arg)
{
        struct storm *storm = arg;

        (void)fd;
        (void)what;
        if (!storm->over)
                storm->until = 0; /* it has seen enough */
        runs++;
}

/* However fast tasks come, timers and sockets get their turn too. */
static void posts_do_not_starve(void **state)
{
        const struct timeval wait = loop_timeval(5 * USEC_PER_MSEC);
        struct storm storm = { .task.run = storm_run, .until = loop_now_usec() + USEC_PER_SEC };
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
        turn_a_while(); /* once, though nobody reads it */
        assert_int_equal(watched.urgent, 1);

        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
        assert_int_equal(close(pair[1]), 0);
        turn_until(watched.errors + watched.urgent > 1);
        turn_a_while();
        assert_int_equal(watched.errors + watched.urgent, 2);
        assert_int_equal(close(pair[0]), 0);
        assert_true(loop_watch(loop, -1, &watched.watch) < 0);
}

/* Timers of our own */

#define ALARMS 1000

static struct alarm {
        struct loop_timer timer;
        uint64_t due_usec;
        unsigned rings, again; /* how often it is to be set once more */
} alarms[ALARMS];

static unsigned rings;

static void set_alarm(struct alarm *alarm, uint64_t usec)
{
        uint64_t now = loop_now_usec();

        alarm->due_usec = now + usec;
        assert_int_equal(loop_timer_set(&alarm->timer, now, alarm->due_usec), 0);
        assert_true(loop_timer_is_set(&alarm->timer));
        assert_in_range(alarm->timer.until_usec - alarm->due_usec, 0, 511);
}

static void on_alarm(struct loop_timer *timer)
{
        struct alarm *alarm = container_of(timer, struct alarm, timer);

        assert_true(loop_now_usec() >= alarm->due_usec);
        assert_false(loop_timer_is_set(timer));
        alarm->rings++;
        rings++;
        if (alarm->again && alarm->again--)
                set_alarm(alarm, 100);
}

static void make_alarms(void)
{
        rings = 0;
        for (size_t i = 0; i < ALARMS; i++) {
                alarms[i] = (struct alarm){ 0 };
                loop_timer_init(&alarms[i].timer, loop, on_alarm);
        }
}

static void a_few_alarms(void **state)
{
        uint64_t now;

        (void)state;
        make_alarms();
        set_alarm(&alarms[0], 30 * USEC_PER_MSEC);
        assert_int_equal(alarms[0].timer.until_usec, alarms[0].due_usec); /* to the microsecond */
        turn_until(rings == 1);

        alarms[0].again = 3;
        set_alarm(&alarms[0], 0);
        turn_until(rings == 5);

        set_alarm(&alarms[0], 1);
        set_alarm(&alarms[0], 20 * USEC_PER_MSEC); /* instead */
        set_alarm(&alarms[1], 1);
        loop_timer_stop(&alarms[1].timer);
        loop_timer_stop(&alarms[1].timer);
        assert_false(loop_timer_is_set(&alarms[1].timer));
        turn_until(rings == 6);
        assert_int_equal(alarms[0].rings, 6);

        now = loop_now_usec();
        assert_int_equal(loop_timer_set(&alarms[2].timer, now, now - 1000), 0); /* long ago */
        turn_until(rings == 7);
        turn_a_while();
        assert_int_equal(rings, 7);
        set_alarm(&alarms[0], 1000); /* as exact as at first: none is counted that is over */
        assert_int_equal(alarms[0].timer.until_usec, alarms[0].due_usec);
        loop_timer_stop(&alarms[0].timer);
}

/* They meet at few moments, each soon after it is due. */
static void many_alarms(void **state)
{
        unsigned moments = 0;
        uint64_t last = 0;

        (void)state;
        make_alarms();
        for (size_t i = 0; i < ALARMS; i++)
                set_alarm(&alarms[i], 50 * USEC_PER_MSEC);
        for (size_t i = 0; i < ALARMS; i++)
                set_alarm(&alarms[i], 50 * USEC_PER_MSEC + 100 * i);
        for (size_t i = 0; i < ALARMS; i++) {
                moments += alarms[i].timer.until_usec != last;
                last = alarms[i].timer.until_usec;
        }
        assert_in_range(moments, 100,
                        300); /* 100 ms of half a millisecond, and what setting took */
        turn_until(rings == ALARMS);
        turn_a_while();
        for (size_t i = 0; i < ALARMS; i++)
                assert_int_equal(alarms[i].rings, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(names, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(values, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(timers, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(deferred, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(posted_by_many, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_one_by_one, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_once_each, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posted_twice, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(posts_do_not_starve, start_posts, stop_loop),
                cmocka_unit_test_setup_teardown(watch, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(a_few_alarms, start_loop, stop_loop),
                cmocka_unit_test_setup_teardown(many_alarms, start_loop, stop_loop),
        };

        return run_on_all_backends(tests);
}
