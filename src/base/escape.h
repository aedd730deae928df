/* SPDX-License-Identifier: MIT */
/*
 * Bytes from outside, made safe to print on one line, whatever they hold.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

/* What @n bytes take at most when escaped, with the closing NUL: every byte as \xHH. */
#define ESCAPE_SIZE(n) (4 * (size_t)(n) + 1)

/**
 * escape_bytes() - write @n bytes as printable ASCII
 * @out:   at least ESCAPE_SIZE(@n) bytes; always NUL-terminated
 * @data:  the bytes, of any value
 *
 * Printable characters stand for themselves; the quote, the backslash and \n \r \t are escaped as
 * in C, every other byte is \xHH. Thread: any. Errors: none.
 *
 * Return: the length of what was written, without the NUL.
 */
size_t escape_bytes(char *out, const void *data, size_t n);

/**
 * escape_for_terminal() - write text so that it is readable and cannot control a terminal
 * @out:   at least ESCAPE_SIZE(@n) bytes; always NUL-terminated
 * @text:  in the encoding of the locale (LC_CTYPE), or any other bytes
 *
 * Characters that the locale can print and tabs stand for themselves, and so do quotes and
 * backslashes. Control characters, C1 ones included, and bytes that are no character are escaped as
 * by escape_bytes(). Thread: any. Errors: none.
 *
 * Return: the length of what was written, without the NUL.
 */
size_t escape_for_terminal(char *out, const void *text, size_t n);

#define ESCAPE_PATH_SIZE ESCAPE_SIZE(PATH_MAX)

/**
 * escape_path() - escape the path of a file for a log line, as escape_bytes() does
 * @out: at least ESCAPE_PATH_SIZE bytes; a path longer than PATH_MAX is cut
 *
 * Return: @out.
 */
const char *escape_path(const char *path, char *out);
