/* SPDX-License-Identifier: MIT */
/*
 * One loop and the connections on it.
 *
 * A worker runs on the main loop, which the caller turns, or has a thread and a loop of its own.
 * With a thread, every call below hands a command to the thread and returns at once, and the
 * worker's events come back the same way (loop_post()). On the data path the threads share
 * nothing.
 *
 * Thread: main, for all calls and callbacks.
 */
#pragma once

#include "sessions.h"

struct worker;

/* Callbacks. None may free the worker. */
struct worker_events {
        /* Some connections have ended and their descriptors are closed. */
        void (*on_ended)(void *arg);
        /* A client could not be served, and its socket is closed. @error: -ENOMEM, -ENOSPC. @client
         * is the client's name for the log, and lives until this returns. */
        void (*on_refused)(void *arg, struct service *service, const char *client, int error);
        /* worker_applied() has changed. Not called within worker_apply(). */
        void (*on_applied)(void *arg);
        /* The loop of the worker's thread failed; its connections have ended. */
        void (*on_failed)(void *arg);
};

/**
 * worker_new() - make a worker without connections
 * @backend:   NULL: the worker runs on @main_loop; otherwise it makes a loop with this backend, see
 *             loop_new(), and a thread that turns the loop
 * @main_loop: the caller's loop, open for posts
 * @resolver:  outlives the worker
 * @shard:     the index of the worker's shards of services
 * @out:       set to the worker; freed with worker_free()
 *
 * Return: 0; -ENOMEM; see loop_new(); what pthread_create(3) fails with.
 */
_must_use_ int worker_new(const char *backend, struct loop *main_loop, struct resolver *resolver,
                          size_t shard, const struct worker_events *events, void *arg,
                          struct worker **out);

/**
 * worker_begin_stop() - tell the worker to close its connections and end its thread
 *
 * Returns at once. Call this for all workers before the first worker_stop(), so that they end at
 * the same time.
 */
void worker_begin_stop(struct worker *worker);

/**
 * worker_stop() - wait until the thread has ended; after worker_begin_stop()
 * @until_usec: when to give up, CLOCK_MONOTONIC
 *
 * Afterwards @main_loop must not be turned. Stop all workers before the first one is freed, because
 * each may have posted to @main_loop.
 *
 * Return: 0; -ETIMEDOUT: the thread still runs, and nothing that it may use can be freed.
 */
_must_use_ int worker_stop(struct worker *worker, uint64_t until_usec);

/**
 * worker_free() - free a stopped worker
 * Return: NULL.
 */
struct worker *worker_free(struct worker *worker);

/**
 * worker_admit() - begin a connection; see connection_new()
 * @client: its socket is consumed; references to service and settings are taken
 */
void worker_admit(struct worker *worker, const struct client *client);

/* Return: the number of connections that were admitted and have not ended. */
size_t worker_count(const struct worker *worker);

/**
 * worker_change_service() - give the connections of a service its new settings
 *
 * If the service is disabled, the connections that have been admitted end. worker_apply() has to
 * follow.
 */
void worker_change_service(struct worker *worker, struct service *service,
                           struct service_config *config);

/* Gives all connections new settings, after the changes of worker_change_service(). @generation:
 * higher with each call; worker_applied() returns it when the settings are in force. */
void worker_apply(struct worker *worker, const struct session_settings *settings,
                  uint64_t generation);

/* Return: the generation of the last worker_apply() that has been carried out; 0: none. */
uint64_t worker_applied(const struct worker *worker);

/* Closes every connection, because the process stops. */
void worker_close_all(struct worker *worker);

/* Return: whether the worker's thread has turned its loop since the last call. */
bool worker_answers(struct worker *worker);
