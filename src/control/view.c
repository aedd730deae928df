/* SPDX-License-Identifier: MIT */
#include "view.h"
#include "escape.h"

#include <errno.h>
#include <string.h>

static struct service_config *find_service(const struct control *control, const char *name)
{
        const struct config *config = control->target->config(control->target_arg);
        char service[ESCAPE_SIZE(MANAGED_NAME_MAX)];

        if (strlen(name) > MANAGED_NAME_MAX)
                return NULL;
        return config_find_service(config, managed_service_name(name, service));
}

bool view_exists(const struct control *control, const char *name)
{
        return find_service(control, name) != NULL;
}

int view_find(const struct control *control, const char *name, struct managed **out,
              struct refusal *refusal)
{
        struct service_config *service = find_service(control, name);

        if (!service || service->mode != SERVICE_RELAY)
                return refuse(refusal, 404, "proxy not found");
        if (managed_set_get(&control->managed, service, out) < 0)
                return refuse_no_memory(refusal);
        return 0;
}

json_t *view_write(const struct control *control, struct managed *managed)
{
        struct address listen = control_listen_address(control, managed);

        return managed_write(managed, &listen);
}

json_t *view_write_name(const struct control *control, const char *name)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct refusal refusal;

        if (view_find(control, name, &managed, &refusal) < 0 || !managed)
                return json_null();
        return view_write(control, managed);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp((*(struct managed *const *)a)->name, (*(struct managed *const *)b)->name);
}

/* Sets @all to the proxies, with a reference each. Return: how many there are; -ENOMEM. */
static ssize_t find_all(const struct control *control, struct managed **all)
{
        const struct config *config = control->target->config(control->target_arg);
        size_t n = 0;

        for (size_t i = 0; i < config->n_services; i++) {
                struct service_config *service = config->services[i];

                if (service->mode != SERVICE_RELAY)
                        continue;
                if (managed_set_get(&control->managed, service, &all[n]) < 0) {
                        while (n > 0)
                                managed_unref(all[--n]);
                        return -ENOMEM;
                }
                n++;
        }
        return (ssize_t)n;
}

json_t *view_write_all(const struct control *control)
{
        const struct config *config = control->target->config(control->target_arg);
        struct managed **all = calloc(config->n_services + 1, sizeof(struct managed *));
        ssize_t n = all ? find_all(control, all) : -ENOMEM;
        json_t *object = n < 0 ? NULL : json_object();
        int r = object ? 0 : -1;

        if (n > 0)
                qsort(all, (size_t)n, sizeof(struct managed *), compare_names);
        for (ssize_t i = 0; i < n; i++) {
                if (r == 0)
                        r = json_object_set_new(object, all[i]->name, view_write(control, all[i]));
                managed_unref(all[i]);
        }
        free(all);
        if (r == 0)
                return object;
        json_decref(object);
        return NULL;
}
