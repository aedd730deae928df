/* SPDX-License-Identifier: MIT */
/*
 * The idle time of a session. The session ends when no byte has moved for idle_timeout.
 *
 * Thread: the loop's.
 */
#pragma once

#include "timer.h"
#include "util.h"

struct connection;

/* Embedded in a connection. The members are private. */
struct idle {
        struct timer timer;   /* set while there is an idle_timeout */
        uint64_t active_usec; /* when a byte last moved; only with an idle_timeout */
        uint64_t sent;        /* bytes sent until @active_usec */
};

/* Prepares for idle_set(). */
void idle_init(struct connection *connection);

/* Applies the idle_timeout of the configuration. Return: 0; -ENOMEM. */
_must_use_ int idle_set(struct connection *connection);

/* Records that a byte has moved. */
void idle_touch(struct connection *connection);

/* Stops the timer. */
void idle_stop(struct connection *connection);
