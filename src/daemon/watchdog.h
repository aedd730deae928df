/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: the service manager gets WATCHDOG=1 as long as every worker answers.
 *
 * Thread: main.
 */
#pragma once

#include "notify.h"
#include "workers.h"

/* Embedded in its owner. The members are private. */
struct watchdog {
        struct timer timer; /* the next question to the workers */
        uint64_t usec;      /* the interval between questions */
        struct workers *workers;
        struct notify *notify;
};

/**
 * watchdog_start() - begin to ask the workers, if the service manager has a watchdog
 * @workers: outlive the watchdog; may be started later
 * @notify:  outlives the watchdog
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int watchdog_start(struct watchdog *watchdog, struct loop *loop, struct workers *workers,
                              struct notify *notify);
