/* SPDX-License-Identifier: MIT */
/*
 * Keeps web pages out. A page in a browser can send requests to any address that the browser's host
 * reaches, localhost included. Such a request is told by its headers.
 *
 * Thread: any.
 */
#pragma once

#include "refusal.h"
#include <stdbool.h>

/* The headers that are looked at. NULL: the request has no such header. */
struct guard_headers {
        const char *host, *origin, *user_agent;
};

/**
 * guard_admits() - decide whether a request may be served
 * @by_unix_socket: the request came through a unix socket, which no page reaches: any host will do
 * @refusal: set when the request may not be served: the user agent is a browser; the host is
 * neither an IP address nor localhost, so a page's own name was made to lead here; or the page that
 * sends the request comes from another origin than this server
 *
 * Return: whether it may be.
 */
bool guard_admits(const struct guard_headers *headers, bool by_unix_socket,
                  struct refusal *refusal);
