/* SPDX-License-Identifier: MIT */
/*
 * How many there are of something that several threads begin and end, up to a limit.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

struct tally;

/**
 * tally_new() - make a tally of none, with one reference
 * Return: 0; -ENOMEM.
 */
_must_use_ int tally_new(struct tally **out);

/* Return: @tally, with one more reference. */
struct tally *tally_ref(struct tally *tally);

/**
 * tally_unref() - give a reference back; the last one frees
 * Return: NULL.
 */
struct tally *tally_unref(struct tally *tally);

/* Counts one more. @max: the most there may be; 0: no limit. Return: whether it may begin. */
bool tally_begin(struct tally *tally, uint64_t max);

/* One that could begin has ended. */
void tally_end(struct tally *tally);
