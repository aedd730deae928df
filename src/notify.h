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

/**
 * notify_watchdog() - tell the manager from now on that the loop turns, if it wants to know
 * @out: set to the timer, to be freed with event_free(); NULL if nobody wants to know
 *
 * Twice in each period that the manager set (WatchdogSec=). Return: 0; -ENOMEM.
 */
_must_use_ int notify_watchdog(struct loop *loop, struct event **out);
