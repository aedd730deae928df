/* SPDX-License-Identifier: MIT */
/*
 * The control interface: clients list, make, change and remove services over HTTP, as in toxiproxy.
 *
 * Thread: main.
 */
#pragma once

#include "control_target.h"
#include "loop.h"

struct control;

/**
 * control_new() - make a control interface that listens nowhere yet
 * @target: what it controls, with @arg
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int control_new(struct loop *loop, const struct control_target *target, void *arg,
                           struct control **out);

/* Closes all sockets; the loop must not be turned afterwards. Return: NULL. */
struct control *control_free(struct control *control);

/**
 * control_listen() - accept clients at an address
 * @access: who may connect to a unix socket
 * @bound:  set to the address, with the port that the system chose
 *
 * Return: 0; -ENOMEM; see listener_bind().
 */
_must_use_ int control_listen(struct control *control, const struct address *address,
                              const struct socket_access *access, struct address *bound);

/* To be called when an applied configuration is in force for every connection. */
void control_applied(struct control *control);

/**
 * control_keep() - add to a configuration that was read from the file the services that were made
 * here
 * @out: set to the result, with one reference
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int control_keep(const struct control *control, struct config *file,
                            struct config **out);

/**
 * control_load() - add the proxies of a JSON file to a configuration that is not in force yet
 * @path: of the file; an array of proxies, as for /populate
 * @out:  set to the result, with one reference
 * @why:  on failure the path and what is wrong, at least CONTROL_WHY_SIZE bytes
 *
 * Return: 0; -EINVAL: the file says something illegal; -ENOMEM; what open(2) or read(2) fails with.
 */
_must_use_ int control_load(struct control *control, const char *path, struct config *config,
                            struct config **out, char *why);
