/* SPDX-License-Identifier: MIT */
/*
 * An outbox: bytes that wait until a socket takes them, in a bufferevent, or in a pipe if they are
 * spliced.
 *
 * The bufferevent and the pipe are allocated when they are first needed, so that an outbox that is
 * always empty takes none.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include "share.h"

struct bufferevent;
struct outbox;
struct rest;

/* Callbacks. They may stop the outbox, but not free it. */
struct outbox_events {
        /* The socket has taken @n bytes. */
        void (*on_sent)(struct outbox *outbox, size_t n);
        /* The socket has taken all bytes. */
        void (*on_drained)(struct outbox *outbox);
        /* The socket failed: what send(2) or splice(2) fails with. */
        void (*on_error)(struct outbox *outbox, int error);
};

/* Embedded in its owner. The members are private. */
struct outbox {
        struct loop *loop;
        const struct outbox_events *events;
        struct bufferevent *queue; /* NULL: not needed yet */
        struct rest *rest;         /* bytes that wait in a pipe, then @queue is empty; or NULL */
        int fd;
};

/* @fd: stays the caller's. @events: constant. */
void outbox_init(struct outbox *outbox, struct loop *loop, int fd,
                 const struct outbox_events *events);

/* Drops all bytes. To be called before the socket is closed, but not from a callback. */
void outbox_deinit(struct outbox *outbox);

/* Stops sending and ends all callbacks forever. The bytes stay in the outbox. */
void outbox_stop(struct outbox *outbox);

/**
 * outbox_put() - keep all but the first @sent bytes of a share until the socket takes them
 *
 * While the outbox holds bytes, the owner must put all further bytes into it, so that order is
 * kept.
 *
 * Return: 0; -ENOMEM; -EIO: see share_queue(); what else loop_add_event() fails with.
 */
_must_use_ int outbox_put(struct outbox *outbox, struct share *share, size_t sent);

/* Return: the number of bytes that wait. */
size_t outbox_held(const struct outbox *outbox);
