/* Notification of the service manager. */
#include "notify.h"
#include "log.h"

#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* What stopping may take beyond the wait for connections. */
#define STOP_MARGIN_USEC (5 * USEC_PER_SEC)

/* Return: 0; what sd_notify(3) fails with. Where there is no manager that is no failure. */
_printf_(1, 2) static int notify(const char *format, ...)
{
        char state[512];
        va_list args;
        int r;

        va_start(args, format);
        (void)vsnprintf(state, sizeof(state), format, args);
        va_end(args);
        r = sd_notify(0, state);
        return r < 0 ? r : 0;
}

void notify_ready(const char *status)
{
        int r = notify("READY=1\nSTATUS=%s", status);

        if (r < 0)
                log_write(LOG_NOTIFY_FAILED, NULL,
                          "cannot notify the service manager: %s; it may think selectd hangs",
                          strerrordesc_np(-r));
}

void notify_reloading(void)
{
        (void)notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading", loop_now_usec());
}

void notify_stopping(uint64_t usec)
{
        (void)notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, usec + STOP_MARGIN_USEC);
}

void notify_status(const char *status)
{
        (void)notify("STATUS=%s", status);
}

uint64_t notify_watchdog_usec(void)
{
        uint64_t usec;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

void notify_alive(void)
{
        (void)notify("WATCHDOG=1");
}
