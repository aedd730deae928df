/* SPDX-License-Identifier: MIT */
/*
 * Stopping the process. First, new clients are refused. Existing clients are served until they
 * finish or drain_timeout has passed. Then all connections are closed, and the workers' threads
 * end.
 *
 * Thread: main.
 */
#pragma once

#include "serving.h"

/* Embedded in its owner, who may read @begun; zeroed before stopping_init(). */
struct stopping {
        struct serving *serving;
        struct workers *workers;
        struct timer retired; /* the retired listeners can be closed */
        struct timer drain;   /* drain_timeout has passed since the stop began */
        struct timer end;     /* the time for closing all connections has passed */
        bool begun;
        bool gave_up; /* some connections did not close */
};

/* @loop, @serving, @workers: outlive @stopping. */
void stopping_init(struct stopping *stopping, struct loop *loop, struct serving *serving,
                   struct workers *workers);

/**
 * stopping_begin() - stop listening, and wait for the remaining connections
 * @timeout_usec: the most time to wait
 *
 * Clients that are connecting get through. Logs the number of remaining connections.
 */
void stopping_begin(struct stopping *stopping, uint64_t timeout_usec);

/* Closes all sockets and connections without waiting for them to finish. */
void stopping_hurry(struct stopping *stopping);

/* Whether all connections have ended, or the time for closing them has passed. */
bool stopping_is_over(const struct stopping *stopping);

/* Stops the threads of the workers. If one of them hangs, logs that and exits the process. */
void stopping_end_workers(struct workers *workers);
