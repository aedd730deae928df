/* SPDX-License-Identifier: MIT */
/*
 * The capacity of the process: descriptors, connections and held bytes.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include <stddef.h>

/**
 * capacity_raise_descriptors() - raise the descriptor limit as far as the system allows
 * @backend: as configured; under "select" the limit stays at FD_SETSIZE, because libevent aborts on
 *           a higher descriptor
 *
 * Return: what sets the limit, for log lines; a literal.
 */
const char *capacity_raise_descriptors(const char *backend);

/**
 * capacity_max_connections() - compute how many connections the descriptor limit allows
 * @n_listeners: listening sockets that are open
 * @n_loops:     event loops of the process
 *
 * Return: that number; 1 if the process needs all descriptors for itself.
 */
size_t capacity_max_connections(const struct config *config, size_t n_listeners, size_t n_loops);

/* Return: how many bytes all connections together may hold; 0: no bound. */
uint64_t capacity_max_held_bytes(const struct config *config);
