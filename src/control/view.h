/* SPDX-License-Identifier: MIT */
/*
 * The view of the configuration in force that clients get: each relay is a proxy.
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

/* A list of proxies, with a reference for each. */
struct view_list {
        struct managed **all;
        size_t n;
};

/**
 * view_find() - find a proxy
 * @name: as it was sent
 * @out:  set to it, with one reference
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int view_find(const struct control *control, const char *name, struct managed **out,
                         struct refusal *refusal);

/* Whether there is a service with this name, of any mode. */
bool view_exists(const struct control *control, const char *name);

/* Return: a proxy as JSON, a reference; NULL: out of memory. */
json_t *view_write(const struct control *control, struct managed *managed);

/*
 * Return: the proxy with this name as JSON, or a JSON null if there is none; NULL: out of memory.
 */
json_t *view_write_name(const struct control *control, const char *name);

/**
 * view_list() - list all proxies, sorted by name
 * @out: set to the list; freed with view_free_list()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int view_list(const struct control *control, struct view_list *out);

/* Returns the references. */
void view_free_list(struct view_list *list);

/* Return: all proxies as one JSON object, sorted by name; NULL: out of memory. */
json_t *view_write_all(const struct control *control);
