/* SPDX-License-Identifier: MIT */
#include "managed_set.h"

#include <errno.h>
#include <string.h>

/* Return: the place of the first service whose name is not less. */
static size_t find_place(const struct managed_set *set, const char *name)
{
        size_t from = 0, to = set->n;

        while (from < to) {
                size_t middle = from + (to - from) / 2;

                if (strcmp(set->all[middle]->service->name, name) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

static bool is_at(const struct managed_set *set, size_t place, const char *name)
{
        return place < set->n && strcmp(set->all[place]->service->name, name) == 0;
}

int managed_set_get(const struct managed_set *set, struct service_config *service,
                    struct managed **out)
{
        size_t place = find_place(set, service->name);

        if (!is_at(set, place, service->name) || set->all[place]->service != service)
                return managed_of(service, out);
        *out = managed_ref(set->all[place]);
        return 0;
}

int managed_set_reserve(struct managed_set *set)
{
        struct managed **all = reallocarray(set->all, set->n + 1, sizeof(struct managed *));

        if (!all)
                return -ENOMEM;
        set->all = all;
        return 0;
}

void managed_set_put(struct managed_set *set, struct managed *managed)
{
        size_t place = find_place(set, managed->service->name);
        struct managed **at = &set->all[place];

        if (is_at(set, place, managed->service->name)) {
                managed_unref(*at);
        } else {
                memmove(at + 1, at, (set->n - place) * sizeof(struct managed *));
                set->n++;
        }
        *at = managed_ref(managed);
}

void managed_set_remove(struct managed_set *set, const char *service)
{
        size_t place = find_place(set, service);
        struct managed **at = &set->all[place];

        if (!is_at(set, place, service))
                return;
        managed_unref(*at);
        set->n--;
        memmove(at, at + 1, (set->n - place) * sizeof(struct managed *));
}

void managed_set_deinit(struct managed_set *set)
{
        while (set->n > 0)
                managed_unref(set->all[--set->n]);
        free(set->all);
        set->all = NULL;
}

int managed_set_merge(const struct managed_set *set, struct config *file,
                      const struct config *force, struct config **out)
{
        struct config *config = config_ref(file);

        for (size_t i = 0; i < set->n; i++) {
                const struct managed *managed = set->all[i];
                struct service_config *service = managed->service;
                struct config *longer;
                int r;

                if (!managed->made_here || config_find_service(file, service->name) ||
                    config_find_service(force, service->name) != service)
                        continue;
                r = config_with(config, service, &longer);
                config_unref(config);
                if (r < 0)
                        return r;
                config = longer;
        }
        *out = config;
        return 0;
}
