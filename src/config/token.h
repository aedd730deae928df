/* SPDX-License-Identifier: MIT */
/*
 * The tokens of libconfig's language, as far as their ends must be known: where a comment, a
 * string, a name, a number or an include ends.
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
 * @suffix: set to what libconfig 1.5 needs behind it to keep its value: "L" behind an integer too
 *          wide for 32 bits; ".0", which no key that takes an integer accepts, behind one too wide
 *          for 64; else ""
 *
 * Return: its end, behind @p even if there is only a sign.
 */
const char *token_number_end(const char *p, const char **suffix);

/**
 * token_find_delimiter() - find the comma or bracket that ends an element of a list
 * @p: behind the element
 *
 * Return: the delimiter; NULL: it stands on the same line, or something else follows.
 */
char *token_find_delimiter(char *p);

/**
 * token_find_include() - find the name of an include
 * @p: the beginning of a line
 *
 * Return: the opening quote of the name; NULL: the line is no include.
 */
char *token_find_include(char *p);

/**
 * token_unquote() - copy what a string says, where only \\ and \" are escapes
 * @p: at the opening quote of a string that ends
 *
 * Return: the copy, for the caller to free; NULL: no memory.
 */
char *token_unquote(char *p);
