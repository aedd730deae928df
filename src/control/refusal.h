/* SPDX-License-Identifier: MIT */
/*
 * Why a request is refused: the status and the words of the answer.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"

#define REFUSAL_WORDS_SIZE 640

/* Plain data. */
struct refusal {
        int status; /* of HTTP */
        char words[REFUSAL_WORDS_SIZE];
};

/**
 * refuse() - write down a refusal; longer words are cut
 * Return: -EINVAL, for the caller to pass on.
 */
_printf_(3, 4) int refuse(struct refusal *refusal, int status, const char *format, ...);

/* Refuses for want of memory. Return: -EINVAL. */
int refuse_no_memory(struct refusal *refusal);
