/* SPDX-License-Identifier: MIT */
/*
 * The registry: all services of the process, by name.
 *
 * A service stays in the registry while anything else holds a reference to it. So a service that is
 * removed and comes back while it still has connections is the same service.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "service.h"

/* Embedded in its owner; all zero except @n_shards. */
struct registry {
        struct service **services; /* references, sorted by name */
        size_t n;
        size_t n_shards; /* of each service */
};

/* Releases all services. */
void registry_deinit(struct registry *registry);

/**
 * registry_add() - make the services of a configuration that are missing
 * Return: 0; -ENOMEM: some may have been made; registry_prune() frees them.
 */
_must_use_ int registry_add(struct registry *registry, const struct config *config);

/* Return: the service of that name; NULL: there is none. */
struct service *registry_find(const struct registry *registry, const char *name);

/* Frees services that are not in @config and that nothing else uses. @config: NULL: without any. */
void registry_prune(struct registry *registry, const struct config *config);
