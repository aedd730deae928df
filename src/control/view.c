/* SPDX-License-Identifier: MIT */
#include "view.h"
#include "escape.h"

#include <errno.h>
#include <string.h>

static struct service_config *find_service(const struct control *control, const char *name)
{
        const struct config *config = control_config(control);
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

int view_list(const struct control *control, struct view_list *out)
{
        const struct config *config = control_config(control);
        struct view_list list = {
                .all = calloc(config->n_services + 1, sizeof(struct managed *)),
        };

        if (!list.all)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++) {
                struct service_config *service = config->services[i];

                if (service->mode != SERVICE_RELAY)
                        continue;
                if (managed_set_get(&control->managed, service, &list.all[list.n]) < 0) {
                        view_free_list(&list);
                        return -ENOMEM;
                }
                list.n++;
        }
        qsort(list.all, list.n, sizeof(struct managed *), compare_names);
        *out = list;
        return 0;
}

void view_free_list(struct view_list *list)
{
        while (list->n > 0)
                managed_unref(list->all[--list->n]);
        free(list->all);
        list->all = NULL;
}

json_t *view_write_all(const struct control *control)
{
        struct view_list list = { 0 };
        json_t *object = view_list(control, &list) < 0 ? NULL : json_object();
        int r = object ? 0 : -1;

        for (size_t i = 0; i < list.n && r == 0; i++)
                r = json_object_set_new(object, list.all[i]->name,
                                        view_write(control, list.all[i]));
        view_free_list(&list);
        if (r == 0)
                return object;
        json_decref(object);
        return NULL;
}
