/* Notification of the service manager. */
#include "notify.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* What stopping may take beyond the wait for connections. */
#define STOP_MARGIN_USEC (5 * USEC_PER_SEC)

_printf_(1, 2) static void notify(const char *format, ...)
{
        static bool failed;
        char state[512];
        va_list args;
        int r;

        va_start(args, format);
        (void)vsnprintf(state, sizeof(state), format, args);
        va_end(args);
        r = sd_notify(0, state);
        if (r < 0 && !failed)
                log_write(LOG_NOTIFY_FAILED, NULL,
                          "cannot notify the service manager: %s; it may think selectd hangs",
                          strerrordesc_np(-r));
        failed = r < 0;
}

void notify_ready(const char *status)
{
        notify("READY=1\nSTATUS=%s", status);
}

void notify_reloading(void)
{
        notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", loop_now_usec());
}

void notify_stopping(uint64_t usec)
{
        notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, usec + STOP_MARGIN_USEC);
}

void notify_status(const char *status)
{
        notify("STATUS=%s", status);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        (void)arg;
        notify("WATCHDOG=1");
}

int notify_watchdog(struct loop *loop, struct event **out)
{
        uint64_t period_usec;
        struct event *timer;
        struct timeval half;

        if (sd_watchdog_enabled(0, &period_usec) <= 0) {
                *out = NULL;
                return 0;
        }
        half = loop_timeval(period_usec / 2);
        timer = event_new(loop_base(loop), -1, EV_PERSIST, on_watchdog, NULL);
        if (!timer || event_add(timer, &half) < 0) {
                if (timer)
                        event_free(timer);
                return -ENOMEM;
        }
        *out = timer;
        return 0;
}
