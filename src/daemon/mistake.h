/* SPDX-License-Identifier: MIT */
/*
 * Log lines about mistakes in a configuration file.
 *
 * Thread: any.
 */
#pragma once

/* Logs one mistake. A config_mistake_fn; @arg is not used. */
void mistake_log(void *arg, const char *file, unsigned line, const char *text);
