/* SPDX-License-Identifier: MIT */
/*
 * The control target that the server gives to the control interface.
 *
 * Thread: main.
 */
#pragma once

#include "control.h"
#include "serving.h"

struct server;

/* Embedded in the server. */
struct controlled {
        struct control *control; /* NULL: there is no control interface */
        struct server *server;
        const struct serving *serving;
        struct apply_wait wait;
};

/**
 * controlled_init() - make the control interface, without sockets
 * @controlled: passed to controlled_deinit() afterwards, also after a failure
 * @serving:    of @server
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int controlled_init(struct controlled *controlled, struct loop *loop,
                               struct server *server, const struct serving *serving);

/**
 * controlled_listen() - open the sockets of the control interface, and log them
 * @config: says where; see also controlled_init()
 *
 * Warns about addresses that other hosts may reach. Return: 0; see control_listen(); @why names the
 * address.
 */
_must_use_ int controlled_listen(struct controlled *controlled, const struct config *config,
                                 char *why);

/**
 * controlled_merge() - add to a configuration that was read the services that were made by requests
 * @out: set to the result, with one reference
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int controlled_merge(const struct controlled *controlled, struct config *config,
                                struct config **out);

/* Ends the control interface; the loop must not be turned afterwards. */
void controlled_deinit(struct controlled *controlled);
