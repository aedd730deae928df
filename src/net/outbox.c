/* SPDX-License-Identifier: MIT */
#include "outbox.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>

/* Spliced bytes that the socket has not taken: they wait in the pipe. */
struct rest {
        struct event writable;
        struct pipe *pipe;
};

void outbox_init(struct outbox *outbox, struct loop *loop, int fd,
                 const struct outbox_events *events)
{
        *outbox = (struct outbox){ .loop = loop, .events = events, .fd = fd };
}

size_t outbox_held(const struct outbox *outbox)
{
        return (outbox->queue ? evbuffer_get_length(bufferevent_get_output(outbox->queue)) : 0) +
               (outbox->rest ? pipe_held(outbox->rest->pipe) : 0);
}

/* The pipe */

static void drop_rest(struct outbox *outbox)
{
        struct rest *rest = outbox->rest;

        if (!rest)
                return;
        outbox->rest = NULL;
        (void)event_del(&rest->writable);
        pipe_give(rest->pipe);
        free(rest);
}

static void on_rest_writable(evutil_socket_t fd, short what, void *arg)
{
        struct outbox *outbox = arg;
        ssize_t n = pipe_drain(outbox->rest->pipe, fd);

        (void)what;
        if (n < 0) {
                outbox->events->on_error(outbox, (int)n);
                return;
        }
        outbox->events->on_sent(outbox, (size_t)n);
        if (pipe_held(outbox->rest->pipe) > 0)
                return;
        drop_rest(outbox);
        outbox->events->on_drained(outbox);
}

/* Keeps a pipe with its bytes. @pipe: consumed, even on failure. */
static int keep_pipe(struct outbox *outbox, struct pipe *pipe)
{
        struct rest *rest = malloc(sizeof(*rest));

        if (!rest) {
                pipe_give(pipe);
                return -ENOMEM;
        }
        rest->pipe = pipe;
        event_assign(&rest->writable, loop_base(outbox->loop), outbox->fd, EV_WRITE | EV_PERSIST,
                     on_rest_writable, outbox);
        outbox->rest = rest;
        return loop_add_event(&rest->writable);
}

/* The queue */

static void on_queue_written(struct bufferevent *queue, void *arg)
{
        struct outbox *outbox = arg;

        (void)queue;
        outbox->events->on_drained(outbox);
}

static void on_queue_event(struct bufferevent *queue, short what, void *arg)
{
        struct outbox *outbox = arg;
        int error = EVUTIL_SOCKET_ERROR();

        (void)queue;
        (void)what;
        outbox->events->on_error(outbox, error ? -error : -EPIPE);
}

/* Bytes leave the queue only when they have been sent. */
static void on_queue_changed(struct evbuffer *queue, const struct evbuffer_cb_info *info, void *arg)
{
        struct outbox *outbox = arg;

        (void)queue;
        if (info->n_deleted)
                outbox->events->on_sent(outbox, info->n_deleted);
}

/* Return: 0; -ENOMEM. */
static int make_queue(struct outbox *outbox)
{
        struct bufferevent *queue = bufferevent_socket_new(loop_base(outbox->loop), outbox->fd, 0);

        if (!queue)
                return -ENOMEM;
        if (!evbuffer_add_cb(bufferevent_get_output(queue), on_queue_changed, outbox)) {
                bufferevent_free(queue);
                return -ENOMEM;
        }
        bufferevent_setcb(queue, NULL, on_queue_written, on_queue_event, outbox);
        outbox->queue = queue;
        return 0;
}

/* Return: the queue, which is made if necessary; NULL: out of memory. */
static struct evbuffer *get_queue(struct outbox *outbox)
{
        if (!outbox->queue && make_queue(outbox) < 0)
                return NULL;
        return bufferevent_get_output(outbox->queue);
}

static int enqueue(struct outbox *outbox, struct share *share, size_t sent)
{
        struct evbuffer *queue = get_queue(outbox);
        int r = queue ? share_queue(share, sent, queue) : -ENOMEM;

        /* evbuffer_add() does not report that the event could not be added; this does. */
        if (r == 0 && bufferevent_enable(outbox->queue, EV_WRITE) < 0)
                r = -ENOMEM;
        return r;
}

/* Both */

int outbox_put(struct outbox *outbox, struct share *share, size_t sent)
{
        struct pipe *pipe = outbox_held(outbox) == 0 ? share_take_pipe(share) : NULL;

        return pipe ? keep_pipe(outbox, pipe) : enqueue(outbox, share, sent);
}

void outbox_stop(struct outbox *outbox)
{
        if (outbox->rest)
                (void)event_del(&outbox->rest->writable);
        if (!outbox->queue)
                return;
        bufferevent_setcb(outbox->queue, NULL, NULL, NULL, NULL);
        bufferevent_disable(outbox->queue, EV_WRITE);
}

void outbox_deinit(struct outbox *outbox)
{
        drop_rest(outbox);
        if (outbox->queue)
                bufferevent_free(outbox->queue);
        outbox->queue = NULL;
}
