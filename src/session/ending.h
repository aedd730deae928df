/* SPDX-License-Identifier: MIT */
/*
 * The end of a session: what the peers see of it, and what its record says.
 *
 * Bytes are lost when the system has acknowledged them to one side and they do not reach the other
 * side. They may still be in a shaper, a queue, a pipe or the socket, or memory ran out after they
 * were read. Then every side sees a reset. A side that waits for lost bytes must not take a part of
 * the stream for the whole, and the side that sent them must not believe that they arrived. If no
 * byte is lost, the sides see an end of stream. The exceptions are:
 *
 *   limit    The side behind the limit got all bytes up to the limit, and sees an end of stream.
 *            Bytes beyond the limit do not count as lost.
 *   discard  Bytes that a condition discards do not count as lost, and neither do bytes that have
 *            arrived for the discarding side and were not read.
 *   failure  A side's socket failed. Bytes that arrived on it before are passed on. The other side
 *            has time to acknowledge them, and then sees a reset in any case.
 *
 * Unix sockets know a reset only for a peer whose bytes were not read. Every other peer sees an end
 * of stream (unix(7), unix_release_sock() in Linux).
 *
 * Thread: the loop's.
 */
#pragma once

#include "reason.h"
#include "timer.h"
#include <stdbool.h>

struct connection;
struct side;

/* Embedded in a connection. The members are private. */
struct ending {
        struct timer poll;   /* checks whether bytes have arrived */
        struct side *failed; /* the side that failed, whose bytes are passed on; NULL: none */
        struct side *served; /* the side that reads all up to its limit; NULL: none */
        int error;           /* of @failed */
        unsigned polls;      /* so far */
        uint64_t began_usec; /* when the wait began */
        uint64_t moved;      /* bytes moved so far; see count_moved() */
        uint64_t moved_usec; /* when @moved last changed */
};

/**
 * connection_close() - end a session now: in order, unless bytes are lost
 *
 * After the end of the session, this only ends a wait for bytes to arrive. The connection is freed
 * between two turns of the loop.
 */
void connection_close(struct connection *connection, enum reason reason);

/* Like connection_close(). @text: the reason in the log, in place of the reason's own text. */
void connection_close_for(struct connection *connection, enum reason reason, const char *text);

/* Like connection_close(), but with a reset on every side. */
void connection_reset(struct connection *connection, enum reason reason);

/* Like connection_reset(). @text: the reason in the log, in place of the reason's own text. */
void connection_reset_for(struct connection *connection, enum reason reason, const char *text);

/* Like connection_reset(), because the process or the system failed. @error: -errno. */
void connection_reset_error(struct connection *connection, int error);

/* Ends a session because the limit of @side has been reached. @text: the reason in the log. */
void connection_limit(struct side *side, const char *text);

/* Ends a session in which bytes for @side are discarded. @text: the reason in the log. */
void connection_discard(struct side *side, const char *text);

/**
 * connection_fail() - end a session because a side's socket failed or memory ran out
 * @side:  the side that failed
 * @error: -ECONNRESET, -ETIMEDOUT, …
 *
 * Bytes that have arrived on @side are passed on first. That takes up to 30 s, and ends when no
 * byte has moved for 5 s. Nothing more is sent to @side.
 */
void connection_fail(struct side *side, int error);

/* Ends the session if all bytes of the failed side have been passed on. Called when a queue is
 * empty or a side has ended. */
void connection_advance(struct connection *connection);
