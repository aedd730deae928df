/* SPDX-License-Identifier: MIT */
/*
 * A count with a limit, shared by threads: how many of something exist at present.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

struct tally;

/**
 * tally_new() - make a tally of zero, with one reference
 * Return: 0; -ENOMEM.
 */
_must_use_ int tally_new(struct tally **out);

/* Return: @tally, with one more reference. */
struct tally *tally_ref(struct tally *tally);

/**
 * tally_unref() - return a reference; the last one frees the tally
 * Return: NULL.
 */
struct tally *tally_unref(struct tally *tally);

/* Adds one, unless there are @max already; 0: no limit. Return: whether one was added. */
bool tally_begin(struct tally *tally, uint64_t max);

/* Takes one off again. */
void tally_end(struct tally *tally);
