/* SPDX-License-Identifier: MIT */
/*
 * What has happened to the clients of a service since it was made.
 *
 * Thread: the owner's writes, with counter_add(). Any thread may read, with counters_add_up().
 */
#pragma once

#include "conditions.h"
#include "reason.h"
#include "stream.h"

/* Why a client was turned away before a session began. */
enum refusal {
        REFUSAL_LIMIT,    /* there are as many connections as there may be */
        REFUSAL_DISABLED, /* the service is, but its socket was passed by systemd */
        REFUSAL_ERROR,    /* the system refused something */
        REFUSALS,
};

/* Only members of uint64_t. */
struct counters {
        uint64_t accepted; /* sessions that have begun */
        uint64_t refused[REFUSALS];
        uint64_t closed[REASONS];
        uint64_t faults[FAULT_KINDS]; /* once for each connection and direction */
        uint64_t failed_dials;        /* addresses of upstreams that could not be reached */
        struct stream_bytes client, upstream;
};

/* Adds counters that another thread may be writing to @sum, which is the caller's. */
void counters_add_up(struct counters *sum, const struct counters *counters);

/* Return: the number of sessions that have begun and have not ended. */
uint64_t counters_open(const struct counters *counters);

/* Counts each fault of a set of enum conditions_fault. */
void counters_count_faults(struct counters *counters, unsigned faults);

/* Return: the name for a counter: "limit". */
const char *refusal_name(enum refusal refusal);
