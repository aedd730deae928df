/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: it carries bytes both ways, half-closes after the last byte has been sent,
 * and reports the end of the connection after the last byte has been received.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"

struct channel;

/* Callbacks, called from the loop only. None may free the channel. */
struct channel_events {
        /* @n bytes arrived, at least 1. @data is the loop's scratch buffer. */
        void (*on_data)(void *arg, const uint8_t *data, size_t n);
        /* Some queued bytes have been sent. May be NULL. */
        void (*on_sent)(void *arg);
        /*
         * The connection is over, and all received bytes have been passed to on_data(). @error: 0:
         * the server ended the stream; what recv(2) or send(2) failed with. The last call.
         */
        void (*on_end)(void *arg, int error);
};

/**
 * channel_new() - carry bytes over a socket
 * @fd:     connected, non-blocking; stays the caller's, and outlives the channel
 * @events: called with @arg
 * @out:    set to the channel; freed with channel_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int channel_new(struct loop *loop, int fd, const struct channel_events *events,
                           void *arg, struct channel **out);

/**
 * channel_send() - send bytes; those that the socket does not take now are queued
 *
 * After a failed send, bytes stay in the queue and on_end() follows.
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int channel_send(struct channel *channel, const void *data, size_t n);

size_t channel_unsent_bytes(const struct channel *channel);

/* Half-closes the connection once the queue is empty. channel_send() must not be called again. */
void channel_end(struct channel *channel);

/* Whether the connection has been half-closed. */
bool channel_has_ended(const struct channel *channel);

/* Stops reading. */
void channel_pause(struct channel *channel);

/* Reads again; makes no callback itself. Return: 0; -ENOMEM. */
_must_use_ int channel_resume(struct channel *channel);

/**
 * channel_free() - free a channel; queued bytes are not sent
 * Return: NULL.
 */
struct channel *channel_free(struct channel *channel);
