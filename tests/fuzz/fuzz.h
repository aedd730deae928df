/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share. libFuzzer calls the one function of a fuzzer with arbitrary bytes. A
 * finding is what ASan, UBSan or LeakSanitizer report, a MUST() that does not hold, or an input
 * that takes long.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <string.h>

/* Return: 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Ends the process, as a finding, unless the condition holds. */
#define MUST(condition)                                                                  \
        do {                                                                             \
                if (!(condition)) {                                                      \
                        (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                                      #condition);                                       \
                        abort();                                                         \
                }                                                                        \
        } while (0)

/* Return: a copy with nothing behind it, so that reading beyond it is found; the caller's. */
static inline void *copy_bytes(const void *data, size_t n)
{
        void *copy = malloc(n + (n == 0));

        MUST(copy);
        memcpy(copy, data, n);
        return copy;
}

/* Return: the bytes up to the first NUL as a string; the caller's. */
static inline char *copy_text(const uint8_t *data, size_t n)
{
        char *text = strndup((const char *)data, n);

        MUST(text);
        return text;
}
