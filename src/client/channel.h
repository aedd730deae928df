/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: bytes both ways, a half-close that waits behind what is still to be sent,
 * and an end that comes after everything that arrived.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"

struct channel;

/* What a channel tells its owner, from the loop only. None may free the channel. */
struct channel_events {
        /* @n bytes came, at least 1. @data is the loop's scratch buffer. */
        void (*on_data)(void *arg, const uint8_t *data, size_t n);
        /* Some of what waited has been sent. NULL: the owner need not know. */
        void (*on_sent)(void *arg);
        /*
         * The connection is over, and all that came has been passed on. @error: 0: the server ended
         * the stream; else what recv(2) or send(2) failed with: -ECONNRESET, … Called once, last.
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
 * channel_send() - send bytes, now as far as the socket takes them and the rest later
 *
 * After a failed send the bytes wait for ever; on_end() is about to be called.
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int channel_send(struct channel *channel, const void *data, size_t n);

size_t channel_unsent_bytes(const struct channel *channel);

/* Ends the outgoing stream once everything has been sent. Nothing may be sent any more. */
void channel_end(struct channel *channel);

/* Whether channel_end() was called and has taken effect. */
bool channel_has_ended(const struct channel *channel);

/* Stops reading, and continues. Neither calls back. Return: 0; -ENOMEM. */
void channel_pause(struct channel *channel);
_must_use_ int channel_resume(struct channel *channel);

/**
 * channel_free() - free a channel; what waits is not sent
 * Return: NULL.
 */
struct channel *channel_free(struct channel *channel);
