/* SPDX-License-Identifier: MIT */
/*
 * The faults that the conditions of a service cause on one connection.
 *
 * Each direction has its fates. They are drawn when the connection begins, and change when the
 * service's conditions change. The link into a side applies them to the bytes for that side. This
 * file applies the conditions of the connection as a whole: drop_new and reset_after.
 *
 * Thread: the loop's.
 */
#pragma once

#include "link.h"

struct connection;
struct side;

/* Embedded in a connection. The members are private. */
struct faults {
        struct fates *fates[DIRECTIONS]; /* NULL: the direction has no groups of conditions */
        struct timer reset;              /* fires when reset_after has passed */
        unsigned played; /* faults of the connection as a whole: bits of conditions_fault */
};

/* To be called when @connection has its loop. */
void faults_init(struct connection *connection);

/* Stops the timer. The links must be stopped separately. */
void faults_stop(struct connection *connection);

/* Frees the fates. */
void faults_deinit(struct connection *connection);

/**
 * faults_begin() - draw the fates of a new connection, and apply drop_new
 *
 * May end the connection. Return: 0; -ENOMEM.
 */
_must_use_ int faults_begin(struct connection *connection);

/**
 * faults_play() - set the timer of reset_after, and shape the existing links
 *
 * To be called again after links have been made. May end the connection. Return: 0; -ENOMEM: the
 * caller must end the connection.
 */
_must_use_ int faults_play(struct connection *connection);

/**
 * faults_change() - draw and apply the changed conditions of connection->config
 *
 * The previous conditions must still exist during this call. Otherwise like faults_play().
 */
_must_use_ int faults_change(struct connection *connection);

/* Ends the connection because of a group of conditions; see on_over in link.h. */
void faults_end(struct side *side, const struct fate_end *end);
