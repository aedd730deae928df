/* SPDX-License-Identifier: MIT */
/*
 * The toxics of one service: first those of the upstream, then those of the downstream, each in the
 * order in which they were added. Names are unique in the whole list.
 *
 * Thread: main.
 */
#pragma once

#include "toxic.h"

/* Holds a reference to each. All zero is an empty list. */
struct toxic_list {
        struct toxic **toxics;
        size_t n;
};

/* Return: the toxic with this name; NULL: there is none. */
struct toxic *toxic_list_find(const struct toxic_list *list, const char *name);

/**
 * toxic_list_with() - copy a list, with one toxic added, or put in the place of that of its name
 * @out: set to the copy; freed with toxic_list_deinit()
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int toxic_list_with(const struct toxic_list *list, struct toxic *toxic,
                               struct toxic_list *out);

/* Like toxic_list_with(), but leaves out the toxic with this name. */
_must_use_ int toxic_list_without(const struct toxic_list *list, const char *name,
                                  struct toxic_list *out);

/* Returns the references. */
void toxic_list_deinit(struct toxic_list *list);

/* Return: the list as a JSON array, a reference; NULL: out of memory. */
json_t *toxic_list_write(const struct toxic_list *list);
