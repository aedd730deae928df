/* SPDX-License-Identifier: MIT */
/*
 * Measured on Debian 12 with libevent 2.1.12: a bufferevent reads at most 4 KiB per event and calls
 * FIONREAD before each read, which takes 2.7 CPU-seconds for an echo of one gigabyte. A read event
 * with the 64 KiB scratch buffer takes 0.5. So a bufferevent only holds bytes that wait to be sent.
 *
 * While the queue holds bytes, all further bytes go into the queue, so that order is kept.
 */
#include "stream.h"
#include "counter.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Spliced bytes that the socket has not taken yet. They wait in the pipe that they came through. */
struct rest {
        struct event writable;
        struct pipe *pipe;
};

/* Fewer bytes are copied for each stream, because a reference has its own cost. */
#define SHARE_MIN_BYTES 4096

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

/* The socket has taken @n bytes. */
static void count_sent(struct stream *stream, size_t n)
{
        if (stream->total)
                counter_add(&stream->total->sent, n);
}

/* Handles the result of a read. @n: the number of bytes; 0: the end of the stream; -errno. */
static void stream_on_read(struct stream *stream, const uint8_t *data, ssize_t n)
{
        if (n > 0) {
                stream->in += (uint64_t)n;
                if (stream->total)
                        counter_add(&stream->total->received, (uint64_t)n);
                stream->heavy = n >= HEAVY_BYTES;
                turn_count(loop_current_turn(stream->loop), (size_t)n);
                settle_by_bytes(stream, 0);
                window_update(&stream->window, stream->fd, stream->in);
                stream->events->on_data(stream, data, (size_t)n);
        } else if (n != -EAGAIN) {
                stream_pause(stream);
                stream->ended = true;
                stream->peer_reset |= n == -ECONNRESET;
                if (n == 0)
                        stream->events->on_end(stream);
                else
                        stream->events->on_error(stream, (int)n);
        }
}

/* Return: whether the stream could be spliced. */
static bool stream_splice(struct stream *stream)
{
        struct loop *loop = stream->loop;
        struct pipe *pipe = loop_pipe(loop);
        ssize_t n = pipe ? pipe_fill(pipe, stream->fd) : -ENOMEM;

        /* Zero means the end of the stream, or an urgent byte that comes next (tcp_read_sock()). */
        if (n == 0 || n == -EINVAL || n == -ENOMEM)
                return false;
        stream_on_read(stream, NULL, n);
        loop_empty_pipe(loop); /* of bytes that no stream took */
        return true;
}

/* Receives into the scratch buffer behind @at bytes. */
static ssize_t recv_behind(const struct stream *stream, size_t at, size_t n)
{
        ssize_t got = TEMP_FAILURE_RETRY(recv(stream->fd, loop_scratch(stream->loop) + at, n, 0));

        return got < 0 ? -errno : got;
}

/*
 * Receives up to @read_max bytes. The buffer of a newcomer must be locked in the middle of a large
 * read; then the read goes on, so that nobody sees where that was. It stops in front of an urgent
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

/* Reads up to the urgent byte, at which recv(2) stops, or that byte alone. */
static ssize_t stream_recv_urgent(struct stream *stream)
{
        bool at_mark = sockatmark(stream->fd) > 0;
        ssize_t n = at_mark ? recv_behind(stream, 0, 1) : stream_recv(stream);

        stream->urgent = at_mark && n == 1;
        if (at_mark)
                stream->urgent_ahead = false;
        return n;
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
        ssize_t n;

        if (stream->bulk && !may_be_urgent(stream)) {
                if (stream_splice(stream))
                        return stream->in > before;
                stream->bulk = false;
        }
        n = may_be_urgent(stream) ? stream_recv_urgent(stream) : stream_recv(stream);
        stream_on_read(stream, loop_scratch(stream->loop), n);
        stream->urgent = false;
        return n > 0;
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
        while (stream_read(stream) && stream->bulk && is_reading(stream) && turn_has_room(turn))
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

static void stream_on_queue_written(struct bufferevent *queue, void *arg)
{
        struct stream *stream = arg;

        (void)queue;
        stream->on_drained(stream->drained_arg);
}

static void stream_on_queue_event(struct bufferevent *queue, short what, void *arg)
{
        struct stream *stream = arg;
        int error = EVUTIL_SOCKET_ERROR();

        (void)queue;
        (void)what;
        stream->events->on_error(stream, error ? -error : -EPIPE);
}

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

static void drop_rest(struct stream *stream)
{
        struct rest *rest = stream->rest;

        if (!rest)
                return;
        stream->rest = NULL;
        (void)event_del(&rest->writable);
        loop_give_pipe(stream->loop, rest->pipe);
        free(rest);
}

void stream_deinit(struct stream *stream)
{
        stream_stop(stream);
        drop_rest(stream);
        if (stream->queue)
                bufferevent_free(stream->queue);
        stream->queue = NULL;
        if (stream->watched)
                loop_unwatch(stream->loop, stream->fd);
        stream->watched = false;
        closep(&stream->fd);
        stream->fd = -1;
}

void stream_stop_sending(struct stream *stream)
{
        if (stream->rest)
                (void)event_del(&stream->rest->writable);
        if (!stream->queue)
                return;
        bufferevent_setcb(stream->queue, NULL, NULL, NULL, NULL);
        bufferevent_disable(stream->queue, EV_WRITE);
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
        stream_set_bulk(stream, false);
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

void stream_set_bulk(struct stream *stream, bool bulk)
{
        stream->bulk = bulk;
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

void stream_set_on_drained(struct stream *stream, void (*on_drained)(void *arg), void *arg)
{
        stream->on_drained = on_drained;
        stream->drained_arg = arg;
}

/* A copy of a share for all streams that have not sent it yet. */
struct share_copy {
        unsigned refs;
        size_t skipped; /* bytes of the share before @data, which no stream needs */
        uint8_t data[];
};

static struct share_copy *share_copy_unref(struct share_copy *copy)
{
        if (copy && --copy->refs == 0)
                free(copy);
        return NULL;
}

static void on_copy_sent(const void *data, size_t n, void *arg)
{
        (void)data;
        (void)n;
        share_copy_unref(arg);
}

void share_deinit(struct share *share)
{
        share->copy = share_copy_unref(share->copy);
}

/* Copies a share. If it is in the pipe, its first @sent bytes are gone, and the rest is copied.
 * Return: 0; -ENOMEM; -EIO. */
static int share_keep(struct loop *loop, struct share *share, size_t sent)
{
        size_t skipped = share->data ? 0 : sent;
        struct share_copy *copy;
        int r = 0;

        if (share->copy)
                return 0;
        copy = malloc(sizeof(*copy) + share->n - skipped);
        if (!copy)
                return -ENOMEM;
        copy->refs = 1;
        copy->skipped = skipped;
        if (share->data)
                memcpy(copy->data, share->data, share->n);
        else
                r = pipe_read(loop_pipe(loop), copy->data, share->n - sent);
        if (r < 0)
                copy = share_copy_unref(copy);
        share->copy = copy;
        return r;
}

/* Nothing but sending takes bytes out of the queue. */
static void on_queue_changed(struct evbuffer *queue, const struct evbuffer_cb_info *info, void *arg)
{
        (void)queue;
        count_sent(arg, info->n_deleted);
}

/* Return: 0; -ENOMEM. */
static int make_queue(struct stream *stream)
{
        struct bufferevent *queue = bufferevent_socket_new(loop_base(stream->loop), stream->fd, 0);

        if (!queue)
                return -ENOMEM;
        if (!evbuffer_add_cb(bufferevent_get_output(queue), on_queue_changed, stream)) {
                bufferevent_free(queue);
                return -ENOMEM;
        }
        bufferevent_setcb(queue, NULL, stream_on_queue_written, stream_on_queue_event, stream);
        stream->queue = queue;
        return 0;
}

/* Return: the stream's queue, which is made if necessary; NULL: out of memory. */
static struct evbuffer *stream_get_queue(struct stream *stream)
{
        if (!stream->queue && make_queue(stream) < 0)
                return NULL;
        return bufferevent_get_output(stream->queue);
}

static int stream_queue_reference(struct stream *stream, struct evbuffer *queue,
                                  struct share *share, size_t sent)
{
        int r = share_keep(stream->loop, share, sent);

        if (r < 0)
                return r;
        if (evbuffer_add_reference(queue, share->copy->data + sent - share->copy->skipped,
                                   share->n - sent, on_copy_sent, share->copy) < 0)
                return -ENOMEM;
        share->copy->refs++;
        return 0;
}

static void on_rest_writable(evutil_socket_t fd, short what, void *arg)
{
        struct stream *stream = arg;
        ssize_t n = pipe_drain(stream->rest->pipe, fd);

        (void)what;
        if (n < 0) {
                stream->events->on_error(stream, (int)n);
                return;
        }
        count_sent(stream, (size_t)n);
        if (pipe_held(stream->rest->pipe) > 0)
                return;
        drop_rest(stream);
        stream->on_drained(stream->drained_arg);
}

/* Takes the loop's pipe with its bytes, until the socket has taken them. Return: 0; -ENOMEM;
 * -EMFILE: there is no pipe. */
static int keep_rest(struct stream *stream)
{
        _cleanup_(freep) struct rest *rest = malloc(sizeof(*rest));

        if (!rest)
                return -ENOMEM;
        rest->pipe = loop_take_pipe(stream->loop);
        if (!rest->pipe)
                return -EMFILE;
        event_assign(&rest->writable, loop_base(stream->loop), stream->fd, EV_WRITE | EV_PERSIST,
                     on_rest_writable, stream);
        stream->rest = rest;
        rest = NULL;
        return loop_add_event(&stream->rest->writable);
}

/* Queues all but the first @sent bytes. A few bytes are copied, because a reference costs more. */
static int stream_queue(struct stream *stream, struct share *share, size_t sent)
{
        struct evbuffer *queue;
        size_t n = share->n - sent;
        int r;

        if (!share->data && stream_queued(stream) == 0) {
                r = keep_rest(stream);
                if (r == 0)
                        stream->accepted += n;
                if (r != -EMFILE)
                        return r;
        }
        queue = stream_get_queue(stream);
        r = queue ? 0 : -ENOMEM;
        if (r == 0 && share->data && n < SHARE_MIN_BYTES)
                r = evbuffer_add(queue, share->data + sent, n) < 0 ? -ENOMEM : 0;
        else if (r == 0)
                r = stream_queue_reference(stream, queue, share, sent);
        /* evbuffer_add() does not report that the event could not be added; this does. */
        if (r == 0 && bufferevent_enable(stream->queue, EV_WRITE) < 0)
                r = -ENOMEM;
        if (r == 0)
                stream->accepted += n;
        return r;
}

static ssize_t send_bytes(const struct stream *stream, const struct share *share, int flags)
{
        ssize_t n =
                TEMP_FAILURE_RETRY(send(stream->fd, share->data, share->n, MSG_NOSIGNAL | flags));

        return n < 0 ? -errno : n;
}

/* Sends as much as the socket takes now. Return: the number of bytes; what send(2) fails with. */
static ssize_t send_now(const struct stream *stream, const struct share *share)
{
        ssize_t n;

        if (!share->data)
                return pipe_drain(loop_pipe(stream->loop), stream->fd);
        n = send_bytes(stream, share, share->urgent ? MSG_OOB : 0);
        if (n == -EOPNOTSUPP && share->urgent) /* unix sockets on most systems */
                n = send_bytes(stream, share, 0);
        return n == -EAGAIN ? 0 : n;
}

int stream_send_shared(struct stream *stream, struct share *share)
{
        ssize_t sent = 0;

        settle_by_bytes(stream, share->n);
        if (stream_queued(stream) == 0) {
                sent = send_now(stream, share);
                if (sent < 0)
                        return (int)sent;
        }
        stream->accepted += (uint64_t)sent;
        count_sent(stream, (size_t)sent);
        if ((size_t)sent == share->n)
                return 0;
        return stream_queue(stream, share, (size_t)sent);
}

int stream_send(struct stream *stream, const uint8_t *data, size_t n)
{
        struct share share = { .data = data, .n = n };
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
        return (stream->queue ? evbuffer_get_length(bufferevent_get_output(stream->queue)) : 0) +
               (stream->rest ? pipe_held(stream->rest->pipe) : 0);
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
