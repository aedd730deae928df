/* SPDX-License-Identifier: MIT */
/*
 * Escaping of untrusted bytes, so that they are safe to print on one line.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

/* The most room that @n escaped bytes take: \xHH for each, and the NUL. */
#define ESCAPE_SIZE(n) (4 * (size_t)(n) + 1)

/**
 * escape_bytes() - write @n bytes as printable ASCII
 * @out:   at least ESCAPE_SIZE(@n) bytes; always NUL-terminated
 * @data:  the bytes, of any value
 *
 * Printable characters are copied. The double quote, the backslash and \n \r \t are escaped as in
 * C. Every other byte becomes \xHH. Thread: any. Errors: none.
 *
 * Return: the length of what was written, without the NUL.
 */
size_t escape_bytes(char *out, const void *data, size_t n);

/**
 * escape_for_terminal() - write text that is readable and cannot control a terminal
 * @out:   at least ESCAPE_SIZE(@n) bytes; always NUL-terminated
 * @text:  in the encoding of the locale (LC_CTYPE), or any other bytes
 *
 * Characters that the locale can print are copied, and so are tabs, quotes and backslashes. Control
 * characters, including C1, and bytes that form no character are escaped as in escape_bytes().
 * Thread: any. Errors: none.
 *
 * Return: the length of what was written, without the NUL.
 */
size_t escape_for_terminal(char *out, const void *text, size_t n);

#define ESCAPE_PATH_SIZE ESCAPE_SIZE(PATH_MAX)

/**
 * escape_path() - escape the path of a file for a log line
 * @out: at least ESCAPE_PATH_SIZE bytes; a path longer than PATH_MAX is cut
 *
 * Return: @out.
 */
const char *escape_path(const char *path, char *out);
