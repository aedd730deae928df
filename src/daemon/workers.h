/* SPDX-License-Identifier: MIT */
/*
 * All workers of the process.
 *
 * One worker runs on the main thread's loop. Several workers have a thread and a loop each.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "worker.h"

struct workers {
        struct worker **list;
        size_t n;
        struct resolver *resolver;
        uint64_t generation; /* of the last workers_apply() */
};

/* Return: how many workers @config asks for. */
size_t workers_wanted(const struct config *config);

/**
 * workers_start() - make as many workers as the configuration asks for
 * @workers:   zeroed; passed to workers_stop() and workers_free() afterwards, also after a failure
 * @main_loop: see worker_new()
 *
 * Return: 0; -ENOMEM; see worker_new().
 */
_must_use_ int workers_start(struct workers *workers, const struct config *config,
                             struct loop *main_loop, const struct worker_events *events, void *arg);

/**
 * workers_stop() - close all connections and end all threads
 * @until_usec: when to give up, CLOCK_MONOTONIC
 *
 * Afterwards the main loop must not be turned.
 *
 * Return: how many threads still run. Unless this is 0, nothing that a thread may use can be freed.
 */
_must_use_ size_t workers_stop(struct workers *workers, uint64_t until_usec);

/* Frees the workers after workers_stop(). */
void workers_free(struct workers *workers);

/* Return: the number of event loops, with the main thread's. */
size_t workers_count_loops(const struct workers *workers);

/* Return: the number of connections of all workers. */
size_t workers_count_connections(const struct workers *workers);

/* Return: the worker for the next client of a service. The members of a hub share one worker. Any
 * other client gets the worker with the fewest connections. */
struct worker *workers_choose(const struct workers *workers, const struct service_config *config);

/* See worker_change_service(). workers_apply() has to follow. */
void workers_change_service(struct workers *workers, struct service *service,
                            struct service_config *config);

/* Gives all connections the settings of @config, after the changes of workers_change_service().
 * Return: the generation that workers_applied() returns when every worker has done so. */
uint64_t workers_apply(struct workers *workers, const struct config *config);

/* Return: the newest generation that every worker has applied. */
uint64_t workers_applied(const struct workers *workers);

/* See worker_close_all(). */
void workers_close_all(struct workers *workers);

/* Return: whether every worker's thread has turned its loop since the last call. */
bool workers_answer(struct workers *workers);
