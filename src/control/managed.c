/* SPDX-License-Identifier: MIT */
#include "managed.h"
#include "endpoint.h"
#include "escape.h"

#include <errno.h>
#include <string.h>

const char *managed_service_name(const char *name, char *out)
{
        escape_bytes(out, name, strnlen(name, MANAGED_NAME_MAX));
        return out;
}

struct managed *managed_ref(struct managed *managed)
{
        managed->refs++;
        return managed;
}

struct managed *managed_unref(struct managed *managed)
{
        if (!managed || --managed->refs > 0)
                return NULL;
        service_config_unref(managed->service);
        toxic_list_deinit(&managed->toxics);
        free(managed->name);
        free(managed);
        return NULL;
}

/* Makes a managed service without its configuration. */
static int make(const char *name, struct managed **out)
{
        struct managed *managed = calloc(1, sizeof(*managed));

        if (!managed)
                return -ENOMEM;
        managed->refs = 1;
        managed->name = strdup(name);
        if (!managed->name) {
                managed_unref(managed);
                return -ENOMEM;
        }
        *out = managed;
        return 0;
}

int managed_set_upstream(struct managed *managed, struct upstream *upstream)
{
        struct service_config *service = managed->service;
        struct upstream *upstreams = calloc(1, sizeof(*upstreams));

        if (!upstreams)
                return -ENOMEM;
        for (size_t i = 0; i < service->n_upstreams; i++)
                upstream_deinit(&service->upstreams[i]);
        free(service->upstreams);
        upstreams[0] = *upstream;
        service->upstreams = upstreams;
        service->n_upstreams = 1;
        *upstream = (struct upstream){ .text = NULL };
        return 0;
}

int managed_set_listen(struct managed *managed, const struct address *listen)
{
        struct service_config *service = managed->service;
        struct address *addresses = calloc(1, sizeof(*addresses));

        if (!addresses)
                return -ENOMEM;
        addresses[0] = *listen;
        free(service->listen);
        service->listen = addresses;
        service->n_listen = 1;
        return 0;
}

int managed_new(const char *name, const struct address *listen, struct upstream *upstream,
                struct managed **out)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        char service[ESCAPE_SIZE(MANAGED_NAME_MAX)];
        int r = make(name, &managed);

        if (r == 0)
                r = service_config_new(managed_service_name(name, service), &managed->service);
        if (r == 0)
                r = managed_set_listen(managed, listen);
        if (r == 0)
                r = managed_set_upstream(managed, upstream);
        if (r < 0)
                return r;
        service_config_set_mode(managed->service, SERVICE_RELAY);
        managed->service->ends_unreached = true;
        managed->made_here = true;
        *out = managed;
        managed = NULL;
        return 0;
}

/* Adds a toxic for each group of one direction that a toxic can express. Return: 0; -ENOMEM. */
static int find_toxics(struct managed *managed, enum direction direction)
{
        const struct condition_list *groups = &managed->service->conditions[direction];
        int r = 0;

        for (size_t i = 0; i < groups->n && r == 0; i++) {
                _cleanup_(toxic_unrefp) struct toxic *toxic = NULL;
                struct toxic_list longer;

                r = toxic_from_group(&groups->groups[i], direction, &toxic);
                if (r == -ENOENT) {
                        r = 0;
                        continue;
                }
                if (r == 0)
                        r = toxic_list_with(&managed->toxics, toxic, &longer);
                if (r < 0)
                        return r;
                toxic_list_deinit(&managed->toxics);
                managed->toxics = longer;
        }
        return r;
}

int managed_of(struct service_config *service, struct managed **out)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        int r = make(service->name, &managed);

        if (r < 0)
                return r;
        managed->service = service_config_ref(service);
        for (enum direction d = 0; d < DIRECTIONS && r == 0; d++)
                r = find_toxics(managed, d);
        if (r < 0)
                return r;
        *out = managed;
        managed = NULL;
        return 0;
}

/* Sets the groups of one direction: the groups of @from that are not toxics, then a group for each
 * toxic. Return: 0; -ENOMEM. */
static int set_groups(struct managed *managed, const struct managed *from, enum direction direction)
{
        const struct condition_list *old = &from->service->conditions[direction];
        struct condition_list *list = &managed->service->conditions[direction];
        struct condition_list groups;
        size_t n = 0;

        groups.groups = calloc(old->n + managed->toxics.n + 1, sizeof(*groups.groups));
        if (!groups.groups)
                return -ENOMEM;
        for (size_t i = 0; i < old->n; i++)
                if (!toxic_list_find(&from->toxics, old->groups[i].name))
                        groups.groups[n++] = old->groups[i];
        for (size_t i = 0; i < managed->toxics.n; i++)
                if (managed->toxics.toxics[i]->direction == direction)
                        toxic_to_group(managed->toxics.toxics[i], &groups.groups[n++]);
        groups.n = n;
        condition_list_deinit(list);
        *list = groups;
        return 0;
}

int managed_copy(const struct managed *from, const struct toxic_list *toxics, struct managed **out)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        int r = make(from->name, &managed);

        if (r < 0)
                return r;
        managed->made_here = from->made_here;
        r = service_config_copy(from->service->name, from->service, &managed->service);
        if (r == 0)
                r = toxic_list_without(toxics, "", &managed->toxics);
        for (enum direction d = 0; d < DIRECTIONS && r == 0; d++)
                r = set_groups(managed, from, d);
        if (r < 0)
                return r;
        *out = managed;
        managed = NULL;
        return 0;
}

const char *managed_upstream(const struct managed *managed)
{
        return managed->service->n_upstreams ? managed->service->upstreams[0].text : "";
}

json_t *managed_write(const struct managed *managed, const struct address *listen)
{
        const struct service_config *service = managed->service;
        char text[ADDRESS_TEXT_SIZE];

        return json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", managed->name, "listen",
                         endpoint_format_listen(listen, text), "upstream",
                         managed_upstream(managed), "enabled", service->enabled, "toxics",
                         toxic_list_write(&managed->toxics));
}
