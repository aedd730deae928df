/* SPDX-License-Identifier: MIT */
/*
 * What a client prints: a queue in front of standard output or standard error that writes without
 * blocking, and loses nothing when the descriptor is a full pipe.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"

/* An output that holds more than this is full. */
#define OUTPUT_FULL_BYTES 65536

struct output;

/* What an output tells its owner, from the loop only. Neither may free the output. */
struct output_events {
        /* Some of the queue has been written, and the output is not full. */
        void (*on_room)(void *arg);
        /* The descriptor or the memory failed: -errno. Called once; nothing more is written. */
        void (*on_failed)(void *arg, int error);
};

/**
 * output_new() - make a queue in front of a descriptor
 * @fd:  stays the caller's; whether it blocks is left as it is, for other programs may share it
 * @out: set to the output; freed with output_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int output_new(struct loop *loop, int fd, struct output **out);

/* From now on calls @events with @arg; NULL: nobody wants to know. */
void output_set_events(struct output *output, const struct output_events *events, void *arg);

/* Queues bytes. Never blocks and never calls back; a failure is reported by the loop. */
void output_write(struct output *output, const void *data, size_t n);
void output_printf(struct output *output, const char *format, ...) _printf_(2, 3);

/* Whether so much waits that the owner should not add more. */
bool output_is_full(const struct output *output);

/**
 * output_finish() - write all that waits, and wait for as long as that takes
 *
 * Blocks: for an end, when the loop is turned no more.
 *
 * Return: 0; -ENOMEM; what write(2) failed with, now or before.
 */
_must_use_ int output_finish(struct output *output);

/**
 * output_free() - free an output; what waits is lost
 * Return: NULL.
 */
struct output *output_free(struct output *output);
