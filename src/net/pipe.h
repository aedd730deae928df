/* SPDX-License-Identifier: MIT */
/*
 * A pipe of the kernel, through which bytes are spliced from one socket to another.
 *
 * Thread: one at a time.
 */
#pragma once

#include "util.h"
#include <sys/types.h>

struct pipe;

/**
 * pipe_new() - make an empty pipe
 * Return: 0; -ENOMEM; what pipe2(2) fails with: -EMFILE, …
 */
_must_use_ int pipe_new(struct pipe **out);

/**
 * pipe_free() - free a pipe and its content
 * Return: NULL.
 */
struct pipe *pipe_free(struct pipe *pipe);

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
