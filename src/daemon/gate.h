/* SPDX-License-Identifier: MIT */
/*
 * Who may come in: the limit on connections, and the records of clients that were turned away.
 *
 * A flood costs few records: those turned away from one service for one reason within some seconds
 * share one, which says how many they were, why, and names the last of them. Whoever turns clients
 * away for another limit, of a service or of a source, reports them here as well.
 *
 * Thread: main.
 */
#pragma once

#include "address.h"
#include "loop.h"

/* The longest reason, with the NUL. */
#define GATE_REASON_SIZE 128

struct gate;

/**
 * gate_new() - a gate with no limit
 * Return: 0; -ENOMEM.
 */
_must_use_ int gate_new(struct loop *loop, struct gate **out);

/**
 * gate_free() - free a gate; gate_report() first, so that nobody turned away goes unreported
 * Return: NULL.
 */
struct gate *gate_free(struct gate *gate);

/* Admits at most @limit connections. @set_by: what sets the limit, for the record; a literal. */
void gate_set_limit(struct gate *gate, size_t limit, const char *set_by);

/* Whether one more connection may come in beside @count. */
bool gate_admits(const struct gate *gate, size_t count);

/* Why gate_admits() says no. @out: at least GATE_REASON_SIZE bytes. Return: @out. */
const char *gate_reason(const struct gate *gate, char *out);

/**
 * gate_turn_away() - count a client that is turned away, for the next record
 * @service: the name of the service it came to
 * @client:  its name for the log, such as address_format_client() writes
 * @reason:  why, printable; what this says is told even if limits have changed by then
 */
void gate_turn_away(struct gate *gate, const char *service, const char *client, const char *reason);

/* Logs now whoever was turned away since the last records. */
void gate_report(struct gate *gate);
