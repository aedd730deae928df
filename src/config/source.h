/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration file with its includes, and where each line of it came from.
 *
 * libconfig 1.5 can read files itself, but it ends the process when a read fails or an include
 * names a directory, waits for ever on a FIFO, finds no absolute path once it is told where
 * relative paths begin, and silently cuts integers to 32 bits. So the text is gathered here,
 * without these faults, and handed to libconfig as one string.
 *
 * Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <sys/types.h>

/* Includes may be nested this deep. */
#define SOURCE_DEPTH_MAX 10

/* Includes in all; a file that is included twice counts twice. */
#define SOURCE_FILES_MAX 256

/*
 * Names in all files together: libconfig 1.5 compares each setting of a group with all before it,
 * and takes minutes for 100,000 (measured).
 */
#define SOURCE_NAMES_MAX 10000

/* All files together. A larger text is no configuration. */
#define SOURCE_BYTES_MAX (4UL * 1024 * 1024)

struct source;

/* A file that was read: the first one, or an include, once for each time it is included. */
struct source_file {
        char *path;
        uid_t owner;
        mode_t mode;
};

/* Takes one mistake: the file, the line (from 1), and what is wrong, as one printable line. */
typedef void source_mistake_fn(void *arg, const char *file, unsigned line, const char *text);

/**
 * source_read() - gather a file and what it includes
 * @path:    the file; relative includes are looked up in its directory
 * @mistake: called with @arg for each file that can't be read, and for a mistake of -EINVAL
 * @out:     set to the text of all files that can be read; freed with source_free()
 *
 * Integers too wide for 32 bits get libconfig's suffix L, which keeps their value. A comma or
 * bracket on a line after a string is moved to the line of the string, so that libconfig gives the
 * string its own line.
 *
 * Return: 0, also if files can't be read; -EINVAL: a string or a comment does not end, a file holds
 * a NUL byte, or there are more files or names than the limits above; -ENOMEM.
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

/* Return: the files that were read, @n of them; they live as long as the source. */
const struct source_file *source_files(const struct source *source, size_t *n);

/* The text, for config_read_string(). */
const char *source_text(const struct source *source);

/*
 * Finds where line @line of the text came from. Lines behind the last line with a setting count as
 * that line. @file lives as long as the source.
 */
void source_locate(const struct source *source, unsigned line, const char **file, unsigned *at);

/* Finds the text of that line, not terminated. Return: its length without surrounding space. */
size_t source_line(const struct source *source, unsigned line, const char **text);
