/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <errno.h>
#include <string.h>

void registry_deinit(struct registry *registry)
{
        for (size_t i = 0; i < registry->n; i++)
                service_unref(registry->services[i]);
        free(registry->services);
        registry->services = NULL;
        registry->n = 0;
}

static int compare_name(const void *name, const void *service)
{
        return strcmp(name, service_name(*(struct service *const *)service));
}

static int compare_services(const void *a, const void *b)
{
        return strcmp(service_name(*(struct service *const *)a),
                      service_name(*(struct service *const *)b));
}

struct service *registry_find(const struct registry *registry, const char *name)
{
        struct service *const *found = NULL;

        if (registry->n > 0)
                found = bsearch(name, registry->services, registry->n, sizeof(struct service *),
                                compare_name);
        return found ? *found : NULL;
}

int registry_add(struct registry *registry, const struct config *config)
{
        size_t n = registry->n, room = registry->n + config->n_services;
        struct service **services =
                reallocarray(registry->services, room + 1, sizeof(struct service *));
        int r = 0;

        if (!services)
                return -ENOMEM;
        registry->services = services;
        /* A configuration names each service once, so new ones need not be sorted at once. */
        for (size_t i = 0; r == 0 && i < config->n_services; i++) {
                const char *name = config->services[i]->name;

                if (registry_find(registry, name))
                        continue;
                r = service_new(name, registry->n_shards, &services[n]);
                n += r == 0;
        }
        registry->n = n;
        qsort(services, n, sizeof(struct service *), compare_services);
        return r;
}

void registry_prune(struct registry *registry, const struct config *config)
{
        size_t n = 0;

        for (size_t i = 0; i < registry->n; i++) {
                struct service *service = registry->services[i];

                if (service_is_unused(service) &&
                    !(config && config_find_service(config, service_name(service))))
                        service_unref(service);
                else
                        registry->services[n++] = service;
        }
        registry->n = n;
}
