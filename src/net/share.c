/* SPDX-License-Identifier: MIT */
#include "share.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/socket.h>

/* Fewer bytes are copied for each destination, because a reference costs more. */
#define REFERENCE_MIN_BYTES 4096

/* A copy of a share for all destinations that have not sent it yet. */
struct share_copy {
        unsigned refs;
        size_t skipped; /* bytes of the share before @data, which no destination needs */
        uint8_t data[];
};

static struct share_copy *share_copy_unref(struct share_copy *copy)
{
        if (copy && --copy->refs == 0)
                free(copy);
        return NULL;
}

void share_deinit(struct share *share)
{
        share->copy = share_copy_unref(share->copy);
        if (share->place == SHARE_PIPE)
                share->pipe = pipe_give(share->pipe);
        share->place = SHARE_TAKEN;
}

/* Sending */

static ssize_t send_bytes(const struct share *share, int fd, int flags)
{
        ssize_t n = TEMP_FAILURE_RETRY(send(fd, share->data, share->n, MSG_NOSIGNAL | flags));

        return n < 0 ? -errno : n;
}

ssize_t share_send(struct share *share, int fd)
{
        ssize_t n;

        if (share->place == SHARE_PIPE)
                return pipe_drain(share->pipe, fd);
        n = send_bytes(share, fd, share->urgent ? MSG_OOB : 0);
        if (n == -EOPNOTSUPP && share->urgent) /* unix sockets on most systems */
                n = send_bytes(share, fd, 0);
        return n == -EAGAIN ? 0 : n;
}

/* Keeping */

/* Makes the copy: of all bytes in memory, or of those that are left in the pipe. */
static int make_copy(struct share *share, size_t sent)
{
        size_t skipped = share->place == SHARE_PIPE ? sent : 0;
        struct share_copy *copy = malloc(sizeof(*copy) + share->n - skipped);
        int r = 0;

        if (!copy)
                return -ENOMEM;
        copy->refs = 1;
        copy->skipped = skipped;
        if (share->place == SHARE_PIPE)
                r = pipe_read(share->pipe, copy->data, share->n - skipped);
        else
                memcpy(copy->data, share->data, share->n);
        share->copy = r < 0 ? share_copy_unref(copy) : copy;
        return r;
}

static void on_copy_sent(const void *data, size_t n, void *arg)
{
        (void)data;
        (void)n;
        share_copy_unref(arg);
}

static int queue_reference(struct share *share, size_t sent, struct evbuffer *queue)
{
        int r = share->copy ? 0 : make_copy(share, sent);

        if (r < 0)
                return r;
        if (evbuffer_add_reference(queue, share->copy->data + sent - share->copy->skipped,
                                   share->n - sent, on_copy_sent, share->copy) < 0)
                return -ENOMEM;
        share->copy->refs++;
        return 0;
}

int share_queue(struct share *share, size_t sent, struct evbuffer *queue)
{
        size_t n = share->n - sent;

        if (share->place == SHARE_MEMORY && n < REFERENCE_MIN_BYTES)
                return evbuffer_add(queue, share->data + sent, n) < 0 ? -ENOMEM : 0;
        return queue_reference(share, sent, queue);
}

struct pipe *share_take_pipe(struct share *share)
{
        struct pipe *pipe;

        if (share->place != SHARE_PIPE || !pipe_is_spare(share->pipe))
                return NULL;
        pipe = share->pipe;
        share->place = SHARE_TAKEN;
        return pipe;
}
