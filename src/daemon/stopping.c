/* SPDX-License-Identifier: MIT */
#include "stopping.h"
#include "log.h"
#include "quantity.h"

#include <sysexits.h>
#include <unistd.h>

/*
 * The most time for closing all connections, and for ending the workers' threads after that. Both
 * take only a moment unless a thread hangs. Together they fit into STOP_MARGIN_USEC of notify.c,
 * for which the service manager waits.
 */
#define END_USEC (2 * USEC_PER_SEC)

/* Accepts the clients that have connected, then closes all listeners. */
static void stop_listening(struct serving *serving)
{
        if (!serving->listeners)
                return;
        listeners_accept_pending(serving->listeners);
        serving->listeners = listeners_free(serving->listeners);
}

static void on_retired(struct timer *timer)
{
        stop_listening(container_of(timer, struct stopping, retired)->serving);
}

static void on_drain(struct timer *timer)
{
        stopping_hurry(container_of(timer, struct stopping, drain));
}

static void on_end(struct timer *timer)
{
        container_of(timer, struct stopping, end)->gave_up = true;
}

void stopping_init(struct stopping *stopping, struct loop *loop, struct serving *serving,
                   struct workers *workers)
{
        stopping->serving = serving;
        stopping->workers = workers;
        timer_init(&stopping->retired, loop_timers(loop), on_retired);
        timer_init(&stopping->drain, loop_timers(loop), on_drain);
        timer_init(&stopping->end, loop_timers(loop), on_end);
}

/* Retires the listeners, so that clients that are connecting get through if that is possible. */
static void retire_listeners(struct stopping *stopping)
{
        struct listeners *listeners = stopping->serving->listeners;

        if (listeners_retire(listeners) > 0 &&
            timer_set(&stopping->retired, now_usec() + LISTENER_RETIRE_USEC) == 0)
                listeners_accept_pending(listeners);
        else
                stop_listening(stopping->serving);
}

void stopping_begin(struct stopping *stopping, uint64_t timeout_usec)
{
        char duration[QUANTITY_TEXT_SIZE];
        size_t n;

        stopping->begun = true;
        retire_listeners(stopping);
        n = workers_count_connections(stopping->workers);
        if (n > 0)
                log_write(LOG_STOPPING, NULL, "stopping: %zu connection%s left, waiting at most %s",
                          n, n == 1 ? "" : "s", quantity_format_usec(timeout_usec, duration));
        if ((n > 0 || stopping->serving->listeners) &&
            timer_set(&stopping->drain, now_usec() + timeout_usec) < 0)
                stopping_hurry(stopping);
}

void stopping_hurry(struct stopping *stopping)
{
        stop_listening(stopping->serving);
        if (!timer_is_set(&stopping->end) && timer_set(&stopping->end, now_usec() + END_USEC) < 0)
                stopping->gave_up = true;
        workers_close_all(stopping->workers);
}

bool stopping_is_over(const struct stopping *stopping)
{
        return stopping->gave_up || (stopping->begun && !stopping->serving->listeners &&
                                     workers_count_connections(stopping->workers) == 0);
}

/* A thread that hangs may still use anything that the process has, so nothing can be freed. */
void stopping_end_workers(struct workers *workers)
{
        size_t n = workers_stop(workers, now_usec() + END_USEC);

        if (n == 0)
                return;
        log_write(LOG_STUCK, NULL, "%zu worker%s did not stop; exiting without %s", n,
                  n == 1 ? "" : "s", n == 1 ? "it" : "them");
        log_flush();
        _exit(EX_OSERR);
}
