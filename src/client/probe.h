/* SPDX-License-Identifier: MIT */
/*
 * The messages that are sent to time round trips: each tells its number, and its content is known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_SIZE_MAX 65536

/* Writes message @number, of @size bytes: the number, and bytes that follow from it. */
void probe_fill(uint8_t *message, size_t size, uint64_t number);

/**
 * probe_recognize() - tell which message this is
 * @size:   1 to PROBE_SIZE_MAX
 * @next:   the number that is expected: a message of less than 8 bytes does not tell its own
 * @number: set to the number
 *
 * Return: whether it is a message as probe_fill() writes it.
 */
bool probe_recognize(const uint8_t *message, size_t size, uint64_t next, uint64_t *number);
