/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration file with its includes, and the origin of each line.
 *
 * libconfig 1.5 can read files itself, but
 *   it ends the process when a read fails or an include names a directory,
 *   it waits forever on a FIFO,
 *   it finds no absolute path once it has been told where relative paths begin,
 *   and it silently cuts integers to 32 bits.
 * So the text is gathered here, without these faults, and handed to libconfig as one string.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <sys/types.h>

/* The deepest nesting of includes. */
#define SOURCE_DEPTH_MAX 10

/* The number of includes. A file that is included twice counts twice. */
#define SOURCE_FILES_MAX 256

/*
 * The number of names in all files. libconfig 1.5 compares each setting of a group with all before
 * it, which takes minutes for 100,000 (measured).
 */
#define SOURCE_NAMES_MAX 10000

/* The size of all files. */
#define SOURCE_BYTES_MAX (4UL * 1024 * 1024)

struct source;

/* A file that was read: the main file, or one for each include. */
struct source_file {
        char *path;
        uid_t owner;
        mode_t mode;
};

/* Called for a mistake at @line, counted from 1, of @file. @text: one printable line. */
typedef void source_mistake_fn(void *arg, const char *file, unsigned line, const char *text);

/**
 * source_read() - gather a file and what it includes
 * @path:    the main file; relative includes are looked up in its directory
 * @mistake: called with @arg for each file that cannot be read, and for the mistake of -EINVAL
 * @out:     set to the text of all files that can be read; freed with source_free()
 *
 * Integers that are too wide for 32 bits get libconfig's suffix L, which keeps their value. A comma
 * or bracket on a line after a string is moved to the end of the string, so that libconfig reports
 * the string's own line.
 *
 * Return: 0, even if some files cannot be read; -EINVAL: a string or a comment does not end, a file
 * holds a NUL byte, or there are more files or names than the limits above; -ENOMEM.
 */
_must_use_ int source_read(const char *path, source_mistake_fn *mistake, void *arg,
                           struct source **out);

/* Return: NULL. */
struct source *source_free(struct source *source);

/* For _cleanup_(). */
static inline void source_freep(struct source **source)
{
        source_free(*source);
}

/* Return: the @n files that were read; they live as long as the source. */
const struct source_file *source_files(const struct source *source, size_t *n);

/* The text, for config_read_string(). */
const char *source_text(const struct source *source);

/*
 * Finds the origin of line @line of the text: line @at of @file. Lines after the last line with a
 * setting count as that line. @file lives as long as the source.
 */
void source_locate(const struct source *source, unsigned line, const char **file, unsigned *at);

/* Finds the text of line @line, which is not NUL-terminated. Return: its length without the blanks
 * around it. */
size_t source_line(const struct source *source, unsigned line, const char **text);
