/* SPDX-License-Identifier: MIT */
/*
 * One connected socket: read as bytes come, written at once or as soon as it takes them.
 *
 * Reading goes through the loop's scratch buffer, writing straight to the socket; what the socket
 * does not take waits in a bufferevent, which is made when first needed, so that an idle stream and
 * one whose peer keeps up never pay for it; bulk that is spliced waits in its pipe. A stream never
 * buffers what it reads.
 *
 * Thread: the loop's. Callbacks may call stream_pause() and stream_resume(), but stream_deinit()
 * only between two turns (see loop_defer()).
 */
#pragma once

#include "loop.h"
#include "window.h"
#include <event2/event_struct.h>

struct stream;

/*
 * What the stream's owner is told. After on_exception the stream is of no more use.
 *
 * A stream whose events have no on_exception when it is made carries urgent data: the urgent byte
 * is read in its place in the stream, alone, with @urgent set. The kernel knows one urgent byte at
 * a time: when another one arrives before it was read, it is read as an ordinary byte. The socket
 * must have had SO_OOBINLINE set before the first byte could arrive.
 */
struct stream_events {
        /* @n bytes arrived; @data is the scratch buffer; NULL: they are in the loop's pipe. */
        void (*on_data)(struct stream *stream, const uint8_t *data, size_t n);
        /* The peer has sent its last byte. */
        void (*on_end)(struct stream *stream);
        /* Urgent data arrived; NULL: see above. */
        void (*on_exception)(struct stream *stream);
        /*
         * The socket failed: -ECONNRESET, -ETIMEDOUT, … When stream_has_ended() is false, bytes
         * that arrived before may still be read; then on_end or a second on_error follows.
         */
        void (*on_error)(struct stream *stream, int error);
        /*
         * The connection lasts or carries much; see newcomer.h. Now is the time for settings of the
         * socket that do not matter before. Called once at most; NULL: not needed.
         */
        void (*on_settled)(struct stream *stream);
};

/*
 * Embedded in its owner, who may read @loop, @fd, @urgent and @in, the count of bytes read; all
 * else is the stream's own.
 */
struct stream {
        struct loop *loop;
        const struct stream_events *events;
        struct event read;
        struct bufferevent *queue; /* NULL until the socket first refused bytes */
        struct rest *rest;         /* of bulk that it refused; NULL: none; then @queue is empty */
        struct loop_watch watch;
        struct newcomer newcomer;
        void (*on_drained)(void *arg);
        void *drained_arg;
        uint64_t in, accepted;
        uint64_t acknowledged; /* bytes sent when all of them were last found acknowledged */
        struct window window;
        uint32_t read_max;
        uint32_t round; /* of turns of the loop; see turn.h */
        int fd;
        bool ended;
        bool peer_reset;     /* the peer has reset the connection */
        bool shut;           /* the end of the stream has been passed on */
        bool heavy;          /* its last read brought much; see turn.h */
        bool bulk;           /* is read by splice */
        bool settled;        /* it is no newcomer any more */
        bool watched;        /* urgent data and resets are reported at once, by @watch */
        bool carries_urgent; /* see struct stream_events */
        bool urgent_ahead;   /* an urgent byte has arrived, and was not read yet */
        bool urgent;         /* it is what on_data is told of now */
};

/* Bytes to send, to one stream or to several: what their sockets do not take is copied only once.
 */
struct share {
        const uint8_t *data; /* NULL: in the loop's pipe, which has room for one destination */
        size_t n;
        bool urgent;             /* it is one byte, sent as urgent data if nothing is queued */
        struct share_copy *copy; /* NULL until some stream must keep them */
};

/**
 * stream_init() - take over a connected socket
 * @fd:     non-blocking, close-on-exec; consumed on success
 * @events: constant
 *
 * Nothing is read before stream_resume(). While the stream is a newcomer and is not being read, a
 * reset by the peer is reported late: when it settles.
 *
 * Return: 0; -ENOMEM, -ENOSPC: see loop_watch().
 */
_must_use_ int stream_init(struct stream *stream, struct loop *loop, int fd,
                           const struct stream_events *events);

/* Closes the socket and drops the queue. Not from within a callback; a second call does nothing. */
void stream_deinit(struct stream *stream);

/* Ends all callbacks of the stream, at once and for good. */
void stream_stop(struct stream *stream);

/**
 * stream_linger() - send no more, and read on, so that what has been sent can arrive
 * @events: are told from now on
 *
 * To close a socket with something in it that has not been read resets it, and throws away what is
 * still on its way (RFC 1122, 4.2.2.13): so the end of the stream is passed on, and the peer is
 * given the time to take all and to end its own. What was queued is dropped.
 *
 * Return: 0; -ENOTCONN: the peer is gone; -ENOMEM.
 */
_must_use_ int stream_linger(struct stream *stream, const struct stream_events *events);

/* Whether stream_stop() has been called. */
bool stream_is_stopped(const struct stream *stream);

/* Stops sending, for good: what is queued stays there and is never sent. */
void stream_stop_sending(struct stream *stream);

/* Bytes that have arrived and that nobody has read. */
size_t stream_unread(const struct stream *stream);

/*
 * Bytes sent that the peer's system has not acknowledged; 0 for a unix socket, where a byte that is
 * sent has arrived. Once all bytes are acknowledged, the system is asked again only after more have
 * been sent.
 */
size_t stream_unacknowledged(struct stream *stream);

/* The most one read takes: 1 to LOOP_SCRATCH_BYTES, which is what it is to begin with. */
void stream_set_read_max(struct stream *stream, size_t n);

/* Bounds what the kernel keeps of what has arrived; see window_init(). Not bounded to begin with.
 * Not after stream_resume(). */
void stream_set_receive_buffer(struct stream *stream, uint64_t max_bytes);

/* From now on bytes are moved into the loop's pipe, not read into its scratch buffer; or no longer.
 * A stream that can't be spliced falls back by itself. */
void stream_set_bulk(struct stream *stream, bool bulk);

/* Whether nothing more can be read: the peer has sent its last byte, or recv(2) has failed. */
bool stream_has_ended(const struct stream *stream);

/* Stops reading, until stream_resume(). */
void stream_pause(struct stream *stream);

/**
 * stream_resume() - read on; nothing happens after the end of the stream, or once it is stopped
 * Return: 0; -ENOMEM.
 */
_must_use_ int stream_resume(struct stream *stream);

/* Who is told, with @arg, that all that was queued has gone to the socket. */
void stream_set_on_drained(struct stream *stream, void (*on_drained)(void *arg), void *arg);

/**
 * stream_send() - send now what the socket takes, queue the rest
 *
 * Return: 0; -ENOMEM; what send(2) fails with, -EAGAIN excepted: the stream is of no more use.
 */
_must_use_ int stream_send(struct stream *stream, const uint8_t *data, size_t n);

/* The same, for bytes that may go to other streams too; share_deinit() after the last of them. */
_must_use_ int stream_send_shared(struct stream *stream, struct share *share);

/* The share is over; streams keep the copy for as long as they need it. */
void share_deinit(struct share *share);

/* Lets the peer see a reset when the socket is closed, not an end of stream, unless the peer itself
 * has reset the connection. */
void stream_set_reset(struct stream *stream);

/* Bytes in the queue. */
size_t stream_queued(const struct stream *stream);

/* Bytes the socket has taken so far. */
uint64_t stream_sent(const struct stream *stream);

/**
 * stream_shutdown() - pass on the end of the stream; the queue must be empty
 * Return: 0; -ENOTCONN: the peer is gone.
 */
_must_use_ int stream_shutdown(struct stream *stream);
