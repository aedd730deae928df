/*
 * What the service manager is told, by sd_notify(3); nothing where there is none.
 *
 * Thread: main. Errors change nothing; that readiness could not be told is logged here.
 */
#pragma once

#include "loop.h"

/* Ready: started, or done with a reload. @status: as for notify_status(). */
void notify_ready(const char *status);

/* A reload begins. */
void notify_reloading(void);

/* The end begins; it may take @usec, which the manager must allow for. */
void notify_stopping(uint64_t usec);

/* One line for people, shown by systemctl status. */
void notify_status(const char *status);

/* How often the manager wants to hear that all is alive (WatchdogSec=); 0: it does not. */
uint64_t notify_watchdog_usec(void);

/* All is alive. */
void notify_alive(void);
