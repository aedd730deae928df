/* SPDX-License-Identifier: MIT */
/*
 * The control target: the functions of the server that the control interface calls.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"

/* The size of the reason that a failed change writes to @why: one line, printable. */
#define CONTROL_WHY_SIZE 1024

struct control_target {
        /* Return: the configuration in force; the server keeps its reference. */
        const struct config *(*config)(void *arg);
        /*
         * Puts another configuration into force, as a reload does. On success control_applied() is
         * called in a later turn of the loop, when every connection is served by it. Until then
         * there is no further call.
         *
         * Return: 0; -errno, and @why says why: nothing has changed then.
         */
        int (*apply)(void *arg, struct config *config, char *why);
        /* Sets @out to the first address that a service listens on. Return: false: it has none. */
        bool (*bound)(void *arg, const char *service, struct address *out);
        /*
         * Return: the name of another service than @service that clients of @address would reach;
         * NULL: there is none.
         */
        const char *(*taken)(void *arg, const struct address *address, const char *service);
};
