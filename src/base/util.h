/* SPDX-License-Identifier: MIT */
/*
 * Small things that every file uses: attributes, and clean-up of local variables.
 *
 * Conventions of the whole tree: functions return 0 or -errno; an out-parameter is written only on
 * success; a destructor takes NULL and returns NULL; a file descriptor is consumed only on success.
 */
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)      __attribute__((cleanup(f)))
#define _must_use_        __attribute__((warn_unused_result))
#define _printf_(fmt, va) __attribute__((format(printf, fmt, va)))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define ELEMENTS(array)                     (sizeof(array) / sizeof((array)[0]))

#define USEC_PER_SEC  ((uint64_t)1000000)
#define USEC_PER_MSEC ((uint64_t)1000)

/* For _cleanup_(): frees the memory that a local pointer owns. */
static inline void freep(void *p)
{
        free(*(void **)p);
}

/* For _cleanup_(): closes the descriptor that a local variable owns, unless it is -1. */
static inline void closep(const int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

/*
 * Opens /dev/null for each of standard input, output and error that is closed. Otherwise a socket
 * could become descriptor 2 and receive log lines.
 */
static inline void open_standard_fds(void)
{
        int fd = open("/dev/null", O_RDWR);

        while (fd >= 0 && fd <= STDERR_FILENO)
                fd = open("/dev/null", O_RDWR);
        closep(&fd);
}

/* For _cleanup_(): closes the stdio stream that a local variable owns. */
static inline void fclosep(FILE **file)
{
        if (*file)
                (void)fclose(*file);
}
