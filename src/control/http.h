/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server on a loop, built on libevent's evhttp.
 *
 * It adds what evhttp leaves to its user: bounds for the number of clients and for the bytes that
 * each may send, a deadline for requests, and answers that arrive even if the client has more to
 * send.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include <stdbool.h>

/* A request with a longer body is refused (413). */
#define HTTP_BODY_MAX ((size_t)1 << 20)

/*
 * The most clients at a time. Another client takes the place of the one that has been idle longest.
 * If none is idle, it waits.
 */
#define HTTP_CLIENTS_MAX 64

struct http;
struct http_request;

/**
 * http_request_fn - serve a request
 *
 * http_answer() must be called once, from here or later; until then @request and all that it
 * gives out is valid. A client that goes away meanwhile changes nothing for the caller.
 */
typedef void http_request_fn(void *arg, struct http_request *request);

/**
 * http_new() - make a server that listens nowhere yet
 * @request_usec: within this time a request has to arrive, and its answer to be taken; else the
 *                connection is closed
 * @on_request:   called with @arg
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int http_new(struct loop *loop, uint64_t request_usec, http_request_fn *on_request,
                        void *arg, struct http **out);

/**
 * http_listen() - accept clients
 * @fd: a listening socket, non-blocking; consumed on success
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int http_listen(struct http *http, int fd);

/**
 * http_free() - close all sockets; the loop is turned no more
 *
 * Requests that wait for their answer are freed, too.
 *
 * Return: NULL.
 */
struct http *http_free(struct http *http);

/* The methods that routes use. */
enum http_method {
        HTTP_GET,
        HTTP_POST,
        HTTP_PATCH,
        HTTP_DELETE,
        HTTP_OTHER,
};

enum http_method http_request_method(const struct http_request *request);

/* Return: the target as it was sent, such as "/proxies?x". */
const char *http_request_target(const struct http_request *request);

/* Return: the first header with this name; NULL: there is none. */
const char *http_request_header(const struct http_request *request, const char *name);

bool http_request_is_by_unix_socket(const struct http_request *request);

/* Return: the body of @n bytes, which may have any value. */
const char *http_request_body(const struct http_request *request, size_t *n);

/**
 * http_answer() - answer a request; it is gone then
 * @content_type: NULL: there is no body
 * @body:         @n bytes, which are copied
 */
void http_answer(struct http_request *request, int status, const char *content_type,
                 const char *body, size_t n);
