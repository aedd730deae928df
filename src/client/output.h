/* SPDX-License-Identifier: MIT */
/*
 * A queue in front of standard output or standard error. It never blocks the loop, and loses
 * nothing when the descriptor is a full pipe.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"

/* An output that holds more than this is full. */
#define OUTPUT_FULL_BYTES 65536

struct output;

/* Callbacks, called from the loop only. Neither may free the output. */
struct output_events {
        /* Some of the queue has been written, and the output is not full. */
        void (*on_room)(void *arg);
        /* A write or an allocation failed: -errno. Called once; nothing more is written. */
        void (*on_failed)(void *arg, int error);
};

/**
 * output_new() - make a queue in front of a descriptor
 * @fd:  stays the caller's; its O_NONBLOCK is left alone, because other programs may share it
 * @out: set to the output; freed with output_free()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int output_new(struct loop *loop, int fd, struct output **out);

/* Sets the callbacks and their argument; NULL: none. */
void output_set_events(struct output *output, const struct output_events *events, void *arg);

/* Queues bytes. Never blocks and never calls back; a failure is reported by the loop. */
void output_write(struct output *output, const void *data, size_t n);
void output_printf(struct output *output, const char *format, ...) _printf_(2, 3);

/* Whether the queue is so long that the owner should not add to it. */
bool output_is_full(const struct output *output);

/**
 * output_finish() - write the whole queue; blocks
 *
 * For the end of the program, when the loop no longer runs.
 *
 * Return: 0; -ENOMEM; what write(2) failed with, now or earlier.
 */
_must_use_ int output_finish(struct output *output);

/**
 * output_free() - free an output; queued bytes are lost
 * Return: NULL.
 */
struct output *output_free(struct output *output);
