/* SPDX-License-Identifier: MIT */
/*
 * A pipe of the system's, through which bulk passes from one socket to another without being
 * copied.
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
 * pipe_free() - free a pipe and what is in it
 * Return: NULL.
 */
struct pipe *pipe_free(struct pipe *pipe);

/**
 * pipe_fill() - move what a socket has received into the pipe, which is empty
 * Return: how many bytes; 0: end of stream; -EAGAIN; -EINVAL: the socket can't be spliced; what
 * else splice(2) fails with.
 */
ssize_t pipe_fill(struct pipe *pipe, int fd);

/**
 * pipe_drain() - move what is in the pipe to a socket, as far as that takes it
 * Return: how many bytes it took; what splice(2) fails with, -EAGAIN excepted.
 */
ssize_t pipe_drain(struct pipe *pipe, int fd);

/* Copies the first @n bytes out of the pipe, which has as many. Return: 0; -EIO: it had not. */
_must_use_ int pipe_read(struct pipe *pipe, uint8_t *out, size_t n);

/* How many bytes are in it. */
size_t pipe_held(const struct pipe *pipe);
