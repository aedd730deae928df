/* SPDX-License-Identifier: MIT */
/*
 * The mistakes that reading a configuration reports, collected as lines "FILE:LINE: TEXT", with
 * FILE as seen from the test's directory.
 */
#pragma once

#include "unit.h"

#include <ctype.h>

static char mistakes[256 * 1024]; /* as many as fit */
static size_t mistakes_length, n_mistakes;

static inline void forget_mistakes(void)
{
        mistakes[0] = '\0';
        mistakes_length = n_mistakes = 0;
}

static inline void collect_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        size_t prefix = strlen(test_directory), room = sizeof(mistakes) - mistakes_length;
        int n;

        (void)arg;
        for (const char *p = text; *p; p++) /* "…" is the one word that is not ASCII */
                assert_true(isprint((unsigned char)*p) || (unsigned char)*p >= 0x80);
        if (strncmp(file, test_directory, prefix) == 0 && file[prefix] == '/')
                file += prefix + 1;
        n = snprintf(mistakes + mistakes_length, room, "%s:%u: %s\n", file, line, text);
        mistakes_length += (size_t)n < room ? (size_t)n : room - 1;
        n_mistakes++;
}
