/*
 * One loop and the connections on it.
 *
 * A worker's loop is turned by the caller, or by a thread of the worker's own. In the second case
 * every call below hands an order over and returns at once, and what the worker has to tell comes
 * back the same way (loop_post()): on the data path the threads share nothing.
 *
 * Thread: all calls and callbacks are of the home loop's.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct resolver;
struct worker;

/* What a worker tells its owner; none may free it. */
struct worker_events {
        /* Some connections have ended and their descriptors are closed. */
        void (*on_ended)(void *arg);
        /* A client could not be served, and its socket is closed: -ENOMEM, -ENOSPC. Both names
         * live until this returns; @client as in the log. */
        void (*on_refused)(void *arg, const char *service, const char *client, int error);
        /* What worker_reconfigure() asked for is in force. Not called from within it. */
        void (*on_current)(void *arg);
        /* The loop of the worker's thread failed; its connections have ended. */
        void (*on_failed)(void *arg);
};

/**
 * worker_new() - a worker without connections
 * @backend: NULL: the worker runs on @home, which the caller turns; else it makes a loop of that
 *           backend, see loop_new(), and a thread of its own that turns it
 * @home:    the caller's loop, open for posts
 * @resolver: outlives the worker
 * @out:     set to the worker; freed with worker_free()
 *
 * Return: 0; -ENOMEM; see loop_new(); what pthread_create(3) fails with.
 */
_must_use_ int worker_new(const char *backend, struct loop *home, struct resolver *resolver,
                          const struct worker_events *events, void *arg, struct worker **out);

/**
 * worker_begin_stop() - tell the worker to close what connections are left and to end its thread
 *
 * Returns at once. Of several workers tell all before the first worker_stop(), so that they end
 * side by side.
 */
void worker_begin_stop(struct worker *worker);

/**
 * worker_stop() - wait until the thread has ended; behind worker_begin_stop()
 * @until_usec: when to give up, CLOCK_MONOTONIC
 *
 * Afterwards @home must not be turned any more; stop all workers of a home before the first one is
 * freed, for each may have posted there.
 *
 * Return: 0; -ETIMEDOUT: the thread still runs, so nothing that it may use can be freed.
 */
_must_use_ int worker_stop(struct worker *worker, uint64_t until_usec);

/**
 * worker_free() - free a stopped worker
 * Return: NULL.
 */
struct worker *worker_free(struct worker *worker);

/**
 * worker_admit() - begin a connection; see connection_new()
 * @fd: consumed
 */
void worker_admit(struct worker *worker, struct config *config, const struct service *service,
                  int fd, const struct address *peer, uint64_t id);

/* Connections admitted that have not ended. */
size_t worker_count(const struct worker *worker);

/* Gives every connection the new limits and shaping values; worker_is_current() tells when. */
void worker_reconfigure(struct worker *worker, struct config *config);
bool worker_is_current(const struct worker *worker);

/* Ends every connection. @reason: see connection_close(); a literal. */
void worker_close_all(struct worker *worker, const char *reason);

/* Whether the worker's thread has turned its loop since this was last asked. */
bool worker_answers(struct worker *worker);
