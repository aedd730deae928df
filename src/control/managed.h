/* SPDX-License-Identifier: MIT */
/*
 * A managed service: what the control interface knows about a service besides its configuration:
 * the name as it was sent, and the toxics that its groups of conditions stand for.
 *
 * The configuration in force is the truth. This knowledge is valid only while the service has
 * exactly the settings with which it was made. A reload may change them.
 *
 * Thread: main.
 */
#pragma once

#include "service_config.h"
#include "toxic_list.h"

/* Not changed after it is in use, except @bound. Each user holds a reference. */
struct managed {
        unsigned refs;
        char *name;                     /* the name as it was sent */
        struct service_config *service; /* its name is the escaped one */
        struct toxic_list toxics;
        bool made_here; /* the file does not have the service */
        /* The address at which it listens, if @is_bound; found out when it is needed. */
        struct address bound;
        bool is_bound;
};

/* The longest name, in bytes. */
#define MANAGED_NAME_MAX 255

/*
 * Escapes the characters of a name that a log line must not have. @out: at least
 * ESCAPE_SIZE(MANAGED_NAME_MAX) bytes; a longer name is cut. Return: @out.
 */
const char *managed_service_name(const char *name, char *out);

/**
 * managed_new() - make a service for a proxy
 * @upstream: consumed on success
 * @out:      set to it, with one reference; its service may be changed until it is in use
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int managed_new(const char *name, const struct address *listen,
                           struct upstream *upstream, struct managed **out);

/**
 * managed_of() - describe a service of the configuration that nothing more is known of
 * @out: set to it, with one reference; its toxics are the groups that a toxic can stand for
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int managed_of(struct service_config *service, struct managed **out);

/**
 * managed_copy() - make a copy with other toxics; groups that no toxic stands for stay
 * @toxics: references are taken
 * @out:    as that of managed_new()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int managed_copy(const struct managed *from, const struct toxic_list *toxics,
                            struct managed **out);

/* Replaces the upstreams of a service that is not in use yet. @upstream: consumed on success.
 * Return: 0; -ENOMEM. */
_must_use_ int managed_set_upstream(struct managed *managed, struct upstream *upstream);

/* Replaces the addresses of a service that is not in use yet. Return: 0; -ENOMEM. */
_must_use_ int managed_set_listen(struct managed *managed, const struct address *listen);

/* Return: @managed, with one more reference. */
struct managed *managed_ref(struct managed *managed);

/* Returns a reference; the last one frees it. Return: NULL. */
struct managed *managed_unref(struct managed *managed);

/* For _cleanup_(). */
static inline void managed_unrefp(struct managed **managed)
{
        managed_unref(*managed);
}

/* Return: the upstream, as toxiproxy writes it: the first one. */
const char *managed_upstream(const struct managed *managed);

/**
 * managed_write() - write a service as toxiproxy writes a proxy
 * @listen: where it really listens
 *
 * Return: a reference; NULL: out of memory.
 */
json_t *managed_write(const struct managed *managed, const struct address *listen);
