/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>

struct output {
        const struct output_events *events;
        void *arg;
        struct event *writable;
        struct evbuffer *queue;
        int fd;
        bool owns_fd;
        ev_ssize_t write_bytes; /* the most that one write takes; -1: no bound */
        int error;              /* 0; -errno of the first failure */
        bool reported;          /* on_failed() was called */
};

static bool is_regular(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/*
 * Opens a pipe or a terminal again, with O_NONBLOCK. On the inherited descriptor the flag would
 * affect all programs that share the open file.
 */
static bool open_again(int fd, int *out)
{
        char path[64];
        struct stat st;

        if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || isatty(fd)))
                return false;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return false;
        *out = fd;
        return true;
}

static void fail(struct output *output, int error)
{
        if (!output->error)
                output->error = error;
        event_active(output->writable, EV_WRITE, 0);
}

/* Return: 0; -EAGAIN: there is no room; what write(2) failed with. */
static int write_some(struct output *output)
{
        if (output->error)
                return output->error;
        while (evbuffer_get_length(output->queue) > 0)
                if (evbuffer_write_atmost(output->queue, output->fd, output->write_bytes) < 0 &&
                    errno != EINTR)
                        return -errno;
                else if (output->write_bytes >= 0)
                        return -EAGAIN; /* another write might block: poll first */
        return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
        struct output *output = arg;
        int r = write_some(output);

        (void)fd;
        (void)what;
        if (r < 0 && r != -EAGAIN)
                output->error = r;
        if (output->error || evbuffer_get_length(output->queue) == 0)
                (void)event_del(output->writable);
        if (!output->events)
                return;
        if (!output->error && !output_is_full(output)) {
                output->events->on_room(output->arg);
        } else if (output->error && !output->reported) {
                output->reported = true;
                output->events->on_failed(output->arg, output->error);
        }
}

int output_new(struct loop *loop, int fd, struct output **out)
{
        struct output *output = calloc(1, sizeof(*output));

        if (!output)
                return -ENOMEM;
        output->fd = fd;
        output->owns_fd = open_again(fd, &output->fd);
        /* A pipe that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)). A terminal
         * of another user cannot be opened again, and may block. */
        output->write_bytes = output->owns_fd || is_regular(fd) ? -1 : PIPE_BUF;
        output->queue = evbuffer_new();
        output->writable =
                event_new(loop_base(loop), output->fd, EV_WRITE | EV_PERSIST, on_writable, output);
        if (!output->queue || !output->writable) {
                output_free(output);
                return -ENOMEM;
        }
        *out = output;
        return 0;
}

void output_set_events(struct output *output, const struct output_events *events, void *arg)
{
        output->events = events;
        output->arg = arg;
}

struct output *output_free(struct output *output)
{
        if (!output)
                return NULL;
        if (output->writable)
                event_free(output->writable);
        if (output->queue)
                evbuffer_free(output->queue);
        if (output->owns_fd)
                (void)close(output->fd);
        free(output);
        return NULL;
}

static bool is_empty(const struct output *output)
{
        return evbuffer_get_length(output->queue) == 0;
}

/*
 * Schedules the queue for writing.
 * @was_empty: the queue, before bytes were added; if not, it is scheduled already
 * @added:     the bytes were added
 */
static void write_soon(struct output *output, bool was_empty, bool added)
{
        if (!added || (was_empty && event_add(output->writable, NULL) < 0))
                fail(output, -ENOMEM);
}

void output_write(struct output *output, const void *data, size_t n)
{
        bool was_empty = is_empty(output);

        if (!output->error)
                write_soon(output, was_empty, evbuffer_add(output->queue, data, n) == 0);
}

void output_printf(struct output *output, const char *format, ...)
{
        bool was_empty = is_empty(output);
        va_list arguments;

        if (output->error)
                return;
        va_start(arguments, format);
        write_soon(output, was_empty, evbuffer_add_vprintf(output->queue, format, arguments) >= 0);
        va_end(arguments);
}

bool output_is_full(const struct output *output)
{
        return evbuffer_get_length(output->queue) > OUTPUT_FULL_BYTES;
}

int output_finish(struct output *output)
{
        struct pollfd room = { .fd = output->fd, .events = POLLOUT };
        int r;

        while ((r = write_some(output)) == -EAGAIN)
                (void)poll(&room, 1, -1);
        return r;
}
