/* SPDX-License-Identifier: MIT */
/*
 * A refusal: the status and the text of the answer to a request that is refused.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"

#define REFUSAL_WORDS_SIZE 1200

/* Plain data. */
struct refusal {
        int status; /* the HTTP status */
        char words[REFUSAL_WORDS_SIZE];
};

/**
 * refuse() - set a refusal; a longer text is cut
 * Return: -EINVAL, for the caller to pass on.
 */
_printf_(3, 4) int refuse(struct refusal *refusal, int status, const char *format, ...);

/* Refuses because memory is short. Return: -EINVAL. */
int refuse_no_memory(struct refusal *refusal);
