/*
 * What the fuzzers share. Each has one function, which libFuzzer calls with arbitrary bytes; what
 * must not be found is what ASan, UBSan and LeakSanitizer find, what takes long, and what is not as
 * MUST() says.
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
