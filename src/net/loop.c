/* SPDX-License-Identifier: MIT */
/*
 * Between two turns no callback is on the stack. Deferred work runs there, so it can safely free
 * whatever a callback has closed.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

/* The most posted tasks that run in one turn, so that other events are handled too. */
#define POSTS_BATCH 64

/* The most attempts at a wake-up. After them, the next post or turn makes up for it. */
#define WAKE_TRIES 1000

struct loop {
        struct event_base *base;
        struct timers *timers;
        struct event *exceptions; /* @exceptions_fd is readable */
        int exceptions_fd;        /* epoll set of all watched descriptors */
        struct turn turn;
        struct holders holders;
        struct newcomers newcomers;
        struct loop_task *deferred;
        struct event *on_posts; /* @posts_fd is readable; NULL: posts are not open */
        int posts_fd;
        _Atomic bool posts_pending; /* run posted tasks even if @posts_fd is not readable */
        pthread_mutex_t lock;       /* protects @posted, @posted_end, and @posted of each task */
        struct loop_task *posted, **posted_end;
        struct pipes pipes;
        uint8_t scratch[LOOP_SCRATCH_BYTES], scratch_out[LOOP_SCRATCH_BYTES];
};

static void loop_on_exceptions(evutil_socket_t fd, short what, void *arg)
{
        struct epoll_event events[64];
        int n = (int)TEMP_FAILURE_RETRY(epoll_wait(fd, events, ELEMENTS(events), 0));

        (void)what;
        (void)arg;
        for (int i = 0; i < n; i++) {
                struct loop_watch *watch = events[i].data.ptr;

                watch->on_exception(watch, events[i].events & EPOLLPRI);
        }
}

static int base_new(const char *backend, struct event_base **out)
{
        bool automatic = strcmp(backend, "auto") == 0;
        struct event_config *config = event_config_new();
        const char **methods = event_get_supported_methods();
        int r = config && methods ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && !automatic && methods[i]; i++)
                if (strcmp(methods[i], backend) != 0 &&
                    event_config_avoid_method(config, methods[i]) < 0)
                        r = -ENOMEM;
        /* Otherwise variables such as EVENT_NOEPOLL would override the configuration. */
        if (r == 0 &&
            event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK) < 0)
                r = -ENOMEM;
        if (r == 0) {
                *out = event_base_new_with_config(config);
                r = *out ? 0 : -ENOTSUP;
        }
        if (r == 0 && event_base_priority_init(*out, 2) < 0) {
                event_base_free(*out);
                *out = NULL;
                r = -ENOMEM;
        }
        if (config)
                event_config_free(config);
        return r;
}

static void loop_freep(struct loop **loop)
{
        loop_free(*loop);
}

/*
 * Checks that there are descriptors for a base: without one for its signals, libevent ends the
 * process. Return: 0; what eventfd(2) fails with.
 */
static int check_descriptors(void)
{
        int fds[6], r = 0;
        size_t n = 0;

        while (r == 0 && n < ELEMENTS(fds)) {
                fds[n] = eventfd(0, EFD_CLOEXEC);
                r = fds[n] < 0 ? -errno : 0;
                n += r == 0;
        }
        while (n > 0)
                (void)close(fds[--n]);
        return r;
}

int loop_new(const char *backend, struct loop **out)
{
        _cleanup_(loop_freep) struct loop *loop = calloc(1, sizeof(*loop));
        struct rlimit limit = { 0 };
        int r;

        if (!loop)
                return -ENOMEM;
        loop->posts_fd = -1;
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        loop->posted_end = &loop->posted;
        (void)pthread_mutex_init(&loop->lock, NULL); /* cannot fail on Linux */
        loop->exceptions_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->exceptions_fd < 0)
                return -errno;
        r = pipes_init(&loop->pipes, 1 + loop_pipes_max(limit.rlim_cur));
        if (r == 0)
                r = check_descriptors();
        if (r == 0)
                r = base_new(backend, &loop->base);
        if (r < 0)
                return r;
        r = timers_new(loop->base, &loop->timers);
        if (r < 0)
                return r;
        holders_init(&loop->holders, loop->timers, NULL);
        newcomers_init(&loop->newcomers, loop->timers);
        loop->exceptions = event_new(loop->base, loop->exceptions_fd, EV_READ | EV_PERSIST,
                                     loop_on_exceptions, loop);
        /*
         * Exceptions come first in a turn, because reading past an urgent byte clears its event.
         * Urgent data that arrives within the microseconds between the backend's checks of this set
         * and of the stream is still missed: its byte is read as an ordinary one.
         */
        if (!loop->exceptions || event_priority_set(loop->exceptions, 0) < 0 ||
            event_add(loop->exceptions, NULL) < 0)
                return -ENOMEM;
        *out = loop;
        loop = NULL;
        return 0;
}

struct loop *loop_free(struct loop *loop)
{
        if (!loop)
                return NULL;
        if (loop->exceptions)
                event_free(loop->exceptions);
        if (loop->on_posts)
                event_free(loop->on_posts);
        if (loop->timers) {
                holders_deinit(&loop->holders);
                newcomers_deinit(&loop->newcomers);
        }
        timers_free(loop->timers);
        if (loop->base)
                event_base_free(loop->base);
        closep(&loop->exceptions_fd);
        closep(&loop->posts_fd);
        pipes_deinit(&loop->pipes);
        (void)pthread_mutex_destroy(&loop->lock);
        free(loop);
        return NULL;
}

struct event_base *loop_base(const struct loop *loop)
{
        return loop->base;
}

const char *loop_backend(const struct loop *loop)
{
        return event_base_get_method(loop->base);
}

struct holders *loop_holders(struct loop *loop)
{
        return &loop->holders;
}

void loop_set_budget(struct loop *loop, struct budget *budget)
{
        loop->holders.budget = budget;
}

struct budget *loop_budget(const struct loop *loop)
{
        return loop->holders.budget;
}

struct newcomers *loop_newcomers(struct loop *loop)
{
        return &loop->newcomers;
}

struct turn *loop_current_turn(struct loop *loop)
{
        return &loop->turn;
}

uint8_t *loop_scratch(struct loop *loop)
{
        return loop->scratch;
}

struct pipes *loop_pipes(struct loop *loop)
{
        return &loop->pipes;
}

uint8_t *loop_scratch_out(struct loop *loop)
{
        return loop->scratch_out;
}

void loop_run_deferred(struct loop *loop)
{
        while (loop->deferred) {
                struct loop_task *task = loop->deferred;

                loop->deferred = task->next;
                task->run(task);
        }
}

int loop_turn(struct loop *loop)
{
        int r;

        if (atomic_load(&loop->posts_pending)) {
                atomic_store(&loop->posts_pending, false);
                event_active(loop->on_posts, EV_READ, 1);
        }
        turn_begin(&loop->turn);
        r = event_base_loop(loop->base, EVLOOP_ONCE);
        loop_run_deferred(loop);
        return r < 0 ? -EIO : 0;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
        task->next = loop->deferred;
        loop->deferred = task;
}

/* Return: the first posted task, which may be posted again from now on; NULL: there is none. */
static struct loop_task *take_posted(struct loop *loop)
{
        struct loop_task *task;

        (void)pthread_mutex_lock(&loop->lock);
        task = loop->posted;
        if (task) {
                loop->posted = task->next;
                if (!loop->posted)
                        loop->posted_end = &loop->posted;
                task->posted = false;
        }
        (void)pthread_mutex_unlock(&loop->lock);
        return task;
}

/*
 * Wakes the loop. EAGAIN means that the counter is full, so the loop is awake. Other errors are not
 * known to occur. If one persists, the next post or the loop's next turn makes up for it.
 */
static void wake(struct loop *loop)
{
        const uint64_t one = 1;

        for (int i = 0; i < WAKE_TRIES; i++)
                if (write(loop->posts_fd, &one, sizeof(one)) >= 0 || errno == EAGAIN)
                        return;
        atomic_store(&loop->posts_pending, true);
}

static void loop_on_posts(evutil_socket_t fd, short what, void *arg)
{
        struct loop *loop = arg;
        struct loop_task *task;
        uint64_t posts;

        (void)what;
        /* This comes first, so that later posts wake the loop again. */
        (void)!TEMP_FAILURE_RETRY(read(fd, &posts, sizeof(posts)));
        for (int i = 0; i < POSTS_BATCH; i++) {
                task = take_posted(loop);
                if (!task)
                        return;
                task->run(task);
        }
        atomic_store(&loop->posts_pending, true);
}

int loop_open_posts(struct loop *loop)
{
        loop->posts_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (loop->posts_fd < 0)
                return -errno;
        loop->on_posts =
                event_new(loop->base, loop->posts_fd, EV_READ | EV_PERSIST, loop_on_posts, loop);
        return loop->on_posts && event_add(loop->on_posts, NULL) == 0 ? 0 : -ENOMEM;
}

void loop_post(struct loop *loop, struct loop_task *task)
{
        bool must_wake;

        (void)pthread_mutex_lock(&loop->lock);
        must_wake = !loop->posted || atomic_load(&loop->posts_pending);
        if (!task->posted) {
                task->posted = true;
                task->next = NULL;
                *loop->posted_end = task;
                loop->posted_end = &task->next;
        }
        (void)pthread_mutex_unlock(&loop->lock);
        if (must_wake)
                wake(loop);
}

int loop_watch(struct loop *loop, int fd, struct loop_watch *watch)
{
        /* Edge-triggered, so that an error that nobody reads does not spin the loop. */
        struct epoll_event event = { .events = EPOLLPRI | EPOLLET, .data.ptr = watch };

        return epoll_ctl(loop->exceptions_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *loop, int fd)
{
        (void)epoll_ctl(loop->exceptions_fd, EPOLL_CTL_DEL, fd, NULL);
}

struct timers *loop_timers(const struct loop *loop)
{
        return loop->timers;
}

struct timeval loop_timeval(uint64_t usec)
{
        return (struct timeval){ .tv_sec = (time_t)(usec / USEC_PER_SEC),
                                 .tv_usec = (suseconds_t)(usec % USEC_PER_SEC) };
}

/* event_add(3) returns only -1; the system call's error is still in errno. */
int loop_add_event(struct event *event)
{
        errno = 0;
        if (event_add(event, NULL) == 0)
                return 0;
        return errno > 0 ? -errno : -ENOMEM;
}

const char *loop_strerror(int error)
{
        if (error == -ENOSPC)
                return "too many epoll watches (sysctl fs.epoll.max_user_watches)";
        return strerrordesc_np(-error);
}
