/* SPDX-License-Identifier: MIT */
/*
 * How a session ends: one place decides what the peers see of an end, and what its record says.
 *
 * Bytes are lost when the system has acknowledged them to one side and they do not reach the other
 * side. They may wait in a shaper, a queue or a pipe; nobody may have read them from the socket; or
 * memory ran out when they had been read. Then every side sees a reset: whoever waits for lost
 * bytes must not take the part for the whole, and whoever sent them must not believe that they
 * arrived. When nothing is lost, the sides see an end of stream. The exceptions:
 *
 *   limit    The side with the limit got all that may pass and sees an end of stream. What the
 *            limit cuts off is not lost.
 *   failure  A side's socket failed. What had arrived on it before is passed on, the other side
 *            is given the time to acknowledge it, and then sees a reset in any case.
 *
 * A unix socket has no reset: its peer sees one only when it sent something that was not read, and
 * an end of stream otherwise (unix(7), unix_release_sock() in Linux).
 *
 * Thread: the loop's.
 */
#pragma once

#include "reason.h"
#include "timer.h"
#include <stdbool.h>

struct connection;
struct side;

/* Embedded in a connection; all members are the ending's own. */
struct ending {
        struct timer poll; /* looks whether bytes have arrived */
        struct side
                *failed; /* its socket failed, and what had arrived on it is passed on; or NULL */
        struct side *served; /* it has the time to read all up to the limit; or NULL */
        int error;           /* of @failed */
        unsigned polls;      /* so far */
        uint64_t began_usec; /* the wait */
        uint64_t moved,
                moved_usec; /* bytes that had moved when that last changed, and the moment */
};

/**
 * connection_close() - end a session now, in order unless bytes are lost
 *
 * Does nothing once the session has ended, except that a wait for bytes to arrive ends. The
 * connection is freed between two turns of the loop.
 */
void connection_close(struct connection *connection, enum reason reason);

/* The same, with a reset on every side. */
void connection_reset(struct connection *connection, enum reason reason);

/* The same. @text: for the log, in place of the reason's own words. */
void connection_reset_for(struct connection *connection, enum reason reason, const char *text);

/* The same, because the process or the system failed. @error: -errno. */
void connection_reset_error(struct connection *connection, int error);

/* Ends a session because as many bytes have passed to @side as its limit allows. @text: for the
 * log.
 */
void connection_limit(struct side *side, const char *text);

/**
 * connection_fail() - end a session because a side's socket failed, or for want of memory
 * @side:  whose socket failed
 * @error: -ECONNRESET, -ETIMEDOUT, …
 *
 * What had arrived on @side is passed on first, for up to 30 s, and for as long as something moves
 * within 5 s. Nothing is sent to @side from now on.
 */
void connection_fail(struct side *side, int error);

/* Looks whether that is done: @connection's queue is empty now, or a side has ended. */
void connection_advance(struct connection *connection);
