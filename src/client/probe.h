/* SPDX-License-Identifier: MIT */
/*
 * Probes: messages with a number and a known content, for timing round trips.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_SIZE_MAX 65536

/* Writes message @number in @size bytes. The content follows from the number. */
void probe_fill(uint8_t *message, size_t size, uint64_t number);

/**
 * probe_recognize() - find the number of a message
 * @size:   1 to PROBE_SIZE_MAX
 * @next:   the number that is expected; needed because less than 8 bytes do not hold a number
 * @number: set to the number
 *
 * Return: whether the message is one that probe_fill() wrote.
 */
bool probe_recognize(const uint8_t *message, size_t size, uint64_t next, uint64_t *number);
