/* SPDX-License-Identifier: MIT */
/*
 * What clients see of the configuration in force: each relay is a proxy.
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

/**
 * view_find() - find a proxy
 * @name: as it was sent
 * @out:  set to it, with one reference
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int view_find(const struct control *control, const char *name, struct managed **out,
                         struct refusal *refusal);

/* Whether there is a service of that name, of any mode. */
bool view_exists(const struct control *control, const char *name);

/* A proxy as JSON. Return: a reference; NULL: out of memory. */
json_t *view_write(const struct control *control, struct managed *managed);

/* The proxy of that name as JSON, or null if there is none. Likewise. */
json_t *view_write_name(const struct control *control, const char *name);

/* All proxies as one JSON object, sorted by name. Likewise. */
json_t *view_write_all(const struct control *control);
