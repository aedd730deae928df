/* SPDX-License-Identifier: MIT */
/*
 * A sink: takes the records of the log, for standard error or for the journal, and never waits.
 *
 * A record is written whole or not at all. What can't be written now waits in a queue; what the
 * queue has no room for is lost and counted.
 *
 * Writing does not block because
 *   a pipe, a terminal or another device is opened once more, through /proc/self/fd, with
 *     O_NONBLOCK. (On standard error itself the flag would be set for the shell, too, and for
 *     whoever else shares it.)
 *   on a socket, MSG_DONTWAIT says so for each call.
 *   on a regular file, a write waits for nothing but the disk.
 * Where a pipe or terminal can't be opened again, for it belongs to another user or there is no
 * /proc, poll(2) is asked before each write of at most PIPE_BUF bytes. That is enough for a pipe
 * that nobody else writes to; a terminal that nobody reads may then block.
 *
 * Thread: one at a time.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

/* What waits at most: the records, and 4 bytes for each. */
#define SINK_QUEUE_BYTES (256 << 10)

/* How records are written. */
enum sink_way {
        SINK_WRITE,   /* write(2) never blocks */
        SINK_POLL,    /* or might, so poll(2) comes first */
        SINK_SEND,    /* standard error is a socket */
        SINK_JOURNAL, /* a datagram each, to the journal's socket */
};

struct sink {
        enum sink_way way;
        int fd;          /* to write to */
        int owned_fd;    /* the same, to close at the end; -1: it is standard error itself */
        int error;       /* of the last write that failed; 0: none did since the queue was empty */
        uint64_t n_lost; /* records lost; the owner sets it back once it has said so */
        int lost_error;  /* why the first of them was */

        uint8_t *queue;    /* SINK_QUEUE_BYTES, the owner's */
        size_t head, tail; /* records that wait are between these */
        size_t sent;       /* bytes of the first one that have been written */
};

/* A sink that writes to standard error as it is, and may block: for a static one. */
#define SINK_INIT(queue_)                                              \
        {                                                              \
                .fd = STDERR_FILENO, .owned_fd = -1, .queue = (queue_) \
        }

/* Uses standard error, as it is now. What waited before is forgotten. */
void sink_to_stderr(struct sink *sink);

/**
 * sink_to_journal() - use the journal's socket, whether or not it is there now
 * Return: 0; what socket(2) fails with: the sink is as it was.
 */
_must_use_ int sink_to_journal(struct sink *sink);

/* Writes what waits, as far as that is possible now. Return: whether nothing waits any more. */
bool sink_flush(struct sink *sink);

/**
 * sink_put() - write a record, let it wait behind others, or count it as lost
 * @record: for standard error lines, for the journal one record in its native protocol
 */
void sink_put(struct sink *sink, const void *record, size_t length);

/* Counts a record as lost. */
void sink_lose(struct sink *sink);

/* Bytes of the queue that are in use; 0: nothing waits. */
size_t sink_waiting(const struct sink *sink);

/* Whether half of the queue is empty: after a loss, the moment to say so and to go on. */
bool sink_has_room(const struct sink *sink);
