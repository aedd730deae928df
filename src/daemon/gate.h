/* SPDX-License-Identifier: MIT */
/*
 * The limit on connections, and the log records of clients that were turned away.
 *
 * A flood costs few records. All clients that one service turned away for one reason within some
 * seconds share a record, which has their number, the reason and the last client. Clients that are
 * turned away elsewhere, for another limit, are counted here as well.
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
 * gate_new() - make a gate without a limit
 * Return: 0; -ENOMEM.
 */
_must_use_ int gate_new(struct loop *loop, struct gate **out);

/**
 * gate_free() - free a gate; call gate_report() first, so that all clients turned away are logged
 * Return: NULL.
 */
struct gate *gate_free(struct gate *gate);

/* Sets the most connections at once. @set_by: what sets the limit, for the record; a literal. */
void gate_set_limit(struct gate *gate, size_t limit, const char *set_by);

/* Return: whether a client may be admitted while there are @count connections. */
bool gate_admits(const struct gate *gate, size_t count);

/* Writes why gate_admits() returned false. @out: at least GATE_REASON_SIZE bytes. Return: @out. */
const char *gate_reason(const struct gate *gate, char *out);

/**
 * gate_turn_away() - count a client that is turned away, for the next record
 * @service: the name of the service
 * @client:  the name of the client for the log, see address_format_client()
 * @reason:  why, printable; the record has this text even if the limit changes before it is logged
 */
void gate_turn_away(struct gate *gate, const char *service, const char *client, const char *reason);

/* Logs all clients that were turned away since the last records, without waiting. */
void gate_report(struct gate *gate);
