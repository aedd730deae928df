/* SPDX-License-Identifier: MIT */
/*
 * The living services, by name.
 *
 * A service stays here while anybody else holds a reference to it. So when a service is removed and
 * comes back while it still has connections, it is the same service.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "service.h"

/* Embedded in its owner; zeroed, but for @n_shards. */
struct registry {
        struct service **services; /* references, sorted by name */
        size_t n;
        size_t n_shards; /* of each service */
};

/* Lets go of all services. */
void registry_deinit(struct registry *registry);

/**
 * registry_add() - make the services of a configuration that are not there yet
 * Return: 0; -ENOMEM: some may have been made; registry_prune() frees them.
 */
_must_use_ int registry_add(struct registry *registry, const struct config *config);

/* Return: the service of that name; NULL: there is none. */
struct service *registry_find(const struct registry *registry, const char *name);

/* Frees the services that are not in @config, or NULL, and that nobody else uses. */
void registry_prune(struct registry *registry, const struct config *config);
