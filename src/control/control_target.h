/* SPDX-License-Identifier: MIT */
/*
 * The control target: the functions of the server that the control interface calls.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "service.h"

/* The size of the reason that a failed change writes to @why: one line, printable. */
#define CONTROL_WHY_SIZE 1024

/* What has happened in the process as a whole since it began. */
struct control_totals {
        uint64_t reloads, failed_reloads;
        uint64_t lost_records; /* of the log */
};

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
        /*
         * Return: all services that exist, @n of them, sorted by name: those of the configuration
         * in force, and removed ones that still have connections. Valid until the next turn of
         * the loop.
         */
        struct service *const *(*services)(void *arg, size_t *n);
        /* Sets @out to the totals so far. */
        void (*count)(void *arg, struct control_totals *out);
};
