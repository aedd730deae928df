/* SPDX-License-Identifier: MIT */
/*
 * A share: bytes that were read from one socket and are sent to others, in memory or in a pipe.
 *
 * Bytes that a socket does not take at once must be kept for it. Bytes in memory are copied once,
 * however many sockets need the copy. A pipe is handed to the socket as a whole.
 *
 * Thread: the loop's.
 */
#pragma once

#include "pipe.h"
#include "util.h"
#include <stdbool.h>
#include <stdint.h>

struct evbuffer;

enum share_place {
        SHARE_MEMORY, /* at @data */
        SHARE_PIPE,   /* in @pipe, for one destination only */
        SHARE_TAKEN,  /* in a pipe that share_take_pipe() has given away */
};

/* Made by share_of_memory() or share_of_pipe(); the members may be read. */
struct share {
        enum share_place place;
        union {
                const uint8_t *data;
                struct pipe *pipe;
        };
        size_t n;
        bool urgent;             /* one byte, sent as urgent data if the queue is empty */
        struct share_copy *copy; /* NULL: no destination has needed a copy yet */
};

/* @data: stays the caller's, and must be valid until share_deinit(). */
static inline struct share share_of_memory(const uint8_t *data, size_t n)
{
        return (struct share){ .place = SHARE_MEMORY, .data = data, .n = n };
}

/* Takes over a pipe of a pool and all bytes in it. */
static inline struct share share_of_pipe(struct pipe *pipe)
{
        return (struct share){ .place = SHARE_PIPE, .pipe = pipe, .n = pipe_held(pipe) };
}

/* To be called when all destinations have been given the share. Gives back the pipe. The copy stays
 * as long as a queue needs it. */
void share_deinit(struct share *share);

/**
 * share_send() - send as many bytes as a socket takes now
 * Return: the number of bytes; what send(2) or splice(2) fails with, except -EAGAIN.
 */
ssize_t share_send(struct share *share, int fd);

/**
 * share_queue() - append the bytes that share_send() has not sent to a queue
 * @sent: the bytes that share_send() has sent
 *
 * Return: 0; -ENOMEM; -EIO: the bytes cannot be read from the pipe.
 */
_must_use_ int share_queue(struct share *share, size_t sent, struct evbuffer *queue);

/**
 * share_take_pipe() - take the pipe with the bytes that share_send() has not sent
 *
 * Return: the pipe, to be given back with pipe_give(); NULL: the bytes are in memory, or the pool
 * has no other pipe.
 */
struct pipe *share_take_pipe(struct share *share);
