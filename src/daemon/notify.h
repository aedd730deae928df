/* SPDX-License-Identifier: MIT */
/*
 * Messages to the service manager (sd_notify(3)). Without a manager the calls do nothing.
 *
 * No call waits for the manager. While its socket has no room, the messages that selectd is ready,
 * reloads or stops, and the newest status, wait here and are sent later. Errors change nothing.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"

struct notify;

/**
 * notify_new() - prepare to notify the service manager named by NOTIFY_SOCKET, if there is one
 * @loop: the loop of the caller's thread; outlives the result
 * @out:  set to the object for the other calls; freed with notify_free()
 *
 * Return: 0; -ENOMEM; what socket(2) fails with.
 */
_must_use_ int notify_new(struct loop *loop, struct notify **out);

/**
 * notify_free() - free the object, with the messages that wait
 * Return: NULL.
 */
struct notify *notify_free(struct notify *notify);

/* Says that selectd has started or reloaded. @status: see notify_status(). A failure is logged. */
void notify_ready(struct notify *notify, const char *status);

/* Says that a reload begins. */
void notify_reloading(struct notify *notify);

/* Says that selectd is stopping, and asks the manager to wait @usec for that. */
void notify_stopping(struct notify *notify, uint64_t usec);

/* Sends the line that "systemctl status" shows. Cut at NOTIFY_STATUS_SIZE bytes. */
void notify_status(struct notify *notify, const char *status);

#define NOTIFY_STATUS_SIZE 256

/* Return: how often the manager expects notify_alive() (WatchdogSec=); 0: never. */
uint64_t notify_watchdog_usec(void);

/* Says that selectd is alive. This message never waits, because it could be false later. */
void notify_alive(struct notify *notify);
