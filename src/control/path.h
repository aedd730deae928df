/* SPDX-License-Identifier: MIT */
/*
 * The path of a request: "/proxies/NAME/toxics/NAME".
 *
 * Thread: any.
 */
#pragma once

#include "util.h"

/* The most parts of a route. */
#define PATH_PARTS_MAX 4

/* Freed with path_deinit(). All zero is a path without parts. */
struct path {
        char *parts[PATH_PARTS_MAX];
        size_t n;
};

/**
 * path_parse() - split the target of a request at its slashes, then decode each part
 * @target: "/PART/PART…", perhaps after "http://HOST", as it is sent to a proxy server; a "?" and
 *          all that follows it is ignored
 *
 * The target is split first, because a name may contain a slash, which is sent as "%2F". A "%" that
 * is not followed by two hexadecimal digits is an ordinary character.
 *
 * Return: 0; -ENOENT: no route has such a path: it has no part, an empty part (also after a slash
 * at the end), more than PATH_PARTS_MAX parts, or a NUL byte; -ENOMEM.
 */
_must_use_ int path_parse(const char *target, struct path *path);

/* Frees the parts. */
void path_deinit(struct path *path);
