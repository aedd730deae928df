/* SPDX-License-Identifier: MIT */
/*
 * The guard refuses requests of web pages. A page in a browser can send requests to any address
 * that the browser's host reaches, localhost included. Their headers give them away.
 *
 * Thread: any.
 */
#pragma once

#include "refusal.h"
#include <stdbool.h>

/* The headers that are checked. NULL: the request does not have the header. */
struct guard_headers {
        const char *host, *origin, *user_agent;
};

/**
 * guard_admits() - decide whether a request may be served
 * @by_unix_socket: the request came through a unix socket, which no page reaches, so that any host
 *                  is allowed
 * @refusal:        set if the request may not be served
 *
 * A request is refused if its user agent is a browser; if its host is neither an IP address nor
 * localhost, because a page's own name may have been made to lead here (DNS rebinding); or if its
 * origin is another server.
 *
 * Return: whether the request may be served.
 */
bool guard_admits(const struct guard_headers *headers, bool by_unix_socket,
                  struct refusal *refusal);
