/* SPDX-License-Identifier: MIT */
/*
 * Serving: the configuration in force, its services, and their listening sockets.
 *
 * serving_apply() is the one way to make, change, disable and remove services. A start, a reload
 * and an operator's request differ only in where their configuration comes from.
 *
 * Thread: main.
 */
#pragma once

#include "listeners.h"
#include "workers.h"

/* The size of the reason that a failed call writes to @why: one line, printable. */
#define SERVING_WHY_SIZE LISTENERS_WHY_SIZE

/* A wait until a configuration is in force for every connection. Embedded in its owner; all zero
 * except @on_applied. */
struct apply_wait {
        TAILQ_ENTRY(apply_wait) entry;
        void (*on_applied)(struct apply_wait *wait); /* may free @wait; may call serving_apply() */
        uint64_t generation;                         /* the one it waits for; 0: it is not set */
};

/* Embedded in its owner, who may read @config and @listeners. */
struct serving {
        struct config *config;       /* in force, a reference; NULL: none yet */
        struct listeners *listeners; /* NULL: stopped */
        struct registry registry;
        struct loop *loop;
        struct workers *workers;
        TAILQ_HEAD(, apply_wait) waits;
        struct loop_task check;
        bool checking; /* @check has been deferred */
};

/**
 * serving_init() - prepare, with the sockets that systemd passed; nothing is accepted yet
 * @serving: zeroed; passed to serving_deinit() afterwards, also after a failure
 * @workers: have been started; outlive @serving
 *
 * Return: see listeners_new().
 */
_must_use_ int serving_init(struct serving *serving, struct loop *loop, struct workers *workers,
                            const struct listeners_events *events, void *arg, char *why);

/* Closes all sockets and releases all services. Waits end without a call. */
void serving_deinit(struct serving *serving);

/**
 * serving_apply() - put a configuration into force
 * @config: a reference is taken
 * @wait:   its on_applied is called, but not within this call, when every connection has the new
 *          settings and every connection of a disabled service has ended. A wait that is set
 *          already waits for @config from now on. NULL: none
 *
 * Services are made and removed, see registry.h, and sockets are opened and closed, see
 * listeners_apply(). New clients get the new settings at once. An open connection gets the new
 * settings of its service, unless the service is removed or its mode changes. On failure nothing
 * has changed.
 *
 * Return: 0; -ENOMEM; see listeners_match(), listeners_apply(). @why says which address of which
 * service, and why.
 */
_must_use_ int serving_apply(struct serving *serving, struct config *config,
                             struct apply_wait *wait, char *why);

/*
 * Return: all services that exist, @n of them, sorted by name: those of the configuration in force,
 * and removed ones that something still uses. Valid until the next call for @serving. Frees removed
 * services that nothing uses any more.
 */
struct service *const *serving_services(struct serving *serving, size_t *n);

/* Calls on_applied for the waits that are over. To be called when workers_applied() has changed. */
void serving_check(struct serving *serving);

/* Ends a wait without a call. Has no effect on a wait that is not set. */
void serving_stop_waiting(struct serving *serving, struct apply_wait *wait);

/* Whether the wait is set. */
static inline bool apply_wait_is_set(const struct apply_wait *wait)
{
        return wait->generation != 0;
}
