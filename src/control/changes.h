/* SPDX-License-Identifier: MIT */
/*
 * The kinds of changes that clients can request.
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

/* The most services, with those of the file. */
#define SERVICES_MAX 4096

extern const struct change_kind proxy_create, proxy_update, proxy_delete;
extern const struct change_kind toxic_create, toxic_change, toxic_delete;
extern const struct change_kind reset_all, populate;

/**
 * populate_config() - add the proxies of a JSON array to a configuration that is not in force
 * @out: set to the result, with one reference
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int populate_config(struct control *control, json_t *array, struct config *config,
                               struct config **out, struct refusal *refusal);
