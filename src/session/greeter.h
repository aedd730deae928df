/* SPDX-License-Identifier: MIT */
/*
 * Takes the PROXY header off the front of a client's stream, and not a byte more.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include "proxy.h"

/* How long a header may take to come, all in all. */
#define GREETER_TIMEOUT_USEC (5 * USEC_PER_SEC)

struct greeter;

/**
 * greeter_new() - begin to wait for a header
 * @fd:      the client's socket, which nobody else reads until on_done; stays the caller's
 * @on_done: called once, never from within this call, with @arg and
 *           @error: 0; -ECONNRESET or -ENODATA: the client went; -ETIMEDOUT; see proxy_parse()
 *           @header: what it says; lives while it runs
 *           It may free the greeter.
 * @out:     set to the greeter; freed with greeter_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int greeter_new(struct loop *loop, int fd,
                           void (*on_done)(void *arg, int error, const struct proxy_header *header),
                           void *arg, struct greeter **out);

/**
 * greeter_free() - wait no longer
 * Return: NULL.
 */
struct greeter *greeter_free(struct greeter *greeter);
