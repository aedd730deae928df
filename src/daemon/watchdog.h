/* SPDX-License-Identifier: MIT */
/*
 * The watchdog of the service manager: it hears of this process for as long as every worker
 * answers.
 *
 * Thread: main.
 */
#pragma once

#include "notify.h"
#include "workers.h"

/* Embedded in its owner; all members are its own. */
struct watchdog {
        struct timer timer; /* ask the workers */
        uint64_t usec;      /* between two questions */
        struct workers *workers;
        struct notify *notify;
};

/**
 * watchdog_start() - begin to ask the workers, if the service manager wants that
 * @workers: may be started later; outlive the watchdog, as @notify does
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int watchdog_start(struct watchdog *watchdog, struct loop *loop, struct workers *workers,
                              struct notify *notify);
