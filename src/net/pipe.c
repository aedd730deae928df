/* SPDX-License-Identifier: MIT */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>

/* The requested capacity, and the most that one splice(2) takes. */
#define PIPE_BYTES (256 * 1024)

struct pipe {
        struct pipes *pool;
        int in, out;
        size_t held;
};

/* The pool */

static int pipe_new(struct pipes *pool, struct pipe **out)
{
        struct pipe *pipe = malloc(sizeof(*pipe));
        int ends[2];

        if (!pipe)
                return -ENOMEM;
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
                int r = -errno;

                free(pipe);
                return r;
        }
        /* A larger pipe moves more at a time. If the user may not have it, the default size works.
         */
        (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
        *pipe = (struct pipe){ .pool = pool, .in = ends[1], .out = ends[0] };
        *out = pipe;
        return 0;
}

static void pipe_free(struct pipe *pipe)
{
        closep(&pipe->in);
        closep(&pipe->out);
        free(pipe);
}

int pipes_init(struct pipes *pipes, unsigned max)
{
        *pipes = (struct pipes){ .max = max };
        return pipe_new(pipes, &pipes->idle);
}

void pipes_deinit(struct pipes *pipes)
{
        if (pipes->idle)
                pipe_free(pipes->idle);
        pipes->idle = NULL;
}

struct pipe *pipes_take(struct pipes *pipes)
{
        struct pipe *pipe;

        if (pipes->taken == pipes->max || (!pipes->idle && pipe_new(pipes, &pipes->idle) < 0))
                return NULL;
        pipe = pipes->idle;
        pipes->idle = NULL;
        pipes->taken++;
        return pipe;
}

struct pipe *pipe_give(struct pipe *pipe)
{
        struct pipes *pool;

        if (!pipe)
                return NULL;
        pool = pipe->pool;
        pool->taken--;
        if (!pool->idle && pipe->held == 0)
                pool->idle = pipe;
        else
                pipe_free(pipe);
        /* A new pipe is made at once, so that the number of descriptors does not vary. */
        if (!pool->idle)
                (void)!pipe_new(pool, &pool->idle);
        return NULL;
}

bool pipe_is_spare(const struct pipe *pipe)
{
        return pipe->pool->taken < pipe->pool->max;
}

/* One pipe */

ssize_t pipe_fill(struct pipe *pipe, int fd)
{
        ssize_t n = TEMP_FAILURE_RETRY(
                splice(fd, NULL, pipe->in, NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));

        if (n < 0)
                return -errno;
        pipe->held += (size_t)n;
        return n;
}

ssize_t pipe_drain(struct pipe *pipe, int fd)
{
        size_t before = pipe->held;

        while (pipe->held > 0) {
                ssize_t n = TEMP_FAILURE_RETRY(splice(pipe->out, NULL, fd, NULL, pipe->held,
                                                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK));

                /* An error after bytes were moved is reported by the next call. */
                if (n < 0 && errno != EAGAIN && pipe->held == before)
                        return -errno;
                if (n <= 0)
                        break;
                pipe->held -= (size_t)n;
        }
        return (ssize_t)(before - pipe->held);
}

int pipe_read(struct pipe *pipe, uint8_t *out, size_t n)
{
        while (n > 0) {
                ssize_t got = TEMP_FAILURE_RETRY(read(pipe->out, out, n));

                if (got <= 0)
                        return -EIO;
                out += got;
                n -= (size_t)got;
                pipe->held -= (size_t)got;
        }
        return 0;
}

size_t pipe_held(const struct pipe *pipe)
{
        return pipe->held;
}
