/* SPDX-License-Identifier: MIT */
/*
 * Common parts of the fuzzers. libFuzzer calls the function of a fuzzer with arbitrary bytes. A
 * finding is a report by ASan, UBSan or LeakSanitizer, a MUST() that fails, or an input that takes
 * long.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <string.h>

/* Return: 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Ends the process with a finding unless the condition holds. */
#define MUST(condition)                                                                  \
        do {                                                                             \
                if (!(condition)) {                                                      \
                        (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                                      #condition);                                       \
                        abort();                                                         \
                }                                                                        \
        } while (0)

/* Return: a copy of the bytes, for the caller to free. ASan finds reads beyond its end. */
static inline void *copy_bytes(const void *data, size_t n)
{
        void *copy = malloc(n + (n == 0));

        MUST(copy);
        memcpy(copy, data, n);
        return copy;
}

/* Return: the bytes up to the first NUL as a string, for the caller to free. */
static inline char *copy_text(const uint8_t *data, size_t n)
{
        char *text = strndup((const char *)data, n);

        MUST(text);
        return text;
}
