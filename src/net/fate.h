/* SPDX-License-Identifier: MIT */
/*
 * Fates: the state of the groups of conditions in one direction of one connection.
 *
 * A group comes into force when the connection begins, or when a change adds the group to an open
 * connection. At that moment, and again when the group changes, a random draw decides whether the
 * group applies to the connection. Limits, stalls and resets count from the moment at which the
 * group came into force, even after a change.
 *
 * Fates are plain state without timers. A shaper reads them and keeps them up to date.
 *
 * Thread: the loop's.
 */
#pragma once

#include "bucket.h"
#include "conditions.h"
#include "random.h"

/* The state of one group. */
struct fate {
        const struct conditions *group;      /* in a configuration, which must outlive the fate */
        const struct conditions *conditions; /* @group if it applies; otherwise conditions_none */
        bool drops;                          /* drop_new resets the connection */
        struct random jitter, slices; /* separate, so that slicing does not shift the jitter */
        struct bucket *bucket;        /* a reference; NULL: the rate is not shared */
        uint64_t since_usec;          /* when the group came into force */
        uint64_t since_bytes;         /* the bytes that had passed by then */
        uint64_t stall_usec;          /* when the stall begins; never: none, or not known yet */
        uint64_t chunk_usec;          /* the last chunk or change: discard_idle counts from here */
        uint64_t data_usec;       /* the first data: reset_after_data counts from here; 0: none */
        uint64_t held_from_bytes; /* the place of the first data in the stream */
};

/* The groups of one direction, in the order of the configuration. */
struct fates {
        size_t n;
        struct fate list[];
};

/* The origin of the draws and counts of new fates. */
struct fate_origin {
        uint64_t seed, connection; /* the same two give the same draws; see random.h */
        enum direction direction;
        uint64_t now_usec;
        uint64_t passed_bytes; /* in this direction, so far */
        /*
         * Finds the bucket that all connections share for the rate of a group.
         * @out: set to the bucket, with a reference. Return: 0; -ENOMEM.
         */
        int (*take_bucket)(void *arg, const struct conditions *group, struct bucket **out);
        void *arg;
};

/**
 * fates_new() - make the fates of a list of groups
 * @before: the fates until now, whose groups go on in groups of the same name; NULL: there were no
 *          groups
 * @out:    set to the fates, freed with fates_free(), or to NULL if there are no groups
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int fates_new(const struct condition_list *groups, const struct fate_origin *origin,
                         const struct fates *before, struct fates **out);

/* Return: NULL. */
struct fates *fates_free(struct fates *fates);

/* All functions below take NULL for "no groups". */

/* Whether drop_new resets the connection at its beginning. */
bool fates_drop(const struct fates *fates);

/* Return: the group whose reset_after comes first, at @at_usec; NULL: none has one. */
const struct conditions *fates_reset(const struct fates *fates, uint64_t *at_usec);

/* Whether bytes or the end of the stream must be held, counted or discarded. */
bool fates_shape(const struct fates *fates);

/* Why a group ends the connection. */
enum fate_reason {
        FATE_LIMIT,         /* its limit has been reached */
        FATE_IDLE,          /* it discards, and no chunk has arrived for its discard_idle */
        FATE_RESET,         /* its reset_after_data has passed */
        FATE_DISCARD_ENDED, /* it discarded until now, so the stream has a hole */
};

/* How a group ends the connection. */
struct fate_end {
        uint64_t at_usec; /* or never, and nothing else is set */
        enum fate_reason why;
        const struct conditions *group;
};

/* Return: the first end by discard_idle, unless the stream has @ended, or by reset_after_data. */
struct fate_end fates_end(const struct fates *fates, bool ended);

/* Return: a group that discards in @before and does not in @after; NULL: there is none. */
const struct conditions *fates_discard_ended(const struct fates *before, const struct fates *after);

/* The fold: the joint effect of all groups that apply. */
struct fold {
        uint64_t delay_max_usec; /* the sum of all latencies and jitters */
        uint64_t rate;           /* the lowest rate, or unlimited */
        uint64_t burst_bytes;    /* that of the group with the lowest rate */
        struct bucket *shared;   /* its bucket, without a reference; NULL: the rate is not shared */
        uint64_t slice_bytes;    /* the smallest slices; 0: none */
        uint64_t slice_variation_bytes;
        struct random *slices;     /* that of the group with the smallest slices */
        uint64_t slice_delay_usec; /* the sum of all pauses */
        uint64_t close_delay_usec; /* the sum of all delays */
        uint64_t limit_bytes;      /* the lowest limit, counted from the first byte; or never */
        const struct conditions *limit; /* the group with that limit; NULL: there is none */
        bool stalls;
        bool notes;               /* a group must see each chunk: discard, reset_after_data */
        uint64_t held_from_bytes; /* bytes from here on are held until the reset; or never */
};

/* Return: the fold; it points into @fates. */
struct fold fates_fold(struct fates *fates);

/* Return: the delay of the next chunk: the sum of all latencies, each with its own jitter. */
uint64_t fates_draw_delay(struct fates *fates);

/*
 * Records that a chunk has arrived after @put_bytes that were kept. Return: the faults that discard
 * it: a group has discard, or the chunk is the first data of a group with reset_after_data; 0: it
 * is kept.
 */
unsigned fates_note_chunk(struct fates *fates, uint64_t put_bytes, uint64_t now_usec);

/*
 * Records that the end of the stream has arrived after @put_bytes. Return: the fault that begins
 * with it; 0: none does.
 */
unsigned fates_note_end(struct fates *fates, uint64_t put_bytes, uint64_t now_usec);

/* Makes every discard_idle count from @now_usec. */
void fates_restart_idle(struct fates *fates, uint64_t now_usec);

/* Return: when the last of the current stalls ends, or forever; @now_usec: there is none. */
uint64_t fates_stalled_until(const struct fates *fates, uint64_t now_usec);

/* Return: bytes that may pass until the next stall begins; UINT64_MAX: any number. */
uint64_t fates_bytes_to_stall(const struct fates *fates, uint64_t passed_bytes);

/* Begins the stalls that are due after @passed_bytes. */
void fates_begin_stalls(struct fates *fates, uint64_t passed_bytes, uint64_t now_usec);
