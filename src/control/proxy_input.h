/* SPDX-License-Identifier: MIT */
/*
 * A proxy as a client describes it.
 *
 * Thread: main.
 */
#pragma once

#include "json.h"
#include "managed.h"

/* The strings belong to the JSON; NULL: the member is absent. */
struct proxy_input {
        const char *name, *listen, *upstream;
        bool enabled;
};

/**
 * proxy_input_read() - read the members of an object
 * @input: what the object does not name is left as it is
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int proxy_input_read(json_t *object, struct proxy_input *input, struct refusal *refusal);

/**
 * proxy_input_check() - check that a new proxy has all that it needs
 * @where: follows the name of a missing field: "", or " at proxy 2"
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int proxy_input_check(const struct proxy_input *input, const char *where,
                                 struct refusal *refusal);

/* Reads a "listen" or an "upstream". Return: 0; -EINVAL: refused. */
_must_use_ int proxy_input_listen(const char *text, struct address *out, struct refusal *refusal);
_must_use_ int proxy_input_upstream(const char *text, struct upstream *out,
                                    struct refusal *refusal);

/**
 * proxy_input_make() - make a service of a checked description
 * @out: set to it, with one reference
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int proxy_input_make(const struct proxy_input *input, struct managed **out,
                                struct refusal *refusal);
