/* SPDX-License-Identifier: MIT */
/*
 * The configuration: what /etc/selectd.conf says, read whole, checked whole, then never changed.
 *
 * --check, start and reload read it with the same function. Every user of a configuration holds a
 * reference. A reload makes a new configuration; the last user of the old one frees it.
 *
 * Thread: any.
 */
#pragma once

#include "address.h"
#include "conditions.h"
#include "log.h"
#include "network.h"
#include "socket_file.h"
#include "sockopts.h"
#include "tally.h"
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_WORKERS_MAX 64
#define CONFIG_HELD_AUTO   UINT64_MAX /* a quarter of the machine's memory */

enum service_mode {
        SERVICE_ECHO,
        SERVICE_RELAY,
        SERVICE_HUB,
};

/* Where a relay connects to. */
struct upstream {
        char *text;                         /* as in the file, escaped */
        struct address address;             /* unless @host is set */
        char *host;                         /* a name to look up; NULL: @address is known */
        uint16_t port;                      /* of @host */
        const struct service_config *relay; /* of this file, listening there; NULL: none is known */
};

/* One entry of "services". Plain data, owned by its configuration. */
struct service_config {
        char *name;
        enum service_mode mode;
        struct address *listen;
        size_t n_listen;                    /* at least 1 */
        struct socket_access socket_access; /* of the unix sockets among them */
        uint64_t backlog;
        uint64_t send_delay_usec; /* 0: none */
        uint64_t message_bytes;
        uint64_t idle_timeout_usec; /* 0: never */
        struct socket_options socket;
        struct upstream *upstreams;
        size_t n_upstreams; /* 0 but for mode relay */
        uint64_t connect_timeout_usec;
        uint64_t connect_wait_usec;
        uint64_t connect_delay_usec;
        uint64_t max_dialing;  /* clients that wait for an upstream at once; 0: no limit */
        struct tally *dialing; /* how many there are, over all workers and reloads */
        struct conditions to_client, to_upstream; /* a shared bucket is the configuration's */
        uint64_t hold_bytes;                      /* that may be delayed in each direction */
        uint64_t send_proxy;  /* version of the PROXY header that upstreams are sent; 0: none */
        uint64_t quota_bytes; /* of a hub: bytes that may wait for one member */
        bool proxy_accept;    /* clients begin with a PROXY header */
        struct network *proxy_from;
        size_t n_proxy_from; /* 0 unless proxy_accept */
};

/* Plain data. Durations of 0 mean never, except for @drain_timeout_usec: not at all. */
struct config {
        unsigned refs;
        char *path;
        enum log_level log_level;
        bool log_payload;
        const char *backend;      /* "auto", "epoll", "poll" or "select" */
        uint64_t workers;         /* at most CONFIG_WORKERS_MAX; 0: one per CPU */
        uint64_t seed;            /* of all random numbers */
        bool seeded;              /* the file sets @seed: it is the same next time */
        uint64_t max_held_bytes;  /* by all connections; 0: no bound; or CONFIG_HELD_AUTO */
        uint64_t max_connections; /* 0: as many as the descriptor limit holds */
        uint64_t exit_on_idle_usec;
        uint64_t drain_timeout_usec;
        struct service_config *services;
        size_t n_services;               /* at least 1 */
        struct service_config **by_name; /* all of @services, sorted by name */
};

/**
 * config_mistake_fn - is told of one mistake
 * @file, @line: where; @line is 0 when the mistake is of the file as a whole
 * @text:        what is wrong, with the value and what is legal; one line, printable
 */
typedef void config_mistake_fn(void *arg, const char *file, unsigned line, const char *text);

/**
 * config_load() - read a configuration file
 * @path:    made absolute, so that a reload finds the same file
 * @mistake: called with @arg: for each file that can't be read; if there is none, for the first
 *           syntax error; if there is none, for every other mistake. Its strings live until it
 *           returns
 * @out:     set to the configuration, with one reference
 *
 * Return: 0; -EINVAL: there were mistakes; -ENOMEM; what getcwd(3) fails with.
 */
_must_use_ int config_load(const char *path, config_mistake_fn *mistake, void *arg,
                           struct config **out);

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

/**
 * config_inherit() - take over what the connections of a service share from an older configuration:
 * the number of clients that wait for an upstream, and shared buckets whose rate is the same
 *
 * To be called before @config is used. Otherwise each reload would give every service another
 * burst, and room for as many clients again.
 */
void config_inherit(struct config *config, const struct config *older);

/* Return: the service of that name, or NULL. */
const struct service_config *config_find_service(const struct config *config, const char *name);
