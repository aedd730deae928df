/* SPDX-License-Identifier: MIT */
/*
 * The decoding rules of the control interface, on top of jansson.
 *
 * The letters of a key may be upper or lower case. A member that is null counts as absent, and so
 * does a key that nobody asks for. Each reader leaves *@out as it is when the member is absent, and
 * refuses a member of the wrong type.
 *
 * Thread: any.
 */
#pragma once

#include "refusal.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * json_parse() - read the first value of a body; what follows it is ignored
 * @out: set to the value; the caller's
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int json_parse(const char *text, size_t n, json_t **out, struct refusal *refusal);

/* As json_parse(), for a body that must be an object, or null, which counts as an empty one. */
_must_use_ int json_parse_object(const char *text, size_t n, json_t **out, struct refusal *refusal);

/* Return: the last member of that name, which belongs to @object; NULL: there is none. */
json_t *json_member(json_t *object, const char *key);

/* A string, which belongs to @object. */
_must_use_ int json_read_text(json_t *object, const char *key, const char **out,
                              struct refusal *refusal);

_must_use_ int json_read_bool(json_t *object, const char *key, bool *out, struct refusal *refusal);

/* A share from 0 to 1. */
_must_use_ int json_read_share(json_t *object, const char *key, double *out,
                               struct refusal *refusal);

/* A whole number from @min to @max: neither 1.5, nor 1e2, nor "1". */
_must_use_ int json_read_count(json_t *object, const char *key, uint64_t min, uint64_t max,
                               uint64_t *out, struct refusal *refusal);

/* Return: a number that is written without a fraction where it has none; NULL: out of memory. */
json_t *json_share(double value);

/**
 * json_write() - write a value as text without blanks
 * @json: the caller's; NULL, from a function that ran out of memory, is passed on as NULL
 *
 * Return: the text, to be freed; NULL: out of memory.
 */
char *json_write(const json_t *json);
