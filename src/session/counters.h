/* SPDX-License-Identifier: MIT */
/*
 * Counters of the clients of a service since it was made.
 *
 * Thread: one thread writes, with counter_add(). Any thread may read, with counters_add_up().
 */
#pragma once

#include "conditions.h"
#include "reason.h"
#include "stream.h"

/* Why a client was turned away before a session began. */
enum turned_away {
        TURNED_AWAY_LIMIT,    /* the limit on connections was reached */
        TURNED_AWAY_DISABLED, /* the service is disabled, but its socket was passed by systemd */
        TURNED_AWAY_ERROR,    /* a system call failed */
        TURNED_AWAY_KINDS,
};

/* All members are uint64_t. */
struct counters {
        uint64_t accepted; /* sessions that have begun */
        uint64_t turned_away[TURNED_AWAY_KINDS];
        uint64_t closed[REASONS];
        uint64_t faults[FAULT_KINDS]; /* once for each connection and direction */
        uint64_t failed_dials;        /* addresses of upstreams that could not be reached */
        struct stream_bytes client, upstream;
};

/* Adds counters to @sum, even if another thread is writing them. */
void counters_add_up(struct counters *sum, const struct counters *counters);

/* Return: the number of sessions that have begun and have not ended. */
uint64_t counters_open(const struct counters *counters);

/* Counts each fault of a set of enum conditions_fault. */
void counters_count_faults(struct counters *counters, unsigned faults);

/* Return: the name of a counter, such as "limit". */
const char *turned_away_name(enum turned_away why);
