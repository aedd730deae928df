/* SPDX-License-Identifier: MIT */
/*
 * The configuration: the values of /etc/selectd.conf. They are read and checked as a whole, and
 * then never changed.
 *
 * --check, a start and a reload read the file with the same function. Every user of a configuration
 * holds a reference. A change makes a new configuration; the last user of the old one frees it.
 *
 * Thread: any.
 */
#pragma once

#include "log.h"
#include "service_config.h"
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_WORKERS_MAX 64
#define CONFIG_CONTROL_MAX 8
#define CONFIG_HELD_AUTO   UINT64_MAX /* a quarter of the machine's memory */

/* Plain data. Durations of 0 mean never, except for @drain_timeout_usec: not at all. */
struct config {
        char *path; /* the file; NULL: there is none */
        enum log_level log_level;
        bool log_payload;
        const char *backend;      /* "auto", "epoll", "poll" or "select" */
        uint64_t workers;         /* at most CONFIG_WORKERS_MAX; 0: one per CPU */
        uint64_t seed;            /* for all random choices */
        bool seeded;              /* the file sets @seed, so a reload does not change it */
        uint64_t max_held_bytes;  /* for all connections; 0: no bound; or CONFIG_HELD_AUTO */
        uint64_t max_connections; /* 0: as many as the descriptor limit allows */
        uint64_t exit_on_idle_usec;
        uint64_t drain_timeout_usec;
        struct address control[CONFIG_CONTROL_MAX]; /* where the control interface listens */
        size_t n_control;
        struct socket_access control_access; /* of the unix sockets among them */
        struct service_config **services;    /* references */
        size_t n_services;
        struct service_config **by_name; /* all of @services, sorted by name */
};

/**
 * config_mistake_fn - called for each mistake
 * @file, @line: the place of the mistake; line 0: the file as a whole
 * @text:        the mistake, with the value and the legal values; one line, printable
 */
typedef void config_mistake_fn(void *arg, const char *file, unsigned line, const char *text);

/**
 * config_load() - read a configuration file
 * @path:    made absolute, so that a reload finds the same file
 * @mistake: called with @arg for each file that cannot be read; if all can, for the first syntax
 *           error; if there is none, for every other mistake. Its strings are valid until it
 *           returns.
 * @out:     set to the configuration, with one reference
 *
 * Return: 0; -EINVAL: there were mistakes; -ENOMEM; what getcwd(3) fails with.
 */
_must_use_ int config_load(const char *path, config_mistake_fn *mistake, void *arg,
                           struct config **out);

/**
 * config_new() - make a configuration without services, with the default of every key
 * @out: set to the configuration, with one reference
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int config_new(struct config **out);

/**
 * config_with() - copy a configuration, with one service added or replaced
 * @service: replaces the service of the same name, or comes after all others; a reference is taken
 * @out:     set to the copy, with one reference; it shares all other services with @base
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int config_with(const struct config *base, struct service_config *service,
                           struct config **out);

/**
 * config_without() - copy a configuration, with one service left out
 * @out: set to the copy, with one reference; it shares its services with @base
 *
 * Return: 0; -ENOMEM; -ENOENT: there is no service of that name.
 */
_must_use_ int config_without(const struct config *base, const char *name, struct config **out);

/* Return: @config, with one more reference. */
struct config *config_ref(struct config *config);

/**
 * config_unref() - return a reference; the last one frees the configuration
 * Return: NULL.
 */
struct config *config_unref(struct config *config);

/* For _cleanup_(). */
static inline void config_unrefp(struct config **config)
{
        config_unref(*config);
}

/* Return: the service with this name; NULL: there is none. */
struct service_config *config_find_service(const struct config *config, const char *name);
