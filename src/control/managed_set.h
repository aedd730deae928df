/* SPDX-License-Identifier: MIT */
/*
 * All managed services, sorted by the names of the services.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "managed.h"

/* Holds a reference to each. All zero is an empty set. */
struct managed_set {
        struct managed **all;
        size_t n;
};

/**
 * managed_set_get() - find out what is known of a service
 * @service: in force
 * @out:     set to it, with one reference; see managed_of() for a service that is not in the set,
 *           or is there with other settings
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int managed_set_get(const struct managed_set *set, struct service_config *service,
                               struct managed **out);

/* Makes room for one more service. Return: 0; -ENOMEM. */
_must_use_ int managed_set_reserve(struct managed_set *set);

/*
 * Adds a service, or replaces the one of the same name, after managed_set_reserve(). Takes a
 * reference.
 */
void managed_set_put(struct managed_set *set, struct managed *managed);

/* Removes a service, if it is in the set. */
void managed_set_remove(struct managed_set *set, const char *service);

/* Returns the references. */
void managed_set_deinit(struct managed_set *set);

/**
 * managed_set_merge() - add to a configuration the services that were made here
 * @file:  read from the file; its own services stay as they are
 * @force: the configuration in force
 * @out:   set to the result, with one reference
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int managed_set_merge(const struct managed_set *set, struct config *file,
                                 const struct config *force, struct config **out);
