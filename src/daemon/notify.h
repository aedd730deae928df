/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told (sd_notify(3)); nothing where there is none.
 *
 * No call waits for the manager. What it has no room for now it is told once there is room: that
 * selectd is ready, reloads or stops, and the newest status. Errors change nothing.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"

struct notify;

/**
 * notify_new() - prepare to notify the service manager named by NOTIFY_SOCKET, if there is one
 * @loop: the loop of the caller's thread; outlives the result
 * @out:  set to what the other calls take; freed with notify_free()
 *
 * Return: 0; -ENOMEM; what socket(2) fails with.
 */
_must_use_ int notify_new(struct loop *loop, struct notify **out);

/**
 * notify_free() - free it; what the manager had no room for is not told any more
 * Return: NULL.
 */
struct notify *notify_free(struct notify *notify);

/* Started, or done with a reload. @status: as for notify_status(). A failure is logged. */
void notify_ready(struct notify *notify, const char *status);

/* A reload begins. */
void notify_reloading(struct notify *notify);

/* The end begins; it may take @usec, which the manager must allow for. */
void notify_stopping(struct notify *notify, uint64_t usec);

/* One line for people, shown by systemctl status. Cut at NOTIFY_STATUS_SIZE bytes. */
void notify_status(struct notify *notify, const char *status);

#define NOTIFY_STATUS_SIZE 256

/* How often the manager wants to hear that all is alive (WatchdogSec=); 0: it does not. */
uint64_t notify_watchdog_usec(void);

/* All is alive. Not told later: it would not be true any more. */
void notify_alive(struct notify *notify);
