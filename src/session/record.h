/* SPDX-License-Identifier: MIT */
/*
 * What the log says of a session: which bytes it moves, and how it ended.
 *
 * Thread: the loop's.
 */
#pragma once

#include "log.h"
#include <stddef.h>
#include <stdint.h>

struct connection;
struct side;

/* Lost bytes, by who would have received them: the client, and whom the client speaks to. */
struct losses {
        uint64_t to_client, to_other;
};

/* What lines about it begin with. */
struct log_about connection_about(const struct connection *connection);

/* Logs bytes that a side has sent (LOG_RECEIVED) or is sent (LOG_SENDING). @data: NULL: nobody has
 * seen them. */
void record_bytes(const struct side *side, enum log_kind kind, const uint8_t *data, size_t n);

/* Logs the end of a session. @reason: in words. */
void record_end(const struct connection *connection, const char *reason, const struct losses *lost);
