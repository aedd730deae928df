/* SPDX-License-Identifier: MIT */
/*
 * The end of the process: first no client can connect any more, then existing clients are served
 * until they finish or drain_timeout has passed, then all connections are closed, and the workers'
 * threads end.
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
        struct timer end;     /* the connections had time to close */
        bool begun;
        bool gave_up; /* some connections did not close */
};

/* Prepares for a stop. @loop, @serving, @workers: outlive it. */
void stopping_init(struct stopping *stopping, struct loop *loop, struct serving *serving,
                   struct workers *workers);

/**
 * stopping_begin() - stop listening, and wait for the connections that are left
 * @timeout_usec: how long at most
 *
 * Clients that are connecting may finish. Logs how many connections are left.
 */
void stopping_begin(struct stopping *stopping, uint64_t timeout_usec);

/* Closes all sockets and connections without waiting for them to finish. */
void stopping_hurry(struct stopping *stopping);

/* Return: whether nothing is left to wait for, or the wait has been given up. */
bool stopping_is_over(const struct stopping *stopping);

/* Stops the threads of the workers. If one of them hangs, logs that and exits the process. */
void stopping_end_workers(struct workers *workers);
