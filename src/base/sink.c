/* SPDX-License-Identifier: MIT */
/*
 * A failed write is repeated later with the same bytes, whatever the error: a full disk may get
 * room, a stopped journal may return, and a slow reader may catch up.
 */
#include "sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* the journal's native protocol */

typedef uint32_t length_type; /* precedes each record in the queue */

static void sink_use(struct sink *sink, enum sink_method method, int fd, int owned_fd)
{
        closep(&sink->owned_fd);
        sink->method = method;
        sink->fd = fd;
        sink->owned_fd = owned_fd;
        sink->n_lost = 0;
        sink->error = 0;
        sink->head = sink->tail = sink->sent = 0;
}

void sink_to_stderr(struct sink *sink)
{
        enum sink_method method = SINK_WRITE;
        struct stat st;
        int fd = -1;

        if (fstat(STDERR_FILENO, &st) < 0 || S_ISREG(st.st_mode)) {
                /* A file that is opened again would be overwritten from its beginning. */
        } else if (S_ISSOCK(st.st_mode)) {
                method = SINK_SEND;
        } else {
                fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                method = fd < 0 ? SINK_POLL : SINK_WRITE;
        }
        sink_use(sink, method, fd < 0 ? STDERR_FILENO : fd, fd);
}

int sink_to_journal(struct sink *sink)
{
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        sink_use(sink, SINK_JOURNAL, fd, fd);
        return 0;
}

static ssize_t write_polled(int fd, const void *bytes, size_t length)
{
        struct pollfd ask = { .fd = fd, .events = POLLOUT };

        if (TEMP_FAILURE_RETRY(poll(&ask, 1, 0)) == 0) {
                errno = EAGAIN;
                return -1;
        }
        return write(fd, bytes, length < PIPE_BUF ? length : PIPE_BUF);
}

static ssize_t write_once(const struct sink *sink, const void *bytes, size_t length)
{
        /* The address is given in each call, because the journal may have been restarted. */
        static const struct sockaddr_un journal = { .sun_family = AF_UNIX,
                                                    .sun_path = JOURNAL_SOCKET };

        switch (sink->method) {
        case SINK_POLL:
                return write_polled(sink->fd, bytes, length);
        case SINK_SEND:
                return send(sink->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        case SINK_JOURNAL:
                return sendto(sink->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (const struct sockaddr *)&journal, sizeof(journal));
        case SINK_WRITE:
                break;
        }
        return write(sink->fd, bytes, length);
}

/*
 * Writes @record from byte @sent on.
 *
 * Return: how many bytes of the record have been written. If these are less than @length, the
 * sink's @error says why.
 */
static size_t write_record(struct sink *sink, const uint8_t *record, size_t length, size_t sent)
{
        while (sent < length) {
                ssize_t n = write_once(sink, record + sent, length - sent);

                if (n > 0)
                        sent += (size_t)n;
                else if (n == 0 || errno != EINTR) {
                        sink->error = n == 0 ? EAGAIN : errno;
                        break;
                }
        }
        return sent;
}

/* Whether the record can never be written: it is too large for one datagram. */
static bool is_hopeless(const struct sink *sink)
{
        return sink->error == EMSGSIZE;
}

bool sink_flush(struct sink *sink)
{
        while (sink->head < sink->tail) {
                const uint8_t *record = sink->queue + sink->head + sizeof(length_type);
                length_type length;

                memcpy(&length, sink->queue + sink->head, sizeof(length));
                sink->sent = write_record(sink, record, length, sink->sent);
                if (sink->sent < length && !is_hopeless(sink))
                        return false;
                if (sink->sent < length)
                        sink_lose(sink);
                sink->head += sizeof(length) + length;
                sink->sent = 0;
        }
        sink->head = sink->tail = 0;
        sink->error = 0;
        return true;
}

void sink_lose(struct sink *sink)
{
        if (sink->n_lost++ == 0)
                sink->lost_error = sink->error;
}

/* Return: whether there was room. */
static bool enqueue(struct sink *sink, const uint8_t *record, size_t size)
{
        const length_type length = (length_type)size;
        size_t waiting = sink_waiting(sink);

        if (sizeof(length) + size > SINK_QUEUE_BYTES - waiting)
                return false;
        if (sizeof(length) + size > SINK_QUEUE_BYTES - sink->tail) {
                memmove(sink->queue, sink->queue + sink->head, waiting);
                sink->head = 0;
                sink->tail = waiting;
        }
        memcpy(sink->queue + sink->tail, &length, sizeof(length));
        memcpy(sink->queue + sink->tail + sizeof(length), record, size);
        sink->tail += sizeof(length) + size;
        return true;
}

void sink_put(struct sink *sink, const void *record, size_t length)
{
        size_t sent = 0;

        if (sink_flush(sink)) {
                sent = write_record(sink, record, length, 0);
                if (sent == length)
                        return;
                sink->sent = sent;
        }
        /* The rest of a partly written record always finds room, because the queue is empty. */
        if (is_hopeless(sink) || !enqueue(sink, record, length))
                sink_lose(sink);
}

size_t sink_waiting(const struct sink *sink)
{
        return sink->tail - sink->head;
}

bool sink_has_room(const struct sink *sink)
{
        return sink_waiting(sink) <= SINK_QUEUE_BYTES / 2;
}
