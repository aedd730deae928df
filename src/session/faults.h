/* SPDX-License-Identifier: MIT */
/*
 * The faults that a service's conditions play on one connection.
 *
 * Each direction has its fates, which are drawn when the connection begins and are changed when the
 * service's conditions change. The link of a side plays them on the bytes that go to the side. What
 * concerns the connection as a whole is played here: drop_new and reset_after.
 *
 * Thread: the loop's.
 */
#pragma once

#include "link.h"

struct connection;
struct side;

/* Embedded in a connection; all members are the faults' own. */
struct faults {
        struct fates *fates[DIRECTIONS]; /* NULL: the direction has no groups of conditions */
        struct timer reset;              /* fires when reset_after has passed */
        unsigned played; /* on the connection as a whole: bits of conditions_fault */
};

/* Prepares the faults of a connection that has its loop. */
void faults_init(struct connection *connection);

/* Stops the timer. The links must be stopped, too. */
void faults_stop(struct connection *connection);

/* Frees the fates. */
void faults_deinit(struct connection *connection);

/**
 * faults_begin() - draw the fates of a connection that begins, and play drop_new
 *
 * May end the connection. Return: 0; -ENOMEM.
 */
_must_use_ int faults_begin(struct connection *connection);

/**
 * faults_play() - set the timer of reset_after, and shape the links that there are
 *
 * To be called again when the links have been made. May end the connection. Return: 0; -ENOMEM: the
 * connection must be ended.
 */
_must_use_ int faults_play(struct connection *connection);

/**
 * faults_change() - draw and play the conditions of connection->config, which have changed
 *
 * The conditions that were in force until now must still exist. Otherwise as faults_play().
 */
_must_use_ int faults_change(struct connection *connection);

/* Ends the connection because of a group of conditions; see on_over in link.h. */
void faults_end(struct side *side, const struct fate_end *end);
