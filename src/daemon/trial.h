/* SPDX-License-Identifier: MIT */
/*
 * A trial: a child process reads the configuration file first.
 *
 * libconfig 1.5 does not check the result of malloc(3), and ends the process on some errors. If it
 * ends the child, selectd goes on.
 *
 * Thread: any; signals must be blocked or harmless there.
 */
#pragma once

#include "util.h"

/* The size of the reason that trial_run() writes to @why; printable. */
#define TRIAL_WHY_SIZE 256

/**
 * trial_run() - let a child process check a file as "selectd --check" does
 * @path:      the file, absolute
 * @cancel_fd: cancels the trial when it becomes readable
 * @why:       set to how the child died; at least TRIAL_WHY_SIZE bytes
 *
 * Waits for the child, which has been reaped afterwards. Its output is discarded: a file with
 * mistakes can be read, and the caller reports them when it reads the file.
 *
 * Return: 0: the file can be read, or no child could be started; -ENOMEM: the child ran out of
 * memory; -ENOEXEC: the child died or hung, see @why; -ECANCELED.
 */
_must_use_ int trial_run(const char *path, int cancel_fd, char *why);
