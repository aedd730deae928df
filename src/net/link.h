/* SPDX-License-Identifier: MIT */
/*
 * A link carries bytes one way into a stream, through a shaper if the configuration has conditions.
 *
 * Echo, relay and hub have this in common: the source is paused while the destination has not taken
 * its bytes, the end of the stream waits behind its data, and a changed delay applies from the next
 * chunk on.
 *
 * Thread: the loop's.
 */
#pragma once

#include "shaper.h"
#include "stream.h"

struct link;

/* Callbacks. They may stop the streams, but not free them. */
struct link_events {
        /* These bytes are sent to the destination now. */
        void (*on_sending)(struct link *link, const struct share *share);
        /* The destination's socket has taken all bytes. */
        void (*on_empty)(struct link *link);
        /* All that was put before link_end() has been taken by the destination's socket. The owner
         * passes on the end: by stream_shutdown(), or by closing the socket. */
        void (*on_done)(struct link *link);
        /* Conditions have done something to the bytes for the first time. @faults: bits of enum
         * conditions_fault. NULL: the owner is not told. */
        void (*on_fault)(struct link *link, unsigned faults);
        /* A group of conditions ends the connection. If its limit was reached, the socket has taken
         * all bytes up to it. */
        void (*on_over)(struct link *link, const struct fate_end *end);
        /* The destination failed, or memory ran out. */
        void (*on_error)(struct link *link, int error);
};

/* Embedded in its owner. The members are private. */
struct link {
        struct stream *from, *to;
        const struct link_events *events;
        struct holder holder;
        struct shaper *shaper; /* NULL: bytes pass at once */
        unsigned faults;       /* of shapers that have been freed */
        unsigned told;         /* the faults that on_fault has told */
        bool shaped;           /* a shaper is needed; if not, @shaper stays until it is empty */
        unsigned full_reads;   /* in a row; see link_allow_splicing() */
        bool may_splice;
        bool busy;   /* on_empty must still be called */
        bool paused; /* @from is paused */
        bool ended;  /* link_end() was called */
        bool ending; /* the end of the stream waits in line */
        bool stopped;
        uint64_t before; /* bytes that @to accepted before this link existed */
        uint64_t lost;   /* bytes of this link that @to will never send */
};

/**
 * link_init() - connect two streams one way
 * @from: the source of the bytes, paused while the link is full; NULL: the caller of link_put()
 *        must check link_held()
 * @to:   the destination; may be @from
 *
 * A stream can have only one link into it, which uses the stream's on_drained.
 */
void link_init(struct link *link, struct stream *from, struct stream *to,
               const struct link_events *events);

/**
 * link_set_shaping() - apply conditions from the next chunk on
 * @shaping: its fates must exist until the next call, or until the link is stopped
 *
 * Bytes that are held already wait no longer than @shaping says. May send, and so call every
 * callback.
 *
 * Return: 0; -ENOMEM: the link must be stopped.
 */
_must_use_ int link_set_shaping(struct link *link, const struct shaping *shaping);

/* Return: the bytes of this link that the destination's socket has taken or its queue holds. */
uint64_t link_passed(const struct link *link);

/* Return: the faults that have affected its bytes: bits of enum conditions_fault. */
unsigned link_faults(const struct link *link);

/* Passes on a chunk. A failure is reported to on_error. */
void link_put(struct link *link, const uint8_t *data, size_t n);

/* Like link_put(), for a chunk that goes into several links or is in a pipe. */
void link_put_shared(struct link *link, struct share *share);

/* Allows or forbids splicing of bytes that keep filling the scratch buffer, while there is no
 * shaper. Forbidden at first. */
void link_allow_splicing(struct link *link, bool allowed);

/* Puts the end of the stream behind all that was put; see on_done. */
void link_end(struct link *link);

/*
 * Ends all callbacks of the link, at once and forever, and sends nothing more. Bytes that it holds,
 * and bytes that are put later, are lost.
 */
void link_stop(struct link *link);

/* Return: the bytes of this link that the destination's socket has taken. */
uint64_t link_sent(const struct link *link);

/* Return: the bytes that a failed or stopped link will never send. */
uint64_t link_lost(const struct link *link);

/* Return: the bytes that the destination's socket has not taken yet, with their book-keeping. */
size_t link_held(const struct link *link);

/* Whether bytes wait only until they are due, and not for the destination to take them. */
bool link_is_waiting(const struct link *link);
