/*
 * The stream. Measured on Debian 12, libevent 2.1.12: a bufferevent reads at most 4 KiB an event
 * and asks FIONREAD before each, 2.7 CPU-seconds a gigabyte of echo; a read event of the stream's
 * own with the 64 KiB scratch buffer takes 0.5. So a bufferevent owns only what waits to be sent.
 *
 * While the queue holds bytes nothing is sent past it: order is kept.
 */
#include "stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

static void stream_on_readable(evutil_socket_t fd, short what, void *arg)
{
        struct stream *stream = arg;
        uint8_t *scratch = loop_scratch(stream->loop);
        ssize_t n = recv(fd, scratch, stream->read_max, 0);

        (void)what;
        if (n > 0) {
                stream->in += (uint64_t)n;
                stream->events->on_data(stream, scratch, (size_t)n);
        } else if (n == 0) {
                stream_pause(stream);
                stream->ended = true;
                stream->events->on_end(stream);
        } else if (errno != EAGAIN && errno != EINTR) {
                stream->events->on_error(stream, -errno);
        }
}

/* The socket's pending error, negative; 0: none. Asking clears it. */
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
                return; /* stopped earlier in this turn */
        if (urgent) {
                stream->events->on_exception(stream);
                return;
        }
        /* A hang-up without an error is both ends of stream, and no news. */
        error = stream_take_error(stream);
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
        };
        r = loop_watch(loop, fd, &stream->watch);
        if (r < 0)
                return r;
        event_assign(&stream->read, loop_base(loop), fd, EV_READ | EV_PERSIST, stream_on_readable,
                     stream);
        return 0;
}

void stream_deinit(struct stream *stream)
{
        stream_stop(stream);
        if (stream->queue)
                bufferevent_free(stream->queue);
        stream->queue = NULL;
        closep(&stream->fd);
        stream->fd = -1;
}

void stream_stop(struct stream *stream)
{
        if (!stream->events)
                return;
        stream->events = NULL;
        (void)event_del(&stream->read);
        if (stream->queue) {
                bufferevent_setcb(stream->queue, NULL, NULL, NULL, NULL);
                bufferevent_disable(stream->queue, EV_WRITE);
        }
        loop_unwatch(stream->loop, stream->fd);
}

void stream_set_read_max(struct stream *stream, size_t n)
{
        stream->read_max = (uint32_t)n;
}

void stream_pause(struct stream *stream)
{
        (void)event_del(&stream->read);
}

int stream_resume(struct stream *stream)
{
        if (stream->ended)
                return 0;
        return event_add(&stream->read, NULL) < 0 ? -ENOMEM : 0;
}

void stream_set_on_drained(struct stream *stream, void (*on_drained)(void *arg), void *arg)
{
        stream->on_drained = on_drained;
        stream->drained_arg = arg;
}

static int stream_queue(struct stream *stream, const uint8_t *data, size_t n)
{
        if (!stream->queue) {
                stream->queue = bufferevent_socket_new(loop_base(stream->loop), stream->fd, 0);
                if (!stream->queue)
                        return -ENOMEM;
                bufferevent_setcb(stream->queue, NULL, stream_on_queue_written,
                                  stream_on_queue_event, stream);
        }
        /* bufferevent_write() does not tell when its event could not be added; enabling does. */
        if (bufferevent_write(stream->queue, data, n) < 0 ||
            bufferevent_enable(stream->queue, EV_WRITE) < 0)
                return -ENOMEM;
        stream->accepted += n;
        return 0;
}

int stream_send(struct stream *stream, const uint8_t *data, size_t n)
{
        ssize_t sent = 0;

        if (stream_queued(stream) == 0) {
                sent = send(stream->fd, data, n, MSG_NOSIGNAL);
                if (sent < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (sent < 0)
                        sent = 0;
        }
        stream->accepted += (uint64_t)sent;
        if ((size_t)sent == n)
                return 0;
        return stream_queue(stream, data + sent, n - (size_t)sent);
}

void stream_set_reset(struct stream *stream)
{
        const struct linger none = { .l_onoff = 1 };

        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

size_t stream_queued(const struct stream *stream)
{
        return stream->queue ? evbuffer_get_length(bufferevent_get_output(stream->queue)) : 0;
}

uint64_t stream_sent(const struct stream *stream)
{
        return stream->accepted - stream_queued(stream);
}

int stream_shutdown(struct stream *stream)
{
        return shutdown(stream->fd, SHUT_WR) < 0 ? -errno : 0;
}
