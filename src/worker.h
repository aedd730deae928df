/*
 * One loop and the connections on it.
 *
 * Thread: the loop's.
 */
#pragma once

#include "connection.h"

struct worker;

/**
 * worker_new() - a worker without connections
 * @loop:     outlives the worker
 * @on_ended: called with @arg, between two turns of the loop, whenever a connection has ended and
 *            its descriptor is closed; it may not free the worker
 * @out:      set to the worker; freed with worker_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int worker_new(struct loop *loop, void (*on_ended)(void *arg), void *arg,
                          struct worker **out);

/**
 * worker_free() - free a worker; its connections have ended
 * Return: NULL.
 */
struct worker *worker_free(struct worker *worker);

/**
 * worker_admit() - begin a connection; see connection_new()
 * @fd: consumed on success
 *
 * Return: 0; -ENOMEM, -ENOSPC.
 */
_must_use_ int worker_admit(struct worker *worker, struct config *config,
                            const struct service *service, int fd, const struct address *peer);

/* Connections alive. */
size_t worker_count(const struct worker *worker);

/* Gives every connection the new limits and shaping values. */
void worker_reconfigure(struct worker *worker, struct config *config);

/* Ends every connection. @reason: see connection_close(). */
void worker_close_all(struct worker *worker, const char *reason);
