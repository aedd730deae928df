/* SPDX-License-Identifier: MIT */
/*
 * Keys that come into force only when the process is restarted.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"

/**
 * restart_log_needed() - log which keys of a reloaded configuration need a restart
 * @started:   the configuration that the process was started with
 * @n_workers: how many workers there are
 */
void restart_log_needed(const struct config *started, size_t n_workers,
                        const struct config *config);
