/* SPDX-License-Identifier: MIT */
/*
 * The greeter takes the PROXY header off the front of a client's stream, and not a byte more.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include "proxy.h"

/* The time in which the whole header must arrive. */
#define GREETER_TIMEOUT_USEC (5 * USEC_PER_SEC)

struct greeter;

/**
 * greeter_new() - wait for a header
 * @fd:      the client's socket, which only the greeter reads until on_done; stays the caller's
 * @on_done: called once, never from within greeter_new(), with @arg and
 *           @error: 0; -ECONNRESET or -ENODATA: the client left; -ETIMEDOUT; see proxy_parse()
 *           @header: the header, valid during the call
 *           It may free the greeter.
 * @out:     set to the greeter; freed with greeter_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int greeter_new(struct loop *loop, int fd,
                           void (*on_done)(void *arg, int error, const struct proxy_header *header),
                           void *arg, struct greeter **out);

/**
 * greeter_free() - stop waiting
 * Return: NULL.
 */
struct greeter *greeter_free(struct greeter *greeter);
