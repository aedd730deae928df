/* SPDX-License-Identifier: MIT */
/*
 * The configuration of one service. It is not changed after it has become part of a configuration.
 *
 * Its users hold references: configurations, listening sockets and connections. Configurations in
 * which a service is the same share it.
 *
 * Thread: any.
 */
#pragma once

#include "address.h"
#include "conditions.h"
#include "network.h"
#include "socket_file.h"
#include "sockopts.h"
#include <stdbool.h>
#include <stdint.h>

enum service_mode {
        SERVICE_ECHO,
        SERVICE_RELAY,
        SERVICE_HUB,
};

/* An upstream of a relay. */
struct upstream {
        char *text;             /* as in the file, escaped */
        struct address address; /* unless @host is set */
        char *host;             /* a name to look up; NULL: @address is known */
        uint16_t port;          /* of @host */
};

struct service_config {
        char *name;
        bool enabled;           /* false: it listens nowhere and has no connections */
        enum service_mode mode; /* see service_config_set_mode() */
        struct address *listen;
        size_t n_listen;                    /* at least 1 */
        struct socket_access socket_access; /* of the unix sockets among them */
        uint64_t backlog;
        uint64_t send_delay_usec; /* 0: none */
        uint64_t message_bytes;
        uint64_t idle_timeout_usec; /* 0: never */
        struct socket_options socket;
        struct upstream *upstreams;
        size_t n_upstreams;  /* 0 but for mode relay */
        bool ends_unreached; /* a client whose upstream can't be reached gets an end, not a reset */
        uint64_t connect_timeout_usec;
        uint64_t connect_wait_usec;
        uint64_t connect_delay_usec;
        uint64_t max_dialing; /* clients that wait for an upstream at once; 0: no limit */
        struct condition_list conditions[DIRECTIONS];
        uint64_t hold_bytes;  /* that may be delayed in each direction */
        uint64_t send_proxy;  /* version of the PROXY header that upstreams are sent; 0: none */
        uint64_t quota_bytes; /* of a hub: bytes that may wait for one member */
        bool proxy_accept;    /* clients begin with a PROXY header */
        struct network *proxy_from;
        size_t n_proxy_from; /* 0 unless proxy_accept */
};

/**
 * service_config_new() - make the configuration of a service, with the default of every key
 * @out: set to it, with one reference; it may be changed until it is part of a configuration
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int service_config_new(const char *name, struct service_config **out);

/**
 * service_config_copy() - copy the configuration of a service
 * @name: the name of the copy
 * @out:  set to the copy, with one reference; it may be changed until it is part of a configuration
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int service_config_copy(const char *name, const struct service_config *from,
                                   struct service_config **out);

/* Return: @config, with one more reference. */
struct service_config *service_config_ref(struct service_config *config);

/**
 * service_config_unref() - return a reference; the last one frees it
 * Return: NULL.
 */
struct service_config *service_config_unref(struct service_config *config);

/* For _cleanup_(). */
static inline void service_config_unrefp(struct service_config **config)
{
        service_config_unref(*config);
}

/* Frees everything that an upstream owns. */
void upstream_deinit(struct upstream *upstream);

/* Sets the mode, and the socket option that depends on it. */
void service_config_set_mode(struct service_config *config, enum service_mode mode);
