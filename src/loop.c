/*
 * The loop. Between two turns no callback is on the stack: that is when deferred work runs, and
 * why whatever a callback may close can be freed there without a thought.
 */
#include "loop.h"

#include <errno.h>
#include <event2/dns.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

struct loop {
        struct event_base *base;
        struct event *exceptions; /* @exceptions_fd is readable */
        int exceptions_fd;        /* epoll set of all watched descriptors */
        struct loop_task *deferred;
        struct evdns_base *dns; /* NULL until needed */
        uint8_t scratch[LOOP_SCRATCH_BYTES];
};

static void loop_on_exceptions(evutil_socket_t fd, short what, void *arg)
{
        struct epoll_event events[64];
        int n = epoll_wait(fd, events, ELEMENTS(events), 0);

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
        /*
         * Precise: without it timers are up to 2.7 ms off (measured), for libevent reads the coarse
         * clock. The environment must not override what the configuration asks for.
         */
        if (r == 0 && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER |
                                                            EVENT_BASE_FLAG_IGNORE_ENV |
                                                            EVENT_BASE_FLAG_NOLOCK) < 0)
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

int loop_new(const char *backend, struct loop **out)
{
        _cleanup_(loop_freep) struct loop *loop = calloc(1, sizeof(*loop));
        int r;

        if (!loop)
                return -ENOMEM;
        loop->exceptions_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->exceptions_fd < 0)
                return -errno;
        r = base_new(backend, &loop->base);
        if (r < 0)
                return r;
        loop->exceptions = event_new(loop->base, loop->exceptions_fd, EV_READ | EV_PERSIST,
                                     loop_on_exceptions, loop);
        /*
         * Before everything else in a turn: to read past urgent data is to lose that it was there.
         * (What arrives between the backend's look at this set and at the stream is still lost: a
         * matter of microseconds, and of one connection that is not closed.)
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
        if (loop->dns)
                evdns_base_free(loop->dns, 0);
        if (loop->exceptions)
                event_free(loop->exceptions);
        if (loop->base)
                event_base_free(loop->base);
        closep(&loop->exceptions_fd);
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

struct evdns_base *loop_dns(struct loop *loop)
{
        if (!loop->dns)
                loop->dns = evdns_base_new(loop->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                                               EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        return loop->dns;
}

uint8_t *loop_scratch(struct loop *loop)
{
        return loop->scratch;
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
        int r = event_base_loop(loop->base, EVLOOP_ONCE);

        loop_run_deferred(loop);
        return r < 0 ? -EIO : 0;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
        task->next = loop->deferred;
        loop->deferred = task;
}

int loop_watch(struct loop *loop, int fd, struct loop_watch *watch)
{
        /* Edge-triggered: a socket with an error that nobody reads must not spin the loop. */
        struct epoll_event event = { .events = EPOLLPRI | EPOLLET, .data.ptr = watch };

        return epoll_ctl(loop->exceptions_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *loop, int fd)
{
        (void)epoll_ctl(loop->exceptions_fd, EPOLL_CTL_DEL, fd, NULL);
}

uint64_t loop_now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

struct timeval loop_timeval(uint64_t usec)
{
        return (struct timeval){ .tv_sec = (time_t)(usec / USEC_PER_SEC),
                                 .tv_usec = (suseconds_t)(usec % USEC_PER_SEC) };
}
