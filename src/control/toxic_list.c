/* SPDX-License-Identifier: MIT */
#include "toxic_list.h"

#include <errno.h>
#include <string.h>

struct toxic *toxic_list_find(const struct toxic_list *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->toxics[i]->name, name) == 0)
                        return list->toxics[i];
        return NULL;
}

void toxic_list_deinit(struct toxic_list *list)
{
        while (list->n > 0)
                toxic_unref(list->toxics[--list->n]);
        free(list->toxics);
        list->toxics = NULL;
}

static void append(struct toxic_list *list, struct toxic *toxic)
{
        list->toxics[list->n++] = toxic_ref(toxic);
}

int toxic_list_with(const struct toxic_list *list, struct toxic *toxic, struct toxic_list *out)
{
        const struct toxic *replaced = toxic_list_find(list, toxic->name);
        struct toxic_list copy = { .toxics = calloc(list->n + 1, sizeof(struct toxic *)) };
        bool added = false;

        if (!copy.toxics)
                return -ENOMEM;
        for (size_t i = 0; i < list->n; i++) {
                struct toxic *other = list->toxics[i];

                if (!replaced && !added && other->direction > toxic->direction) {
                        append(&copy, toxic);
                        added = true;
                }
                append(&copy, other == replaced ? toxic : other);
        }
        if (!replaced && !added)
                append(&copy, toxic);
        *out = copy;
        return 0;
}

int toxic_list_without(const struct toxic_list *list, const char *name, struct toxic_list *out)
{
        struct toxic_list copy = { .toxics = calloc(list->n + 1, sizeof(struct toxic *)) };

        if (!copy.toxics)
                return -ENOMEM;
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->toxics[i]->name, name) != 0)
                        append(&copy, list->toxics[i]);
        *out = copy;
        return 0;
}

json_t *toxic_list_write(const struct toxic_list *list)
{
        json_t *array = json_array();

        for (size_t i = 0; i < list->n; i++) {
                if (json_array_append_new(array, toxic_write(list->toxics[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
