/* SPDX-License-Identifier: MIT */
/*
 * Carries bytes one way, into a stream: straight through, or by a shaper.
 *
 * All that an echo, a relay and a hub have in common is here and written once: the source is paused
 * while the destination has not taken what it got, the end of the stream waits in line behind its
 * data, and a changed delay holds from the next chunk on.
 *
 * Thread: the loop's.
 */
#pragma once

#include "shaper.h"
#include "stream.h"

struct link;

/* What the link's owner is told. It may stop the streams from within, but not free them. */
struct link_events {
        /* These bytes leave for the destination now; @data as of on_data in stream.h. */
        void (*on_sending)(struct link *link, const uint8_t *data, size_t n);
        /* All that was put has been taken by the destination's socket. */
        void (*on_empty)(struct link *link);
        /* All that was put before link_end() has been taken by the destination's socket. The owner
         * passes on the end: by stream_shutdown(), or by closing the socket. */
        void (*on_done)(struct link *link);
        /* As many bytes have passed as the conditions allow, and been taken. */
        void (*on_limit)(struct link *link);
        /* The destination failed, or memory did. */
        void (*on_error)(struct link *link, int error);
};

/* Embedded in its owner; all members are the link's own. */
struct link {
        struct stream *from, *to;
        const struct link_events *events;
        struct holder holder;
        struct shaper *shaper; /* NULL: straight through */
        unsigned faults;       /* of shapers that are no more */
        bool shaped;           /* it takes a shaper; without, one that holds bytes still is there */
        unsigned full_reads;   /* in a row; see link_set_bulk() */
        bool bulk;             /* may be spliced */
        bool busy;             /* on_empty is owed */
        bool paused;           /* @from is paused */
        bool ending;           /* the end of the stream waits in line */
        bool stopped;
        uint64_t before; /* bytes that @to accepted from others, before there was this link */
        uint64_t lost;   /* bytes put that @to will never send */
};

/**
 * link_init() - connect two streams one way
 * @from: where the bytes put come from: paused while the link is full; NULL: whoever puts bytes
 *        must look at link_held()
 * @to:   where they go; may be @from
 *
 * There is one link into a stream: it takes the stream's on_drained.
 */
void link_init(struct link *link, struct stream *from, struct stream *to,
               const struct link_events *events);

/**
 * link_set_shaping() - hold bytes back, from the next chunk on
 * @random: for the shaper that is made if need be
 *
 * What is held already waits no longer than @shaping says. May send, and so call every callback.
 *
 * Return: 0; -ENOMEM: the link is as it was.
 */
_must_use_ int link_set_shaping(struct link *link, const struct shaping *shaping,
                                const struct random *random);

/* What has been done to its bytes so far: bits of enum conditions_fault. */
unsigned link_faults(const struct link *link);

/* Passes on a chunk; @data as of on_data in stream.h. Failure is told to on_error. */
void link_put(struct link *link, const uint8_t *data, size_t n);

/* The same, for a chunk that goes into several links. */
void link_put_shared(struct link *link, struct share *share);

/* Whether bytes that keep filling the scratch buffer may be spliced, while there is no shaper; not
 * to begin with. */
void link_set_bulk(struct link *link, bool bulk);

/* Puts the end of the stream behind all that was put; see on_done. */
void link_end(struct link *link);

/*
 * Ends all callbacks of the link, at once and for good, and sends nothing more: what it holds, and
 * what is put from now on, is lost.
 */
void link_stop(struct link *link);

/* Bytes put that the destination's socket has taken. */
uint64_t link_sent(const struct link *link);

/* Bytes put that the destination's socket will never take: of a link that failed or is stopped. */
uint64_t link_lost(const struct link *link);

/* Bytes that the destination's socket has not taken yet, and what it takes to keep them. */
size_t link_held(const struct link *link);

/* Whether bytes wait only for their time, not for the destination to take them. */
bool link_is_waiting(const struct link *link);
