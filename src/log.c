/*
 * The log. A line is composed once, on the stack, and leaves in one system call: sendmsg to the
 * journal with its fields, or write to standard error without them.
 *
 * While clients are served it must not block: a reader of the log that hangs would stop them all.
 * What is not taken within a moment is counted. sd_journal_sendv(3) blocks, and there is no asking
 * before whether it would: so records go to the journal's socket from here, in its native protocol,
 * which is a line for each field without a line end in it
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL).
 */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* the journal's native protocol */

/* How long a line waits to be taken, and for how long none does after one that waited in vain. */
#define PATIENCE_MSEC  100
#define IMPATIENCE_SEC 10

#define FIELD      "MESSAGE="
#define STEP_MSEC  10
#define LINE_SIZE  8192
#define FIELD_SIZE 4352 /* a path, and the field's name */
#define FIELDS_MAX 13

static const struct {
        enum log_level level;
        const char *message_id;
} kinds[LOG_KINDS] = {
        [LOG_LISTENING] = { LOG_LEVEL_INFO, "4780c1413c504224a5eedd62258b731f" },
        [LOG_NOT_LISTENING] = { LOG_LEVEL_INFO, "278172c53a5c41ca9244cc920a388c72" },
        [LOG_READY] = { LOG_LEVEL_NOTICE, "6ffac153f92d4f8cbe42ff5311736d4e" },
        [LOG_WAITING] = { LOG_LEVEL_DEBUG, "d201d7f5a2b349e69ce14f1ad2764f4a" },
        [LOG_CONNECTED] = { LOG_LEVEL_INFO, "42e7b09b30584823a62f5cbc13f33fad" },
        [LOG_RECEIVED] = { LOG_LEVEL_DEBUG, "77f61083e9764a949e80595f29791af4" },
        [LOG_SENDING] = { LOG_LEVEL_DEBUG, "efa955fdf3574827b58dc631a67ced1e" },
        [LOG_QUEUE_EMPTY] = { LOG_LEVEL_DEBUG, "645729ea0aa44d71bf587c1725f7b52b" },
        [LOG_EXCEPTION] = { LOG_LEVEL_WARNING, "3b452900101143078fbf9a8debd72531" },
        [LOG_UPSTREAM_REACHED] = { LOG_LEVEL_DEBUG, "b6bb4e5fb2634d5abfcb0fd8fc6f535c" },
        [LOG_UPSTREAM_FAILED] = { LOG_LEVEL_DEBUG, "bf026f69666e4991857912745c285ad7" },
        [LOG_UPSTREAM_DOWN] = { LOG_LEVEL_WARNING, "94cfa0fcad3845ffb3e4682ea8338b64" },
        [LOG_CLOSED] = { LOG_LEVEL_INFO, "fc18fae405cd4418b6312e5889ab93cd" },
        [LOG_IDLE_EXIT] = { LOG_LEVEL_NOTICE, "5d64338aaeed4b769a38c1366c0fee86" },
        [LOG_TURNED_AWAY] = { LOG_LEVEL_WARNING, "e4f905e1e561463c8a5eac7cb246b8dd" },
        [LOG_ACCEPT_PAUSED] = { LOG_LEVEL_WARNING, "e77c4e3cf12d4df7a36f6aa4c4e2073c" },
        [LOG_RELOADED] = { LOG_LEVEL_NOTICE, "8f6083227b394d78a11e57ff0c8ac694" },
        [LOG_RELOAD_FAILED] = { LOG_LEVEL_ERROR, "4cd0d39667f84db185984a5eb9bbc9ee" },
        [LOG_RESTART_NEEDED] = { LOG_LEVEL_WARNING, "13e2c5ece3e7487fbbd007987c7d434a" },
        [LOG_STOPPING] = { LOG_LEVEL_NOTICE, "beec4e40f4fc467984f20149673c34a2" },
        [LOG_STOPPED] = { LOG_LEVEL_NOTICE, "6af54178806d46eeb78f3f6d983c7f83" },
        [LOG_STUCK] = { LOG_LEVEL_ERROR, "eb999085dab843f28022d2509770d3f6" },
        [LOG_CONFIG_INVALID] = { LOG_LEVEL_ERROR, "da8318230e124337b1380d5bb4dd103c" },
        [LOG_CONFIG_PRIVATE] = { LOG_LEVEL_WARNING, "35d4e384f20444d9a22ff3d9def04a5f" },
        [LOG_START_FAILED] = { LOG_LEVEL_ERROR, "e554be2f162f452cb24af3e0b09fd7b2" },
        [LOG_LOST] = { LOG_LEVEL_WARNING, "b300ea727d9345f4a0fc7229d77b1624" },
        [LOG_NOTIFY_FAILED] = { LOG_LEVEL_WARNING, "f37c2c6c7fce4beeae0060d6dd72ea57" },
        [LOG_LIBRARY] = { LOG_LEVEL_WARNING, "bdd76089681b4d9eb0a010dd07cca20c" },
};

static _Atomic enum log_level max_level = LOG_LEVEL_INFO;
static int journal = -1; /* a socket for records; -1: lines go to standard error */
static bool never_waits;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* between asking and writing; of: */
static uint64_t n_lost;

void log_init(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        char own[64];
        struct stat st;

        closep(&journal);
        journal = -1;
        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return;
        (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        if (strcmp(stream, own) == 0)
                journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void log_set_level(enum log_level level)
{
        atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

bool log_wants(enum log_kind kind)
{
        return kinds[kind].level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* The fields of one journal record, each with its line end; their text lives as long as this. */
struct record {
        struct iovec fields[FIELDS_MAX];
        char text[FIELDS_MAX][FIELD_SIZE];
        size_t n;
};

_printf_(2, 3) static void record_add(struct record *r, const char *format, ...)
{
        char *text = r->text[r->n];
        va_list args;
        int length;

        va_start(args, format);
        length = vsnprintf(text, FIELD_SIZE - 1, format, args);
        va_end(args);
        if (length < 0)
                return;
        length = length < FIELD_SIZE - 2 ? length : FIELD_SIZE - 2;
        text[length] = '\n';
        r->fields[r->n++] = (struct iovec){ text, (size_t)length + 1 };
}

static void record_add_about(struct record *r, const struct log_about *about)
{
        if (about->service)
                record_add(r, "SELECTD_SERVICE=%s", about->service);
        if (about->client)
                record_add(r, "SELECTD_CLIENT=%s", about->client);
        if (about->connection)
                record_add(r, "SELECTD_CONNECTION=%" PRIu64, about->connection);
        if (about->ending) {
                record_add(r, "SELECTD_BYTES_IN=%" PRIu64, about->ending->bytes_in);
                record_add(r, "SELECTD_BYTES_OUT=%" PRIu64, about->ending->bytes_out);
                record_add(r, "SELECTD_DURATION_USEC=%" PRIu64, about->ending->duration_usec);
                record_add(r, "SELECTD_REASON=%s", about->ending->reason);
                if (about->ending->fault)
                        record_add(r, "SELECTD_FAULT=%s", about->ending->fault);
        }
        if (about->config_file)
                record_add(r, "CONFIG_FILE=%s", about->config_file);
        if (about->config_line)
                record_add(r, "CONFIG_LINE=%u", about->config_line);
}

/* @message: "MESSAGE=" and @length bytes with the line end. Return: whether it was taken. */
static bool put_to_journal(enum log_kind kind, const struct log_about *about,
                           char *message, /* NOLINT(readability-non-const-parameter): an iovec's */
                           size_t length)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        struct record r;
        struct msghdr header = { .msg_name = &address,
                                 .msg_namelen = sizeof(address),
                                 .msg_iov = r.fields };

        r.n = 1;
        r.fields[0] = (struct iovec){ message, length };
        record_add(&r, "PRIORITY=%d", (int)kinds[kind].level);
        record_add(&r, "MESSAGE_ID=%s", kinds[kind].message_id);
        /* The journal finds out what else it wants to know, but not of a process that has ended. */
        record_add(&r, "SYSLOG_IDENTIFIER=selectd");
        if (about)
                record_add_about(&r, about);
        header.msg_iovlen = r.n;
        return sendmsg(journal, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN;
}

/* @line: of @length bytes with the line end. Return: whether it was taken. */
static bool put_to_stderr(char *line, size_t length)
{
        struct pollfd ask = { .fd = STDERR_FILENO, .events = POLLOUT };

        if (never_waits && poll(&ask, 1, 0) == 0)
                return false;
        /* A pipe that polls writable takes so much at once (pipe(7)). */
        if (never_waits && length > PIPE_BUF) {
                length = PIPE_BUF;
                line[length - 1] = '\n';
        }
        (void)!write(STDERR_FILENO, line, length);
        return true;
}

static time_t now_sec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

/*
 * Writes "MESSAGE=" and @length more, the last of which is the line end. A reader that is only
 * slow, in a flood of lines, is given a moment; one that let it pass is not waited for again soon.
 * Return: whether it was taken.
 */
static bool put(enum log_kind kind, const struct log_about *about, char *message, size_t length)
{
        const size_t head = sizeof(FIELD) - 1;
        static time_t impatient_until;

        for (int waited = 0;; waited += STEP_MSEC) {
                if (journal >= 0 ? put_to_journal(kind, about, message, head + length)
                                 : put_to_stderr(message + head, length))
                        return true;
                if (now_sec() < impatient_until)
                        return false;
                if (waited >= PATIENCE_MSEC) {
                        impatient_until = now_sec() + IMPATIENCE_SEC;
                        return false;
                }
                (void)poll(NULL, 0, STEP_MSEC);
        }
}

/* Says how many lines were lost, before the next one. */
static void put_lost(void)
{
        char message[128];
        int n = snprintf(message, sizeof(message),
                         FIELD "%" PRIu64 " record%s lost: nobody took them from here\n", n_lost,
                         n_lost == 1 ? " was" : "s were");

        if (!log_wants(LOG_LOST) || put(LOG_LOST, NULL, message, (size_t)n - (sizeof(FIELD) - 1)))
                n_lost = 0;
}

void log_write(enum log_kind kind, const struct log_about *about, const char *words, ...)
{
        char buffer[LINE_SIZE], *line = buffer + sizeof(FIELD) - 1;
        size_t room = sizeof(buffer) - sizeof(FIELD), length = 0;
        va_list args;

        if (!log_wants(kind))
                return;

        memcpy(buffer, FIELD, sizeof(FIELD));
        if (about && about->service)
                length += (size_t)snprintf(line, room, "%s: ", about->service);
        if (about && about->client && length < room)
                length += (size_t)snprintf(line + length, room - length, "%s ", about->client);
        if (length < room) {
                va_start(args, words);
                length += (size_t)vsnprintf(line + length, room - length, words, args);
                va_end(args);
        }
        length = length < room ? length : room - 1;
        line[length++] = '\n';

        (void)pthread_mutex_lock(&lock);
        if (n_lost)
                put_lost();
        if (n_lost || !put(kind, about, buffer, length))
                n_lost++;
        (void)pthread_mutex_unlock(&lock);
}

bool log_report_lost(void)
{
        bool none;

        (void)pthread_mutex_lock(&lock);
        if (n_lost)
                put_lost();
        none = n_lost == 0;
        (void)pthread_mutex_unlock(&lock);
        return none;
}

void log_never_wait(void)
{
        never_waits = true;
}
