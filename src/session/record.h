/* SPDX-License-Identifier: MIT */
/*
 * Log lines about a session: the bytes that it moves, and its end.
 *
 * Thread: the loop's.
 */
#pragma once

#include "log.h"
#include <stddef.h>
#include <stdint.h>

struct connection;
struct share;
struct side;

/* Lost bytes by receiver: the client, and the other side or the other members. */
struct losses {
        uint64_t to_client, to_other;
};

/* Return: the fields of log lines about the connection. */
struct log_about connection_about(const struct connection *connection);

/* Logs bytes that were received from a side (LOG_RECEIVED) or are sent to it (LOG_SENDING). */
void record_bytes(const struct side *side, enum log_kind kind, const struct share *share);

/* Logs the end of a session. @reason: its text. */
void record_end(const struct connection *connection, const char *reason, const struct losses *lost);
