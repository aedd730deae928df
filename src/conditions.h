/*
 * What is done to one way of a connection, on purpose: a group of the configuration, as values.
 *
 * Thread: any, for nobody changes them.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

#define CONDITIONS_FOREVER UINT64_MAX /* of a duration */
#define CONDITIONS_NEVER   UINT64_MAX /* of what is to happen after so long, or so many bytes */
#define CONDITIONS_AUTO    UINT64_MAX /* of a burst, where there is no rate: a tenth of the rate */

/*
 * Plain data; durations in microseconds. 0 means that nothing is done, except where
 * CONDITIONS_NEVER or CONDITIONS_AUTO says that: there 0 is a value like any other.
 */
struct conditions {
        uint64_t latency_usec, jitter_usec;
        uint64_t rate;        /* bytes a second */
        uint64_t burst_bytes; /* or auto; 0: each chunk waits until its own bytes are paid for */
        struct bucket
                *shared; /* all connections of the service draw on it; NULL: each has its own */
        uint64_t slice_bytes, slice_variation_bytes, slice_delay_usec;
        uint64_t limit_bytes;                         /* or never */
        uint64_t stall_after_bytes, stall_after_usec; /* or never; one of them is */
        uint64_t stall_for_usec;                      /* or forever */
        uint64_t reset_after_usec;                    /* or never */
        uint64_t close_delay_usec;
        double drop_new;    /* share of connections, 0 to 1 */
        double probability; /* share of connections that all this applies to, 0 to 1 */
};

/* Nothing is done. */
extern const struct conditions conditions_none;

/* Whether bytes, or their end, must be held back or counted for it. */
bool conditions_shape(const struct conditions *conditions);

/* What was done, as bits. */
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

/* What conditions_format() writes at most, with the NUL. */
#define CONDITIONS_TEXT_SIZE 96

/**
 * conditions_format() - name faults by their keys: "latency, rate"
 * @out: at least CONDITIONS_TEXT_SIZE bytes
 *
 * Return: @out.
 */
const char *conditions_format(unsigned faults, char *out);
