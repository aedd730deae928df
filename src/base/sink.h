/* SPDX-License-Identifier: MIT */
/*
 * A sink writes the records of the log to standard error or to the journal, without blocking.
 *
 * A record is written whole or not at all. A record that cannot be written at once waits in a
 * queue; a record that finds no room there is lost and counted.
 *
 * Writing does not block:
 *   a pipe, a terminal or another device is opened again through /proc/self/fd, with O_NONBLOCK.
 *     (The flag on standard error itself would affect the shell and everybody else who shares it.)
 *   on a socket, each call has MSG_DONTWAIT.
 *   on a regular file, a write waits only for the disk.
 * If a pipe or a terminal cannot be opened again, because it belongs to another user or there is no
 * /proc, each write of at most PIPE_BUF bytes comes after a poll(2). That is enough for a pipe
 * without other writers. A terminal whose output is stopped may then block.
 *
 * Thread: one at a time.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

/* The size of the queue: the records, and 4 bytes for each. */
#define SINK_QUEUE_BYTES (256 << 10)

/* How records are written. */
enum sink_method {
        SINK_WRITE,   /* write(2), which does not block here */
        SINK_POLL,    /* write(2), which may block here, after poll(2) */
        SINK_SEND,    /* send(2): standard error is a socket */
        SINK_JOURNAL, /* sendto(2): one datagram for each record, to the journal's socket */
};

struct sink {
        enum sink_method method;
        int fd;
        int owned_fd;    /* @fd if the sink opened it; -1: @fd is standard error */
        int error;       /* errno of the last failed write; 0: none since the queue was empty */
        uint64_t n_lost; /* records lost; the owner resets it when it has reported them */
        int lost_error;  /* why the first of them was lost: errno */

        uint8_t *queue;    /* SINK_QUEUE_BYTES, the owner's */
        size_t head, tail; /* the queued records are between these offsets */
        size_t sent;       /* bytes of the first queued record that have been written */
};

/* Initialises a static sink, which writes to standard error as it is and may block. */
#define SINK_INIT(queue_)                                              \
        {                                                              \
                .fd = STDERR_FILENO, .owned_fd = -1, .queue = (queue_) \
        }

/* Makes the sink write to standard error. Drops what is queued. */
void sink_to_stderr(struct sink *sink);

/**
 * sink_to_journal() - make the sink write to the journal's socket, which need not exist yet
 *
 * Drops what is queued.
 *
 * Return: 0; what socket(2) fails with: the sink is unchanged.
 */
_must_use_ int sink_to_journal(struct sink *sink);

/* Writes as many queued records as possible. Return: whether the queue is empty now. */
bool sink_flush(struct sink *sink);

/**
 * sink_put() - write a record, or queue it, or count it as lost
 * @record: lines for standard error, or one record in the journal's native protocol
 */
void sink_put(struct sink *sink, const void *record, size_t length);

/* Counts a record as lost. */
void sink_lose(struct sink *sink);

/* Return: the bytes in the queue. */
size_t sink_waiting(const struct sink *sink);

/* Whether the queue is at most half full. After a loss, the owner waits for this before it reports
 * the loss and goes on. */
bool sink_has_room(const struct sink *sink);
