/* SPDX-License-Identifier: MIT */
/*
 * Reloads of the configuration, one at a time.
 *
 * After a request that comes while the file is being read, the file is read once more. A reload
 * ends when it has failed, or when all workers have applied the new configuration.
 *
 * Thread: the loop's.
 */
#pragma once

#include "serving.h"

struct loader;

/* The size of the reason that reload_events.apply writes to @why: one line, printable. */
#define RELOAD_WHY_SIZE SERVING_WHY_SIZE

/* Callbacks, called with the owner's @arg. */
struct reload_events {
        /* A reload begins. */
        void (*on_begin)(void *arg);
        /* Apply a configuration; see serving_apply(). */
        int (*apply)(void *arg, struct config *config, struct apply_wait *wait, char *why);
        /* The reload has ended; its result has been logged. */
        void (*on_end)(void *arg);
};

/* Embedded in its owner, who may read @failed and the counters. */
struct reload {
        struct loop *loop;
        const char *path;
        const struct reload_events *events;
        void *arg;
        struct loader *loader; /* NULL: no file is being read */
        bool again;            /* a request came while the file was being read */
        bool cancelled;
        bool failed;                  /* the newest reload failed */
        uint64_t n_applied, n_failed; /* reloads so far */
        size_t n_services;            /* in the new configuration */
        struct apply_wait applied;
};

/**
 * reload_init() - prepare for reloads
 * @loop: open for posts; turned by the caller
 * @path: the file, absolute; outlives the reload; NULL: there is none, and every reload fails
 */
void reload_init(struct reload *reload, struct loop *loop, const char *path,
                 const struct reload_events *events, void *arg);

/* Frees everything that a current reload uses. The loop must not be turned afterwards. */
void reload_deinit(struct reload *reload);

/* Reloads the file. Has no effect after reload_cancel(). */
void reload_request(struct reload *reload);

/* Cancels a current reload without waiting for it. No callback is called afterwards. */
void reload_cancel(struct reload *reload);
