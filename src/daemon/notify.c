/* SPDX-License-Identifier: MIT */
/*
 * Messages to the service manager: datagrams to the socket that NOTIFY_SOCKET names.
 *
 * sd_notify(3) blocks while the socket has no room, and the loop with it: a manager that did not
 * read stopped the daemon after 14 s (measured). So the datagrams are sent here, without blocking.
 * sd_notify(3) documents the protocol and promises that it is stable.
 */
#include "notify.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

/* How long stopping may take after the wait for connections. */
#define STOP_MARGIN_USEC (5 * USEC_PER_SEC)

/* How long to wait for room before the messages are sent again. */
#define RETRY_USEC (100 * USEC_PER_MSEC)

struct notify {
        int fd; /* -1: there is no manager */
        struct sockaddr_un address;
        socklen_t address_length;
        int address_error;  /* -errno if NOTIFY_SOCKET is wrong; 0 */
        struct timer retry; /* set while messages wait for room */

        /* Messages that are to be sent, in this order. */
        bool ready;
        char change[128]; /* that a reload or a stop begins; "": none */
        bool status_changed;
        char status[NOTIFY_STATUS_SIZE];
};

/* Return: 0; -EAFNOSUPPORT: neither a path nor an abstract name; -ENAMETOOLONG. */
static int set_address(struct notify *notify, const char *name)
{
        size_t length = strlen(name);

        if (name[0] != '/' && name[0] != '@')
                return -EAFNOSUPPORT;
        if (length >= sizeof(notify->address.sun_path))
                return -ENAMETOOLONG;
        notify->address.sun_family = AF_UNIX;
        memcpy(notify->address.sun_path, name, length);
        if (name[0] == '@')
                notify->address.sun_path[0] = '\0';
        notify->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        return 0;
}

/* Return: 0; -EAGAIN: there is no room now; other errors of sendto(2). */
_printf_(2, 3) static int send_message(const struct notify *notify, const char *format, ...)
{
        char text[512];
        va_list args;
        ssize_t n;

        if (notify->address_error)
                return notify->address_error;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        do {
                n = sendto(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                           (const struct sockaddr *)&notify->address, notify->address_length);
        } while (n < 0 && errno == EINTR);
        if (n >= 0)
                return 0;
        return errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
}

/* Sends the messages, up to the first failure. Return: as send_message(). */
static int send_all(struct notify *notify)
{
        int r = 0;

        if (notify->ready) {
                r = send_message(notify, "READY=1\nSTATUS=%s", notify->status);
                notify->ready = r < 0;
                notify->status_changed = notify->status_changed && r < 0;
        }
        if (r == 0 && notify->change[0]) {
                r = send_message(notify, "%s", notify->change);
                if (r == 0)
                        notify->change[0] = '\0';
        }
        if (r == 0 && notify->status_changed) {
                r = send_message(notify, "STATUS=%s", notify->status);
                notify->status_changed = r < 0;
        }
        return r;
}

static void forget_all(struct notify *notify)
{
        notify->ready = false;
        notify->change[0] = '\0';
        notify->status_changed = false;
}

/*
 * Sends the messages, and sets a timer if there is no room. After any other error the manager is
 * taken to be gone, and the messages are dropped. Return: as send_message().
 */
static int flush(struct notify *notify)
{
        int r = notify->fd < 0 ? 0 : send_all(notify);

        if (r == -EAGAIN) {
                /* If there is no memory for the timer, the next call tries again. */
                (void)!timer_set(&notify->retry, now_usec() + RETRY_USEC);
                return r;
        }
        timer_stop(&notify->retry);
        forget_all(notify);
        return r;
}

static void on_retry(struct timer *timer)
{
        (void)flush(container_of(timer, struct notify, retry));
}

static void notify_freep(struct notify **notify)
{
        notify_free(*notify);
}

int notify_new(struct loop *loop, struct notify **out)
{
        _cleanup_(notify_freep) struct notify *notify = calloc(1, sizeof(*notify));
        const char *name = getenv("NOTIFY_SOCKET");

        if (!notify)
                return -ENOMEM;
        notify->fd = -1;
        timer_init(&notify->retry, loop_timers(loop), on_retry);
        if (name) {
                notify->address_error = set_address(notify, name);
                notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                if (notify->fd < 0)
                        return -errno;
        }
        *out = notify;
        notify = NULL;
        return 0;
}

struct notify *notify_free(struct notify *notify)
{
        if (!notify)
                return NULL;
        timer_stop(&notify->retry);
        closep(&notify->fd);
        free(notify);
        return NULL;
}

static void set_status(struct notify *notify, const char *status)
{
        (void)snprintf(notify->status, sizeof(notify->status), "%s", status);
        notify->status_changed = true;
}

void notify_ready(struct notify *notify, const char *status)
{
        bool was_sent = !notify->ready;
        int r;

        set_status(notify, status);
        notify->ready = true;
        notify->change[0] = '\0'; /* the reload has ended */
        r = flush(notify);
        if (r == -EAGAIN && was_sent)
                log_write(LOG_NOTIFY_FAILED, NULL,
                          "the service manager takes no messages; READY=1 is sent later");
        else if (r < 0 && r != -EAGAIN)
                log_write(LOG_NOTIFY_FAILED, NULL,
                          "cannot notify the service manager: %s; it may think selectd hangs",
                          strerrordesc_np(-r));
}

void notify_reloading(struct notify *notify)
{
        (void)snprintf(notify->change, sizeof(notify->change),
                       "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", now_usec());
        (void)flush(notify);
}

void notify_stopping(struct notify *notify, uint64_t usec)
{
        (void)snprintf(notify->change, sizeof(notify->change),
                       "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, usec + STOP_MARGIN_USEC);
        (void)flush(notify);
}

void notify_status(struct notify *notify, const char *status)
{
        set_status(notify, status);
        (void)flush(notify);
}

uint64_t notify_watchdog_usec(void)
{
        uint64_t usec;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

void notify_alive(struct notify *notify)
{
        if (flush(notify) == 0 && notify->fd >= 0)
                (void)send_message(notify, "WATCHDOG=1");
}
