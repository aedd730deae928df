/* SPDX-License-Identifier: MIT */
/*
 * The idle time of a session: it ends when no byte has moved for idle_timeout.
 *
 * Thread: the loop's.
 */
#pragma once

#include "timer.h"
#include "util.h"

struct connection;

/* Embedded in a connection; all members are its own. */
struct idle {
        struct timer timer;   /* set while there is an idle_timeout */
        uint64_t active_usec; /* when a byte last moved; kept only with an idle_timeout */
        uint64_t sent;        /* bytes sent by then */
};

/* Prepares for idle_set(). */
void idle_init(struct connection *connection);

/* Puts the idle_timeout of the settings into force. Return: 0; -ENOMEM. */
_must_use_ int idle_set(struct connection *connection);

/* A byte has moved. */
void idle_touch(struct connection *connection);

/* The session no longer ends for being idle. */
void idle_stop(struct connection *connection);
