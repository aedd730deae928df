/* SPDX-License-Identifier: MIT */
/*
 * Measured on Debian 12 with libevent 2.1.12: a bufferevent reads at most 4 KiB per event and calls
 * FIONREAD before each read, which takes 2.7 CPU-seconds for an echo of one gigabyte. A read event
 * with the 64 KiB scratch buffer takes 0.5. So a bufferevent only holds bytes that wait to be sent;
 * see outbox.h.
 */
#include "stream.h"
#include "counter.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* After this many bytes, a stream is not a newcomer any more. */
#define SETTLED_BYTES WINDOW_UNLOCKED_BYTES

/* Makes the settings that matter only for a connection that lasts or carries much. */
static void settle(struct stream *stream)
{
        newcomer_leave(&stream->newcomer);
        stream->settled = true;
        /* A stream that cannot be watched works, only less well. */
        if (!stream->watched)
                stream->watched = loop_watch(stream->loop, stream->fd, &stream->watch) == 0;
        window_lock(&stream->window, stream->fd);
        if (stream->events->on_settled)
                stream->events->on_settled(stream);
}

static void on_settle(struct newcomer *newcomer)
{
        settle(container_of(newcomer, struct stream, newcomer));
}

/* Settles a newcomer that will have carried much with the next @n bytes. */
static void settle_by_bytes(struct stream *stream, size_t n)
{
        if (!stream->settled && stream->events &&
            stream->in + stream->accepted + n >= SETTLED_BYTES)
                settle(stream);
}

/* Counts @n bytes that the socket has taken. */
static void count_sent(struct stream *stream, size_t n)
{
        if (stream->total)
                counter_add(&stream->total->sent, n);
}

static void on_bytes(struct stream *stream, struct share *share)
{
        stream->in += share->n;
        if (stream->total)
                counter_add(&stream->total->received, share->n);
        stream->heavy = share->n >= HEAVY_BYTES;
        turn_count(loop_current_turn(stream->loop), share->n);
        settle_by_bytes(stream, 0);
        window_update(&stream->window, stream->fd, stream->in);
        stream->events->on_data(stream, share);
        share_deinit(share);
}

/* Handles a read without bytes. @error: -errno; 0: the end of the stream. */
static void on_no_bytes(struct stream *stream, int error)
{
        if (error == -EAGAIN)
                return;
        stream_pause(stream);
        stream->ended = true;
        stream->peer_reset |= error == -ECONNRESET;
        if (error == 0)
                stream->events->on_end(stream);
        else
                stream->events->on_error(stream, error);
}

/* Return: whether the stream could be spliced. */
static bool stream_splice(struct stream *stream)
{
        struct pipe *pipe = pipes_take(loop_pipes(stream->loop));
        ssize_t n = pipe ? pipe_fill(pipe, stream->fd) : -ENOMEM;
        struct share share;

        if (n > 0) {
                share = share_of_pipe(pipe);
                on_bytes(stream, &share);
                return true;
        }
        pipe_give(pipe);
        /* Zero means the end of the stream, or an urgent byte that comes next (tcp_read_sock()). */
        if (n == 0 || n == -EINVAL || n == -ENOMEM)
                return false;
        on_no_bytes(stream, (int)n);
        return true;
}

/* Receives into the scratch buffer, from byte @at on. */
static ssize_t recv_behind(const struct stream *stream, size_t at, size_t n)
{
        ssize_t got = TEMP_FAILURE_RETRY(recv(stream->fd, loop_scratch(stream->loop) + at, n, 0));

        return got < 0 ? -errno : got;
}

/*
 * Receives up to @read_max bytes. In the middle of a large read of a newcomer, the receive buffer
 * must be locked. The read then goes on, so that it is not split. It stops in front of an urgent
 * byte, and leaves an error for the next read.
 */
static ssize_t stream_recv(struct stream *stream)
{
        size_t max = stream->read_max;
        ssize_t n, more;

        if (stream->settled || max <= WINDOW_UNLOCKED_BYTES || !window_is_bounded(&stream->window))
                return recv_behind(stream, 0, max);
        n = recv_behind(stream, 0, WINDOW_UNLOCKED_BYTES);
        if (n < WINDOW_UNLOCKED_BYTES)
                return n;
        settle(stream);
        if (stream_unread(stream) == 0 || sockatmark(stream->fd) > 0)
                return n;
        more = recv_behind(stream, WINDOW_UNLOCKED_BYTES, max - WINDOW_UNLOCKED_BYTES);
        return more > 0 ? n + more : n;
}

/* Reads up to the urgent byte, at which recv(2) stops, or that byte alone. @at_mark: set to whether
 * it was that byte. */
static ssize_t stream_recv_urgent(struct stream *stream, bool *at_mark)
{
        *at_mark = sockatmark(stream->fd) > 0;
        if (!*at_mark)
                return stream_recv(stream);
        stream->urgent_ahead = false;
        return recv_behind(stream, 0, 1);
}

/* Whether the next byte may be urgent. Without the watch, any byte may be. */
static bool may_be_urgent(const struct stream *stream)
{
        return stream->urgent_ahead || (stream->carries_urgent && !stream->watched);
}

/* Return: whether bytes were read. */
static bool stream_read(struct stream *stream)
{
        uint64_t before = stream->in;
        struct share share;
        bool urgent = false;
        ssize_t n;

        if (stream->splicing && !may_be_urgent(stream)) {
                if (stream_splice(stream))
                        return stream->in > before;
                stream->splicing = false;
        }
        n = may_be_urgent(stream) ? stream_recv_urgent(stream, &urgent) : stream_recv(stream);
        if (n <= 0) {
                on_no_bytes(stream, (int)n);
                return false;
        }
        share = share_of_memory(loop_scratch(stream->loop), (size_t)n);
        share.urgent = urgent;
        on_bytes(stream, &share);
        return true;
}

static bool is_reading(const struct stream *stream)
{
        return stream->events && event_pending(&stream->read, EV_READ, NULL);
}

static void stream_on_readable(evutil_socket_t fd, short what, void *arg)
{
        struct stream *stream = arg;
        struct turn *turn = loop_current_turn(stream->loop);

        (void)fd;
        (void)what;
        if (stream->heavy && !turn_admits(turn, &stream->round))
                return;
        /* Another read costs less than another turn of the loop. */
        while (stream_read(stream) && stream->splicing && is_reading(stream) && turn_has_room(turn))
                ;
}

/* Takes the socket's pending error. Return: -errno; 0: none. */
static int stream_take_error(const struct stream *stream)
{
        int error = 0;
        socklen_t length = sizeof(error);

        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
                return -errno;
        return -error;
}

static void stream_on_watch(struct loop_watch *watch, bool urgent)
{
        struct stream *stream = container_of(watch, struct stream, watch);
        int error;

        if (!stream->events)
                return; /* the stream is stopped, but not closed yet */
        if (urgent && !stream->carries_urgent) {
                stream->events->on_exception(stream);
                return;
        }
        stream->urgent_ahead |= urgent;
        /* A hang-up without an error is the end of both streams, which needs no action here. */
        error = stream_take_error(stream);
        stream->peer_reset |= error == -ECONNRESET;
        if (error < 0)
                stream->events->on_error(stream, error);
}

static void on_outbox_sent(struct outbox *outbox, size_t n)
{
        count_sent(container_of(outbox, struct stream, outbox), n);
}

static void on_outbox_drained(struct outbox *outbox)
{
        struct stream *stream = container_of(outbox, struct stream, outbox);

        stream->on_drained(stream->drained_arg);
}

static void on_outbox_error(struct outbox *outbox, int error)
{
        struct stream *stream = container_of(outbox, struct stream, outbox);

        stream->events->on_error(stream, error);
}

static const struct outbox_events outbox_events = {
        .on_sent = on_outbox_sent,
        .on_drained = on_outbox_drained,
        .on_error = on_outbox_error,
};

int stream_init(struct stream *stream, struct loop *loop, int fd,
                const struct stream_events *events)
{
        int r;

        *stream = (struct stream){
                .loop = loop,
                .events = events,
                .watch.on_exception = stream_on_watch,
                .read_max = LOOP_SCRATCH_BYTES,
                .fd = fd,
                .carries_urgent = !events->on_exception,
        };
        window_init(&stream->window, 0);
        outbox_init(&stream->outbox, loop, fd, &outbox_events);
        r = newcomer_join(&stream->newcomer, loop_newcomers(loop), on_settle);
        if (r == 0 && !stream->carries_urgent)
                r = loop_watch(loop, fd, &stream->watch);
        if (r < 0) {
                newcomer_leave(&stream->newcomer);
                return r;
        }
        stream->watched = !stream->carries_urgent;
        event_assign(&stream->read, loop_base(loop), fd, EV_READ | EV_PERSIST, stream_on_readable,
                     stream);
        return 0;
}

void stream_deinit(struct stream *stream)
{
        stream_stop(stream);
        outbox_deinit(&stream->outbox);
        if (stream->watched)
                loop_unwatch(stream->loop, stream->fd);
        stream->watched = false;
        closep(&stream->fd);
        stream->fd = -1;
}

void stream_stop_sending(struct stream *stream)
{
        outbox_stop(&stream->outbox);
}

void stream_stop(struct stream *stream)
{
        if (!stream->events)
                return;
        stream->events = NULL;
        newcomer_leave(&stream->newcomer);
        (void)event_del(&stream->read);
        stream_stop_sending(stream);
}

int stream_linger(struct stream *stream, const struct stream_events *events)
{
        int r;

        stream_stop_sending(stream);
        stream_set_read_max(stream, LOOP_SCRATCH_BYTES);
        stream_set_splicing(stream, false);
        stream->events = events;
        r = stream_shutdown(stream);
        return r < 0 ? r : stream_resume(stream);
}

bool stream_is_stopped(const struct stream *stream)
{
        return !stream->events;
}

size_t stream_unread(const struct stream *stream)
{
        int n = 0;

        if (stream->ended || ioctl(stream->fd, SIOCINQ, &n) < 0)
                return 0;
        return (size_t)n;
}

/* Asks SIOCOUTQ, which counts the end of the stream as a byte. For a unix socket it counts memory.
 * The family is asked last, because the count is mostly 0. */
static size_t count_unacknowledged(const struct stream *stream)
{
        int domain = AF_UNIX, n = 0;
        socklen_t length = sizeof(domain);

        if (ioctl(stream->fd, SIOCOUTQ, &n) < 0 || n <= stream->shut)
                return 0;
        (void)getsockopt(stream->fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
        return domain == AF_UNIX ? 0 : (size_t)(n - stream->shut);
}

size_t stream_unacknowledged(struct stream *stream)
{
        uint64_t sent = stream_sent(stream);
        size_t n = stream->acknowledged == sent ? 0 : count_unacknowledged(stream);

        if (n == 0)
                stream->acknowledged = sent;
        return n;
}

void stream_set_read_max(struct stream *stream, size_t n)
{
        stream->read_max = (uint32_t)n;
}

void stream_set_receive_buffer(struct stream *stream, uint64_t max_bytes)
{
        window_init(&stream->window, max_bytes);
}

void stream_set_splicing(struct stream *stream, bool on)
{
        stream->splicing = on;
}

bool stream_has_ended(const struct stream *stream)
{
        return stream->ended;
}

void stream_pause(struct stream *stream)
{
        (void)event_del(&stream->read);
}

int stream_resume(struct stream *stream)
{
        if (stream->ended || !stream->events)
                return 0;
        return loop_add_event(&stream->read);
}

void stream_set_total(struct stream *stream, struct stream_bytes *total)
{
        stream->total = total;
}

void stream_count_held(struct stream *stream, uint64_t before, uint64_t now)
{
        if (stream->total && now != before) /* unsigned addition wraps */
                counter_add(&stream->total->held, now - before);
}

void stream_set_on_drained(struct stream *stream, void (*on_drained)(void *arg), void *arg)
{
        stream->on_drained = on_drained;
        stream->drained_arg = arg;
}

int stream_send_shared(struct stream *stream, struct share *share)
{
        ssize_t sent = 0;
        int r = 0;

        settle_by_bytes(stream, share->n);
        if (stream_queued(stream) == 0)
                sent = share_send(share, stream->fd);
        if (sent < 0)
                return (int)sent;
        stream->accepted += (uint64_t)sent;
        count_sent(stream, (size_t)sent);
        if ((size_t)sent < share->n)
                r = outbox_put(&stream->outbox, share, (size_t)sent);
        if (r == 0)
                stream->accepted += share->n - (size_t)sent;
        return r;
}

int stream_send(struct stream *stream, const uint8_t *data, size_t n)
{
        struct share share = share_of_memory(data, n);
        int r = stream_send_shared(stream, &share);

        share_deinit(&share);
        return r;
}

void stream_set_reset(struct stream *stream)
{
        const struct linger none = { .l_onoff = 1 };

        if (stream->peer_reset)
                return;
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

size_t stream_queued(const struct stream *stream)
{
        return outbox_held(&stream->outbox);
}

uint64_t stream_sent(const struct stream *stream)
{
        return stream->accepted - stream_queued(stream);
}

int stream_shutdown(struct stream *stream)
{
        stream->shut = true;
        return shutdown(stream->fd, SHUT_WR) < 0 ? -errno : 0;
}
