/* SPDX-License-Identifier: MIT */
/*
 * A stream: one connected socket. It is read when bytes arrive, and written at once or when it has
 * room.
 *
 * A stream reads into the loop's scratch buffer or splices into a pipe, and does not keep what it
 * reads. It writes straight to the socket. Bytes that the socket does not take wait in an outbox.
 *
 * Thread: the loop's. Callbacks may call stream_pause() and stream_resume(). stream_deinit() may
 * only be called between two turns; see loop_defer().
 */
#pragma once

#include "outbox.h"
#include "window.h"
#include <event2/event_struct.h>

struct stream;

/*
 * Callbacks. After on_exception the stream must not be used any more.
 *
 * A stream that is made without on_exception carries urgent data: it reads the urgent byte alone at
 * its place in the stream, as an urgent share. The kernel knows only one urgent byte at a time. If
 * another one arrives before it is read, it is read as an ordinary byte. SO_OOBINLINE must have
 * been set on the socket before the first byte could arrive.
 */
struct stream_events {
        /* Bytes arrived, in the scratch buffer or in a pipe. The share is valid during the call. */
        void (*on_data)(struct stream *stream, struct share *share);
        /* The peer has sent its last byte. */
        void (*on_end)(struct stream *stream);
        /* Urgent data arrived. NULL: see above. */
        void (*on_exception)(struct stream *stream);
        /*
         * The socket failed: -ECONNRESET, -ETIMEDOUT, … If stream_has_ended() is false, bytes that
         * arrived before can still be read. Then on_end or a second on_error follows.
         */
        void (*on_error)(struct stream *stream, int error);
        /*
         * The connection lasts or carries much; see newcomer.h. Settings of the socket that did not
         * matter before can be made now. Called at most once. May be NULL.
         */
        void (*on_settled)(struct stream *stream);
};

/* Byte counters of several streams; see counter.h. */
struct stream_bytes {
        uint64_t received, sent;
        uint64_t held; /* bytes held at present for the sockets; see stream_count_held() */
};

/*
 * Embedded in its owner, who may read @loop, @fd and @in, the number of bytes read. The other
 * members are private.
 */
struct stream {
        struct loop *loop;
        const struct stream_events *events;
        struct event read;
        struct outbox outbox; /* the bytes that the socket has not taken */
        struct loop_watch watch;
        struct newcomer newcomer;
        void (*on_drained)(void *arg);
        void *drained_arg;
        uint64_t in, accepted;
        struct stream_bytes *total; /* counts this stream as well; NULL: none */
        uint64_t acknowledged;      /* the bytes sent when all were last found to be acknowledged */
        struct window window;
        uint32_t read_max;
        uint32_t round; /* of turns of the loop; see turn.h */
        int fd;
        bool ended;
        bool peer_reset;     /* the peer has reset the connection */
        bool shut;           /* the end of the stream has been passed on */
        bool heavy;          /* its last read was large; see turn.h */
        bool splicing;       /* it is read with splice(2) */
        bool settled;        /* it is not a newcomer any more */
        bool watched;        /* urgent data and resets are reported at once, by @watch */
        bool carries_urgent; /* see struct stream_events */
        bool urgent_ahead;   /* an urgent byte has arrived and has not been read */
};

/**
 * stream_init() - take over a connected socket
 * @fd:     non-blocking, close-on-exec; consumed on success
 * @events: constant
 *
 * Nothing is read before stream_resume(). While the stream is a newcomer and is not being read, a
 * reset by the peer is reported only when the stream settles.
 *
 * Return: 0; -ENOMEM, -ENOSPC: see loop_watch().
 */
_must_use_ int stream_init(struct stream *stream, struct loop *loop, int fd,
                           const struct stream_events *events);

/* Closes the socket and drops the queue. Not to be called from a callback. A second call has no
 * effect. */
void stream_deinit(struct stream *stream);

/* Ends all callbacks of the stream, at once and forever. */
void stream_stop(struct stream *stream);

/**
 * stream_linger() - stop sending and go on reading, so that sent bytes can arrive
 * @events: the callbacks from now on
 *
 * Closing a socket that has unread bytes resets it, which discards bytes in flight (RFC 1122,
 * 4.2.2.13). So this half-closes the socket, and the peer has time to take all bytes and to end its
 * own stream. Queued bytes are dropped.
 *
 * Return: 0; -ENOTCONN: the peer has left; -ENOMEM.
 */
_must_use_ int stream_linger(struct stream *stream, const struct stream_events *events);

/* Whether stream_stop() has been called. */
bool stream_is_stopped(const struct stream *stream);

/* Stops sending forever. Queued bytes stay in the queue. */
void stream_stop_sending(struct stream *stream);

/* Return: the bytes that have arrived and have not been read. */
size_t stream_unread(const struct stream *stream);

/*
 * Return: the sent bytes that the peer's system has not acknowledged; 0 for a unix socket, where a
 * byte that is sent has arrived. When all bytes are acknowledged, the system is not asked again
 * before more have been sent.
 */
size_t stream_unacknowledged(struct stream *stream);

/* Sets the most that one read takes: 1 to LOOP_SCRATCH_BYTES, which is the value at first. */
void stream_set_read_max(struct stream *stream, size_t n);

/* Bounds the unread bytes in the kernel; see window_init(). At first there is no bound. Not to be
 * called after stream_resume(). */
void stream_set_receive_buffer(struct stream *stream, uint64_t max_bytes);

/* Starts or stops reading with splice(2) into a pipe. A stream that cannot be spliced goes back to
 * the scratch buffer by itself. */
void stream_set_splicing(struct stream *stream, bool on);

/* Whether nothing more can be read: the peer has sent its last byte, or recv(2) has failed. */
bool stream_has_ended(const struct stream *stream);

/* Stops reading, until stream_resume(). */
void stream_pause(struct stream *stream);

/**
 * stream_resume() - read again; has no effect after the end of the stream or stream_stop()
 * Return: 0; -ENOMEM.
 */
_must_use_ int stream_resume(struct stream *stream);

/* From now on @total counts the bytes of the stream as well. It must outlive the stream, and no
 * other thread may write it. */
void stream_set_total(struct stream *stream, struct stream_bytes *total);

/* Updates the count of bytes held for the socket, from @before to @now. */
void stream_count_held(struct stream *stream, uint64_t before, uint64_t now);

/* Sets the callback for an empty queue: the socket has taken all queued bytes. */
void stream_set_on_drained(struct stream *stream, void (*on_drained)(void *arg), void *arg);

/**
 * stream_send() - send as many bytes as the socket takes now, and queue the rest
 *
 * Return: 0; -ENOMEM; what send(2) fails with, except -EAGAIN: the stream must not be used any
 * more.
 */
_must_use_ int stream_send(struct stream *stream, const uint8_t *data, size_t n);

/* Like stream_send(), for bytes that may go to other streams too; see share_deinit(). */
_must_use_ int stream_send_shared(struct stream *stream, struct share *share);

/* Makes the peer see a reset instead of an end of stream when the socket is closed, unless the peer
 * has reset the connection itself. */
void stream_set_reset(struct stream *stream);

/* Return: the bytes in the queue. */
size_t stream_queued(const struct stream *stream);

/* Return: the bytes that the socket has taken so far. */
uint64_t stream_sent(const struct stream *stream);

/**
 * stream_shutdown() - half-close the socket; the queue must be empty
 * Return: 0; -ENOTCONN: the peer has left.
 */
_must_use_ int stream_shutdown(struct stream *stream);
