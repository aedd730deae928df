/* SPDX-License-Identifier: MIT */
/*
 * Reading of whole files. Thread: any.
 */
#pragma once

#include "util.h"
#include <sys/stat.h>

/**
 * file_open() - open a regular file for reading
 * @fd: set to the descriptor, for the caller to close
 * @st: set to the result of fstat(2)
 *
 * Never waits for the other end of a FIFO.
 *
 * Return: 0; -EISDIR: a directory; -ENOTSUP: another file that is not regular; what open(2) and
 * fstat(2) fail with.
 */
_must_use_ int file_open(const char *path, int *fd, struct stat *st);

/**
 * file_read() - read a file from its beginning
 * @max:  the most bytes to read; the rest of a longer file is ignored
 * @text: set to the bytes and a NUL, for the caller to free
 * @n:    set to the number of bytes without the NUL
 *
 * Return: 0; -ENOMEM; what read(2) fails with.
 */
_must_use_ int file_read(int fd, size_t max, char **text, size_t *n);

/* Return: the text for an error of these functions, such as "not a regular file". */
const char *file_error(int error);
