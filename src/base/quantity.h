/* SPDX-License-Identifier: MIT */
/*
 * Durations and sizes as people write them, and back.
 *
 * A duration is a time span of systemd.time(7): numbers with units, added up ("1min 30s", "1.5s",
 * "200ms"); a number without a unit is seconds. A size is a number of bytes with an optional K, M
 * or G, each 1024 times the one before. Neither takes a sign. Thread: any.
 */
#pragma once

#include "util.h"
#include <stdint.h>

/* The longest text of quantity_format_usec(), with the NUL. */
#define QUANTITY_TEXT_SIZE 64

/**
 * quantity_parse_usec() - read a time span
 * @usec: set to the span in microseconds; fractions of a microsecond are cut off
 *
 * Return: 0; -EINVAL: not a time span; -ERANGE: does not fit into 64 bits.
 */
_must_use_ int quantity_parse_usec(const char *text, uint64_t *usec);

/**
 * quantity_parse_bytes() - read a size
 * @bytes: set to the size in bytes
 *
 * Return: 0; -EINVAL: not a size; -ERANGE: does not fit into 64 bits.
 */
_must_use_ int quantity_parse_bytes(const char *text, uint64_t *bytes);

/**
 * quantity_format_usec() - write a time span: "20 s", "1 min 30 s", "200 ms"
 * @out: at least QUANTITY_TEXT_SIZE bytes
 *
 * Return: @out.
 */
const char *quantity_format_usec(uint64_t usec, char *out);
