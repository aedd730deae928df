/* SPDX-License-Identifier: MIT */
/*
 * A line is composed once, on the stack, and handed to the sink: with its fields for the journal,
 * without them for standard error.
 *
 * While clients are served, nothing may wait for a reader of the log: a reader that hangs would
 * stop them all. sd_journal_sendv(3) blocks, and there is no way to find out before whether it
 * would. So records are written here, in the journal's native protocol: one line for each field
 * whose value holds no newline (systemd.io/JOURNAL_NATIVE_PROTOCOL).
 */
#include "log.h"
#include "sink.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

/* The interval between retries of queued lines. It doubles while no line can be written. */
#define RETRY_MIN_MSEC 20
#define RETRY_MAX_MSEC 320

/* The interval between retries while log_write() or log_flush() waits, and log_flush()'s patience.
 */
#define STEP_MSEC 10
#define END_MSEC  500

#define FIELD       "MESSAGE="
#define LINE_SIZE   8192
#define FIELD_SIZE  4352 /* a path of PATH_MAX and the field's name */
#define RECORD_SIZE (LINE_SIZE + 5 * FIELD_SIZE)

static const struct {
        enum log_level level;
        const char *message_id;
} kinds[LOG_KINDS] = {
        [LOG_LISTENING] = { LOG_LEVEL_INFO, "4780c1413c504224a5eedd62258b731f" },
        [LOG_NOT_LISTENING] = { LOG_LEVEL_INFO, "278172c53a5c41ca9244cc920a388c72" },
        [LOG_PASSED_DIFFERS] = { LOG_LEVEL_WARNING, "1fbd19f451e94721af2c3ed68e705dc8" },
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
        [LOG_CONTROL_LISTENING] = { LOG_LEVEL_INFO, "3fdecd83df0d4b07979f78c96f4e9fed" },
        [LOG_CONTROL_OPEN] = { LOG_LEVEL_WARNING, "967aed2c9e5d47a1997c77e7b1ae0b37" },
        [LOG_START_FAILED] = { LOG_LEVEL_ERROR, "e554be2f162f452cb24af3e0b09fd7b2" },
        [LOG_LOST] = { LOG_LEVEL_WARNING, "b300ea727d9345f4a0fc7229d77b1624" },
        [LOG_NOTIFY_FAILED] = { LOG_LEVEL_WARNING, "f37c2c6c7fce4beeae0060d6dd72ea57" },
        [LOG_LIBRARY] = { LOG_LEVEL_WARNING, "bdd76089681b4d9eb0a010dd07cca20c" },
};

static _Atomic enum log_level max_level = LOG_LEVEL_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects all below */
static uint8_t queue[SINK_QUEUE_BYTES];
static struct sink sink = SINK_INIT(queue);
static int retry_fd = -1; /* a timerfd; -1: log_write() blocks */
static bool retry_is_set;
static uint64_t n_reported;              /* lost records that have been reported */
static long retry_msec = RETRY_MIN_MSEC; /* the next interval */

/* Whether standard error is the journal's stream. */
static bool is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        char own[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return strcmp(stream, own) == 0;
}

void log_init(void)
{
        if (!is_journal() || sink_to_journal(&sink) < 0)
                sink_to_stderr(&sink);
}

void log_set_level(enum log_level level)
{
        atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

bool log_wants(enum log_kind kind)
{
        return kinds[kind].level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* Composing */

struct record {
        char bytes[RECORD_SIZE]; /* "MESSAGE=", the line, a newline, the journal's other fields */
        size_t line_length, length;
};

/* Adds a field, unless the record has no room for it. */
_printf_(2, 3) static void record_add(struct record *r, const char *format, ...)
{
        char *field = r->bytes + r->length;
        va_list args;
        int length;

        if (r->length + FIELD_SIZE > sizeof(r->bytes))
                return;
        va_start(args, format);
        length = vsnprintf(field, FIELD_SIZE - 1, format, args);
        va_end(args);
        if (length < 0)
                return;
        length = length < FIELD_SIZE - 2 ? length : FIELD_SIZE - 2;
        field[length] = '\n';
        r->length += (size_t)length + 1;
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
                if (about->ending->bytes_lost)
                        record_add(r, "SELECTD_BYTES_LOST=%" PRIu64, about->ending->bytes_lost);
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

/* Adds the fields after MESSAGE. */
static void record_add_fields(struct record *r, enum log_kind kind, const struct log_about *about)
{
        record_add(r, "PRIORITY=%d", (int)kinds[kind].level);
        record_add(r, "MESSAGE_ID=%s", kinds[kind].message_id);
        /* The journal adds the process's name itself, but not when the process has ended. */
        record_add(r, "SYSLOG_IDENTIFIER=selectd");
        if (about)
                record_add_about(r, about);
}

_printf_(3, 0) static void record_begin(struct record *r, const struct log_about *about,
                                        const char *words, va_list args)
{
        char *line = &r->bytes[sizeof(FIELD) - 1];
        size_t room = LINE_SIZE - sizeof(FIELD), length = 0;

        memcpy(r->bytes, FIELD, sizeof(FIELD));
        if (about && about->service)
                length += (size_t)snprintf(line, room, "%s: ", about->service);
        if (about && about->client && length < room)
                length += (size_t)snprintf(line + length, room - length, "%s ", about->client);
        if (length < room)
                length += (size_t)vsnprintf(line + length, room - length, words, args);
        length = length < room ? length : room - 1;
        line[length++] = '\n';
        r->line_length = length;
        r->length = sizeof(FIELD) - 1 + length;
}

static void put(struct record *r, enum log_kind kind, const struct log_about *about)
{
        if (sink.method != SINK_JOURNAL) {
                sink_put(&sink, r->bytes + sizeof(FIELD) - 1, r->line_length);
                return;
        }
        record_add_fields(r, kind, about);
        sink_put(&sink, r->bytes, r->length);
}

/* Writing */

_printf_(2, 3) static void put_line(enum log_kind kind, const char *words, ...)
{
        struct record r;
        va_list args;

        va_start(args, words);
        record_begin(&r, NULL, words, args);
        va_end(args);
        put(&r, kind, NULL);
}

/* Logs how many lines were lost, before another one is accepted. Return: whether one may be. */
static bool put_lost(void)
{
        uint64_t n = sink.n_lost;

        if (n == 0)
                return true;
        (void)sink_flush(&sink);
        if (!sink_has_room(&sink))
                return false;
        n = sink.n_lost;
        n_reported += n;
        sink.n_lost = 0;
        if (log_wants(LOG_LOST))
                put_line(LOG_LOST, "%" PRIu64 " record%s lost: %s", n, n == 1 ? " was" : "s were",
                         sink.lost_error == EAGAIN ? "the reader was too slow"
                                                   : strerrordesc_np(sink.lost_error));
        return true;
}

/* Sets the timer for log_retry(), if a line waits. */
static void set_retry(void)
{
        const struct itimerspec wait = { .it_value.tv_sec = retry_msec / 1000,
                                         .it_value.tv_nsec = retry_msec % 1000 * 1000000 };

        if (retry_is_set || retry_fd < 0 || (sink_waiting(&sink) == 0 && sink.n_lost == 0))
                return;
        retry_is_set = timerfd_settime(retry_fd, 0, &wait, NULL) == 0;
}

/*
 * Before log_set_nonblocking(): waits for a slow reader. It waits in ppoll() with no signal
 * blocked, and not in write(2): signals are blocked until the daemon serves, and must be able to
 * end it here.
 */
static void wait_until_written(void)
{
        const struct timespec step = { .tv_nsec = STEP_MSEC * 1000000L };
        sigset_t none;

        (void)sigemptyset(&none);
        while (!sink_flush(&sink) && sink.error == EAGAIN)
                (void)ppoll(NULL, 0, &step, &none);
}

void log_write(enum log_kind kind, const struct log_about *about, const char *words, ...)
{
        struct record r;
        va_list args;

        if (!log_wants(kind))
                return;
        va_start(args, words);
        record_begin(&r, about, words, args);
        va_end(args);

        (void)pthread_mutex_lock(&lock);
        if (put_lost())
                put(&r, kind, about);
        else
                sink_lose(&sink);
        if (retry_fd < 0)
                wait_until_written();
        set_retry();
        (void)pthread_mutex_unlock(&lock);
}

/* Return: whether the queue is empty now. */
static bool write_waiting(void)
{
        return sink_flush(&sink) && put_lost() && sink_waiting(&sink) == 0;
}

void log_retry(void)
{
        uint64_t expirations;
        size_t waited;

        (void)pthread_mutex_lock(&lock);
        (void)!read(retry_fd, &expirations, sizeof(expirations));
        retry_is_set = false;
        waited = sink_waiting(&sink);
        if (write_waiting() || sink_waiting(&sink) < waited)
                retry_msec = RETRY_MIN_MSEC;
        else if (retry_msec < RETRY_MAX_MSEC)
                retry_msec *= 2;
        set_retry();
        (void)pthread_mutex_unlock(&lock);
}

int log_set_nonblocking(int *out)
{
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

        if (fd < 0)
                return -errno;
        retry_fd = fd;
        *out = fd;
        return 0;
}

void log_flush(void)
{
        (void)pthread_mutex_lock(&lock);
        /* Only EAGAIN means a slow reader. Other errors will not pass in so short a time. */
        for (int waited = 0; waited < END_MSEC; waited += STEP_MSEC) {
                if (write_waiting() || sink.error != EAGAIN)
                        break;
                (void)poll(NULL, 0, STEP_MSEC);
        }
        (void)pthread_mutex_unlock(&lock);
}

uint64_t log_count_lost(void)
{
        uint64_t n;

        (void)pthread_mutex_lock(&lock);
        n = n_reported + sink.n_lost;
        (void)pthread_mutex_unlock(&lock);
        return n;
}
