/* SPDX-License-Identifier: MIT */
/*
 * A pipe of the kernel, through which bytes are spliced from one socket to another, and a pool of
 * pipes.
 *
 * A pipe is taken from the pool for one read. It is given back when the destination has taken all
 * bytes; until then the destination keeps it.
 *
 * Thread: one at a time.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <sys/types.h>

struct pipe;

/* A pool. Embedded in its owner. The members are private. */
struct pipes {
        struct pipe *idle; /* NULL: it was taken, or could not be made */
        unsigned taken, max;
};

/**
 * pipes_init() - make a pool with one pipe
 * @max: the most pipes that may be taken at once
 *
 * Return: 0; -ENOMEM; what pipe2(2) fails with: -EMFILE, …
 */
_must_use_ int pipes_init(struct pipes *pipes, unsigned max);

/* Frees the pool; all pipes must have been given back. Has no effect on a pool that is all zero. */
void pipes_deinit(struct pipes *pipes);

/* Return: an empty pipe, taken from the pool; NULL: all are taken, or none can be made now. */
struct pipe *pipes_take(struct pipes *pipes);

/**
 * pipe_give() - give a pipe back to its pool, and discard its content
 * @pipe: may be NULL
 *
 * Return: NULL.
 */
struct pipe *pipe_give(struct pipe *pipe);

/* Whether the pool of a taken pipe has another pipe to take. */
bool pipe_is_spare(const struct pipe *pipe);

/**
 * pipe_fill() - move bytes that a socket has received into an empty pipe
 * Return: the number of bytes; 0: end of stream; -EAGAIN; -EINVAL: the socket cannot be spliced;
 * what else splice(2) fails with.
 */
ssize_t pipe_fill(struct pipe *pipe, int fd);

/**
 * pipe_drain() - move bytes from the pipe to a socket, as many as the socket takes
 * Return: the number of bytes; what splice(2) fails with, except -EAGAIN.
 */
ssize_t pipe_drain(struct pipe *pipe, int fd);

/* Takes the first @n bytes out of the pipe. Return: 0; -EIO: there were not so many. */
_must_use_ int pipe_read(struct pipe *pipe, uint8_t *out, size_t n);

/* Return: the number of bytes in the pipe. */
size_t pipe_held(const struct pipe *pipe);
