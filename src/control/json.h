/* SPDX-License-Identifier: MIT */
/*
 * The decoding rules of the control interface, on top of jansson.
 *
 * Keys are compared without regard to case. A member that is null counts as absent. Unknown keys
 * are ignored. Each reader leaves *@out unchanged if the member is absent, and refuses a member of
 * the wrong type.
 *
 * Thread: any.
 */
#pragma once

#include "refusal.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * json_parse() - read the first value of a body, and ignore the rest
 * @out: set to the value, for the caller to release
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int json_parse(const char *text, size_t n, json_t **out, struct refusal *refusal);

/* Like json_parse(), for a body that must be an object. null counts as an empty object. */
_must_use_ int json_parse_object(const char *text, size_t n, json_t **out, struct refusal *refusal);

/* Replaces null by an empty object. Return: 0; -EINVAL: refused, neither null nor an object. */
_must_use_ int json_make_object(json_t **json, struct refusal *refusal);

/* Return: the last member with this key, which belongs to @object; NULL: there is none. */
json_t *json_member(json_t *object, const char *key);

/* Reads a string, which belongs to @object. */
_must_use_ int json_read_text(json_t *object, const char *key, const char **out,
                              struct refusal *refusal);

_must_use_ int json_read_bool(json_t *object, const char *key, bool *out, struct refusal *refusal);

/* Reads a share from 0 to 1. */
_must_use_ int json_read_share(json_t *object, const char *key, double *out,
                               struct refusal *refusal);

/* Reads a whole number from @min to @max: neither 1.5, nor 1e2, nor "1". */
_must_use_ int json_read_count(json_t *object, const char *key, uint64_t min, uint64_t max,
                               uint64_t *out, struct refusal *refusal);

/* Return: a number, as an integer if it has no fraction; NULL: out of memory. */
json_t *json_share(double value);

/**
 * json_write() - write a value as text without blanks
 * @json: stays the caller's; NULL: a function ran out of memory before
 *
 * Return: the text, for the caller to free; NULL: out of memory.
 */
char *json_write(const json_t *json);
