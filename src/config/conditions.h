/* SPDX-License-Identifier: MIT */
/*
 * What is done on purpose to one direction of a connection: to_client or to_upstream, as values.
 *
 * Thread: any; conditions are not changed once they have been read.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

#define CONDITIONS_FOREVER UINT64_MAX /* of a duration */
#define CONDITIONS_NEVER   UINT64_MAX /* of a time, or a number of bytes, after which */
#define CONDITIONS_AUTO    UINT64_MAX /* of a burst: a tenth of the rate */

/*
 * Plain data; durations in microseconds. 0 means that nothing is done. Where CONDITIONS_NEVER or
 * CONDITIONS_AUTO means that, 0 is a value like any other.
 */
struct conditions {
        uint64_t latency_usec, jitter_usec;
        uint64_t rate;         /* bytes a second */
        uint64_t burst_bytes;  /* or auto; 0: each chunk waits until its own bytes are paid for */
        struct bucket *shared; /* by all connections of the service; NULL: each has its own */
        uint64_t slice_bytes, slice_variation_bytes, slice_delay_usec;
        uint64_t limit_bytes;                         /* or never */
        uint64_t stall_after_bytes, stall_after_usec; /* or never; at least one of them is */
        uint64_t stall_for_usec;                      /* or forever */
        uint64_t reset_after_usec;                    /* or never */
        uint64_t close_delay_usec;
        double drop_new;    /* share of connections, 0 to 1 */
        double probability; /* share of connections that all other members apply to, 0 to 1 */
};

/* Nothing is done. */
extern const struct conditions conditions_none;

/* Whether bytes, or the end of the stream, must be held back or counted: it takes a shaper. */
bool conditions_shape(const struct conditions *conditions);

/* What happened to a connection, as bits. */
enum conditions_fault {
        FAULT_LATENCY = 1 << 0,
        FAULT_RATE = 1 << 1,
        FAULT_SLICE = 1 << 2,
        FAULT_LIMIT = 1 << 3,
        FAULT_STALL = 1 << 4,
        FAULT_CLOSE_DELAY = 1 << 5,
        FAULT_RESET = 1 << 6,
        FAULT_DROP = 1 << 7,
};

/* The longest text of conditions_format(), with the NUL. */
#define CONDITIONS_TEXT_SIZE 96

/**
 * conditions_format() - name faults by their keys: "latency, rate"
 * @out: at least CONDITIONS_TEXT_SIZE bytes
 *
 * Return: @out.
 */
const char *conditions_format(unsigned faults, char *out);
