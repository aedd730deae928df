/* SPDX-License-Identifier: MIT */
/*
 * Keys whose changes need a restart.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"

/**
 * restart_log_needed() - log which keys of a reloaded configuration need a restart
 * @started:   the configuration that the process was started with
 * @n_workers: the number of workers
 */
void restart_log_needed(const struct config *started, size_t n_workers,
                        const struct config *config);
