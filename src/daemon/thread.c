/* SPDX-License-Identifier: MIT */
/*
 * The thread. pthread_clockjoin_np(3) would need no condition, but the ThreadSanitizer of GCC 12
 * does not know it.
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static void *thread_run(void *arg)
{
        struct thread *thread = arg;

        thread->run(thread->arg);
        (void)pthread_mutex_lock(&thread->lock);
        thread->ended = true;
        (void)pthread_cond_signal(&thread->on_ended);
        (void)pthread_mutex_unlock(&thread->lock);
        return NULL;
}

/* None of these calls fails on Linux. */
static void init_members(struct thread *thread)
{
        pthread_condattr_t attr;

        (void)pthread_mutex_init(&thread->lock, NULL);
        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&thread->on_ended, &attr);
        (void)pthread_condattr_destroy(&attr);
}

static void destroy_members(struct thread *thread)
{
        (void)pthread_cond_destroy(&thread->on_ended);
        (void)pthread_mutex_destroy(&thread->lock);
}

int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
        sigset_t all, before;
        int r;

        *thread = (struct thread){ .run = run, .arg = arg };
        init_members(thread);
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&thread->id, NULL, thread_run, thread);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r == 0)
                (void)pthread_setname_np(thread->id, name);
        else
                destroy_members(thread);
        return r;
}

int thread_join(struct thread *thread, uint64_t until_usec)
{
        const struct timespec until = {
                .tv_sec = (time_t)(until_usec / USEC_PER_SEC),
                .tv_nsec = (long)(until_usec % USEC_PER_SEC) * 1000,
        };
        bool ended;
        int r = 0;

        (void)pthread_mutex_lock(&thread->lock);
        while (r == 0 && !thread->ended)
                r = -pthread_cond_timedwait(&thread->on_ended, &thread->lock, &until);
        ended = thread->ended;
        (void)pthread_mutex_unlock(&thread->lock);
        if (!ended)
                return r;
        (void)pthread_join(thread->id, NULL);
        destroy_members(thread);
        return 0;
}
