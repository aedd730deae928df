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
        struct serving *serving;
        struct apply_wait wait;
        size_t n_sockets; /* that it listens on */
};

/**
 * controlled_init() - make the control interface, without sockets
 * @controlled: passed to controlled_deinit() afterwards, also after a failure
 * @serving:    of @server
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int controlled_init(struct controlled *controlled, struct loop *loop,
                               struct server *server, struct serving *serving);

/**
 * controlled_listen() - open sockets of the control interface, and log them
 * @access: who may connect to the unix sockets among them
 *
 * Warns about addresses that other hosts may reach. Return: 0; see control_listen(); @why names the
 * address.
 */
_must_use_ int controlled_listen(struct controlled *controlled, const struct address *addresses,
                                 size_t n, const struct socket_access *access, char *why);

/* The most descriptors that the control interface takes. */
size_t controlled_descriptors(const struct controlled *controlled);

/* Whether two configurations have the same control interface. */
bool controlled_is_same(const struct config *a, const struct config *b);

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
