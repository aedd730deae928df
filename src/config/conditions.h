/* SPDX-License-Identifier: MIT */
/*
 * Conditions: a list of groups for one direction of a service's connections.
 *
 * For each connection and each group separately, it is drawn whether the group applies. The groups
 * that apply act together.
 *
 * Thread: any; conditions are not changed after they have been read.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

/* The direction in which bytes pass. The numbers seed random choices. */
enum direction {
        TO_UPSTREAM,
        TO_CLIENT,
        DIRECTIONS,
};

#define CONDITIONS_FOREVER   UINT64_MAX /* of a duration */
#define CONDITIONS_NEVER     UINT64_MAX /* of a time, or a number of bytes, after which */
#define CONDITIONS_AUTO      UINT64_MAX /* of a burst: a tenth of the rate */
#define CONDITIONS_UNLIMITED UINT64_MAX /* of a rate */

/* The longest name of a group, with the NUL. */
#define CONDITIONS_NAME_SIZE 256

/* The most groups in one list. */
#define CONDITIONS_GROUPS_MAX 64

/*
 * One group. Plain data; durations in microseconds. Zero turns a member off, unless one of the
 * constants above does: then zero is an ordinary value.
 */
struct conditions {
        char name[CONDITIONS_NAME_SIZE]; /* any bytes; "": the group has no name */
        uint64_t version;                /* random choices are made anew when it changes */
        uint64_t latency_usec, jitter_usec;
        uint64_t rate;        /* bytes a second, or unlimited; 0: nothing moves */
        uint64_t burst_bytes; /* or auto; 0: each chunk waits for as long as it takes at the rate */
        uint64_t slice_bytes, slice_variation_bytes, slice_delay_usec;
        uint64_t limit_bytes;                         /* or never */
        uint64_t stall_after_bytes, stall_after_usec; /* or never; at most one is set */
        uint64_t stall_for_usec;                      /* or forever */
        uint64_t reset_after_usec;                    /* or never */
        uint64_t discard_idle_usec;     /* closes after so long without a chunk; or never */
        uint64_t reset_after_data_usec; /* or never */
        uint64_t close_delay_usec;
        double drop_new;    /* share of connections, 0 to 1 */
        double probability; /* share of connections that the group applies to, 0 to 1 */
        bool shared;        /* the connections of the service share one rate */
        bool discard;       /* received bytes are thrown away */
};

/*
 * The groups of one direction. A name is unique in both lists of a service; at most one group of a
 * list has no name.
 */
struct condition_list {
        struct conditions *groups;
        size_t n;
};

/**
 * condition_list_copy() - copy a list, which may then be changed
 * @out: set to the copy; freed with condition_list_deinit()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int condition_list_copy(const struct condition_list *from, struct condition_list *out);

/* Frees the groups. */
void condition_list_deinit(struct condition_list *list);

/* Return: the group of that name; NULL: the list has none. */
const struct conditions *condition_list_find(const struct condition_list *list, const char *name);

/* A group that does nothing. */
extern const struct conditions conditions_none;

/* Whether a shaper is needed: bytes or the end of the stream are held or counted. */
bool conditions_shape(const struct conditions *conditions);

/* Whether two groups agree in everything but the name. */
bool conditions_equal(const struct conditions *a, const struct conditions *b);

/* The faults of a connection, as bits. */
enum conditions_fault {
        FAULT_LATENCY = 1 << 0,
        FAULT_RATE = 1 << 1,
        FAULT_SLICE = 1 << 2,
        FAULT_LIMIT = 1 << 3,
        FAULT_STALL = 1 << 4,
        FAULT_CLOSE_DELAY = 1 << 5,
        FAULT_RESET = 1 << 6,
        FAULT_DROP = 1 << 7,
        FAULT_DISCARD = 1 << 8,
        FAULT_RESET_DATA = 1 << 9,
};

#define FAULT_KINDS 10

/* Return: the key of the fault of bit @kind: "latency". */
const char *conditions_fault_name(size_t kind);

/* The longest text of conditions_format(), with the NUL. */
#define CONDITIONS_TEXT_SIZE 128

/**
 * conditions_format() - name faults by their keys: "latency, rate"
 * @out: at least CONDITIONS_TEXT_SIZE bytes
 *
 * Return: @out.
 */
const char *conditions_format(unsigned faults, char *out);
