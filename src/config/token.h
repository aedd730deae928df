/* SPDX-License-Identifier: MIT */
/*
 * Tokens of libconfig's language: finding the end of a comment, a string, a name, a number and an
 * include.
 *
 * Every text is NUL-terminated. Thread: any.
 */
#pragma once

#include "util.h"
#include <stdbool.h>

/* Whether @p is at a space or a comment. */
bool token_is_blank(const char *p);

/* Return: the end of the comment, string or single character at @p; NULL: it has no end. */
char *token_end(char *p);

/* Return: the end of the name at @p. */
const char *token_name_end(const char *p);

/**
 * token_number_end() - find the end of the number at @p
 * @suffix: set to what libconfig 1.5 needs after the number to keep its value: "L" if it is too
 *          wide for 32 bits; ".0" if it is too wide for 64 bits, which makes it a float that no
 *          integer key accepts; otherwise ""
 *
 * Return: the end of the number; a sign alone counts as one.
 */
const char *token_number_end(const char *p, const char **suffix);

/**
 * token_find_delimiter() - find a comma or bracket on a line after an element of a list
 * @p: the end of the element
 *
 * Return: the delimiter; NULL: it is on the element's line, or another token follows.
 */
char *token_find_delimiter(char *p);

/**
 * token_find_include() - find the name of an include
 * @p: the beginning of a line
 *
 * Return: the opening quote of the name; NULL: the line is not an include.
 */
char *token_find_include(char *p);

/**
 * token_unquote() - copy the content of a string, in which only \\ and \" are escapes
 * @p: the opening quote of a string that has an end
 *
 * Return: the copy, for the caller to free; NULL: out of memory.
 */
char *token_unquote(char *p);
