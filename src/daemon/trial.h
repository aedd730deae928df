/* SPDX-License-Identifier: MIT */
/*
 * A trial: the configuration file is read by a child process first.
 *
 * libconfig 1.5 does not look at what malloc(3) returns, and ends the process on some errors. What
 * it does to the child costs nobody anything.
 *
 * Thread: any; signals must be blocked or harmless there.
 */
#pragma once

#include "util.h"

/* What trial_run() says when the file is not to be read: printable. */
#define TRIAL_WHY_SIZE 256

/**
 * trial_run() - let a child process check a file as "selectd --check" does
 * @path:      the file, absolute
 * @cancel_fd: becomes readable when the trial is to be given up
 * @why:       what the child died of; at least TRIAL_WHY_SIZE bytes
 *
 * Waits for the child, which is dead and reaped afterwards. Its output is thrown away: a file with
 * mistakes can be read, and whoever reads it reports them.
 *
 * Return: 0: the file can be read, or no child can be made here, and nothing is known; -ENOMEM: the
 * child ran out of memory; -ENOEXEC: the child died or hung, @why says how; -ECANCELED.
 */
_must_use_ int trial_run(const char *path, int cancel_fd, char *why);
