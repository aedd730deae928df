/* SPDX-License-Identifier: MIT */
/*
 * Files that are read whole. Thread: any.
 */
#pragma once

#include "util.h"
#include <sys/stat.h>

/**
 * file_open() - open a regular file for reading; anything else is refused, and never waited for
 * @fd: set to the descriptor, for the caller to close
 * @st: set to what fstat(2) tells of the file
 *
 * Return: 0; -EISDIR: a directory; -ENOTSUP: some other file that is not regular; what open(2) and
 * fstat(2) fail with.
 */
_must_use_ int file_open(const char *path, int *fd, struct stat *st);

/**
 * file_read() - read a file from its beginning
 * @max:  how many bytes to read at most; a file that grows meanwhile is read up to here
 * @text: set to the bytes, with a NUL behind them, for the caller to free
 * @n:    set to how many there are
 *
 * Return: 0; -ENOMEM; what read(2) fails with.
 */
_must_use_ int file_read(int fd, size_t max, char **text, size_t *n);

/* Return: an error of these functions in words: "not a regular file", "Is a directory". */
const char *file_error(int error);
