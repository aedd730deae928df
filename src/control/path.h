/* SPDX-License-Identifier: MIT */
/*
 * The path of a request: "/proxies/NAME/toxics/NAME".
 *
 * Thread: any.
 */
#pragma once

#include "util.h"

/* No route has more parts. */
#define PATH_PARTS_MAX 4

/* Owned by the caller; freed with path_deinit(). All zero is a path without parts. */
struct path {
        char *parts[PATH_PARTS_MAX];
        size_t n;
};

/**
 * path_parse() - split the target of a request at its slashes, then decode each part
 * @target: "/PART/PART…", of which what follows a "?" is ignored; or the same behind
 *          "http://HOST", as it is sent to a proxy server
 *
 * A name may hold any character, a slash among them, which is sent as "%2F": so the parts are
 * decoded after they have been split. A "%" that is not followed by two hexadecimal digits stands
 * for itself.
 *
 * Return: 0; -ENOENT: no route has such a path: it has no part, an empty part (also behind a slash
 * at the end), more parts than PATH_PARTS_MAX, or a byte 0; -ENOMEM.
 */
_must_use_ int path_parse(const char *target, struct path *path);

/* Frees the parts. */
void path_deinit(struct path *path);
