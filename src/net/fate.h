/* SPDX-License-Identifier: MIT */
/*
 * Fates: what the groups of conditions mean for one direction of one connection.
 *
 * A group comes into force when the connection begins, or when a change adds the group while the
 * connection is open. Whether it applies to the connection is drawn at that moment, and drawn anew
 * when the group changes. Limits, stalls and resets count from the moment at which the group came
 * into force, also after the group has changed.
 *
 * Plain state, without timers. A shaper reads the fates and keeps them up to date.
 *
 * Thread: the loop's.
 */
#pragma once

#include "bucket.h"
#include "conditions.h"
#include "random.h"

/* One group. */
struct fate {
        const struct conditions *group;      /* a configuration's, which must outlive the fate */
        const struct conditions *conditions; /* @group if it applies, else conditions_none */
        bool drops;                   /* the connection is one of those that drop_new resets */
        struct random jitter, slices; /* separate, so that slicing does not shift the jitter */
        struct bucket *bucket;        /* a reference; NULL: the rate is not shared */
        uint64_t since_usec;          /* the group came into force, */
        uint64_t since_bytes;         /* after so many bytes had passed */
        uint64_t stall_usec;          /* when the stall begins; or never: not known yet, or none */
        uint64_t chunk_usec;          /* discard_idle counts from here: the last chunk or change */
        uint64_t data_usec;           /* reset_after_data counts from here; 0: no data has come */
        uint64_t held_from_bytes;     /* where in the stream that was */
};

/* The groups of one direction, in the order of the configuration. */
struct fates {
        size_t n;
        struct fate list[];
};

/* What fates are drawn from and count from. */
struct fate_origin {
        uint64_t seed, connection; /* the same two give the same draws; see random.h */
        enum direction direction;
        uint64_t now_usec;
        uint64_t passed_bytes; /* in this direction, so far */
};

/**
 * fates_new() - make the fates of a list of groups
 * @before: the fates until now; a group of theirs is the same as a group of @groups if both have
 *          the same name. NULL: there were no groups
 * @out:    set to the fates, freed with fates_free(); to NULL if there are no groups
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int fates_new(const struct condition_list *groups, const struct fate_origin *origin,
                         const struct fates *before, struct fates **out);

/* Return: NULL. */
struct fates *fates_free(struct fates *fates);

/* All functions below take NULL for "no groups". */

/* Whether the connection is to be reset at its beginning. */
bool fates_drop(const struct fates *fates);

/* Return: the group whose reset_after comes first, at @at_usec; NULL: none has one. */
const struct conditions *fates_reset(const struct fates *fates, uint64_t *at_usec);

/* Whether bytes, or the end of the stream, must be held back, counted or discarded. */
bool fates_shape(const struct fates *fates);

/* Why a group ends the connection. */
enum fate_reason {
        FATE_LIMIT,         /* its limit has been reached */
        FATE_IDLE,          /* it discards, and no chunk came for its discard_idle */
        FATE_RESET,         /* its reset_after_data has passed */
        FATE_DISCARD_ENDED, /* it discarded until now, so the stream has a hole */
};

/* How a group ends the connection. */
struct fate_end {
        uint64_t at_usec; /* or never: then nothing else is set */
        enum fate_reason why;
        const struct conditions *group;
};

/* Return: the first end, of discard_idle (unless the stream has @ended) and reset_after_data. */
struct fate_end fates_end(const struct fates *fates, bool ended);

/* Return: the group of @before that discarded and does so no more in @after; NULL: none. */
const struct conditions *fates_discard_ended(const struct fates *before, const struct fates *after);

/* The groups that apply, folded into what they do together. */
struct fold {
        uint64_t latency_usec;   /* all latencies */
        uint64_t delay_max_usec; /* with all jitters */
        uint64_t rate;           /* the lowest, or unlimited */
        uint64_t burst_bytes;    /* of the group with the lowest rate, */
        struct bucket *shared;   /* and its bucket; NULL: not shared. No reference */
        uint64_t slice_bytes;    /* the smallest, or 0 */
        uint64_t slice_variation_bytes;
        struct random *slices;     /* of the group with the smallest slices */
        uint64_t slice_delay_usec; /* all pauses */
        uint64_t close_delay_usec; /* all delays */
        uint64_t limit_bytes;      /* the lowest, counted from the first byte of all; or never */
        const struct conditions *limit; /* the group with that limit; NULL: there is none */
        bool stalls;
        bool notes;               /* a group needs to know what comes: discard, reset_after_data */
        uint64_t held_from_bytes; /* what comes from here on stays, until the reset; or never */
};

/* Return: the fold; it points into @fates. */
struct fold fates_fold(struct fates *fates);

/* Return: the delay of the next chunk: all latencies, each with its own jitter. */
uint64_t fates_draw_delay(struct fates *fates);

/*
 * Notes that a chunk has come, behind @put_bytes that were kept. Return: the faults because of
 * which it is discarded: by a group with discard, or as the first data of a group with
 * reset_after_data; 0: it is kept.
 */
unsigned fates_note_chunk(struct fates *fates, uint64_t put_bytes, uint64_t now_usec);

/*
 * Notes that the end of the stream has come, behind @put_bytes. Return: the fault that begins with
 * it; 0: none does.
 */
unsigned fates_note_end(struct fates *fates, uint64_t put_bytes, uint64_t now_usec);

/* Lets every discard_idle count from @now_usec. */
void fates_restart_idle(struct fates *fates, uint64_t now_usec);

/* Return: when the last of the current stalls ends, or forever; @now_usec: there is none. */
uint64_t fates_stalled_until(const struct fates *fates, uint64_t now_usec);

/* Return: bytes that may pass until the next stall begins; UINT64_MAX: any number. */
uint64_t fates_bytes_to_stall(const struct fates *fates, uint64_t passed_bytes);

/* Begins the stalls that begin after @passed_bytes. */
void fates_begin_stalls(struct fates *fates, uint64_t passed_bytes, uint64_t now_usec);
