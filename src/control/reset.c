/* SPDX-License-Identifier: MIT */
/* POST /reset: enables all proxies and removes all toxics. */
#include "changes.h"

#include <errno.h>
#include <string.h>

static int begin(struct change *change, struct refusal *refusal)
{
        const struct control *control = change->control;
        const struct config *config = control_config(control);

        change->names = calloc(config->n_services + 1, sizeof(char *));
        if (!change->names)
                return refuse_no_memory(refusal);
        for (size_t i = 0; i < config->n_services; i++) {
                if (config->services[i]->mode != SERVICE_RELAY)
                        continue;
                change->names[change->n] = strdup(config->services[i]->name);
                if (!change->names[change->n])
                        return refuse_no_memory(refusal);
                change->n++;
        }
        return 0;
}

/* Sets the goal for one service, unless it needs no change. Return: see change_kind.next. */
static int reset_one(struct change *change, struct service_config *service, struct refusal *refusal)
{
        static const struct toxic_list none;
        _cleanup_(managed_unrefp) struct managed *is = NULL, *want = NULL;

        if (managed_set_get(&change->control->managed, service, &is) < 0)
                return refuse_no_memory(refusal);
        if (service->enabled && is->toxics.n == 0)
                return 0;
        if (control_copy(change->control, is, &none, &want) < 0)
                return refuse_no_memory(refusal);
        want->service->enabled = true;
        return change_want(change, want, false, refusal);
}

static int next(struct change *change, struct refusal *refusal)
{
        const struct control *control = change->control;
        int r = 0;

        while (r == 0 && change->i < change->n) {
                const struct config *config = control_config(control);
                struct service_config *service =
                        config_find_service(config, change->names[change->i++]);

                if (service)
                        r = reset_one(change, service, refusal);
        }
        return r;
}

const struct change_kind reset_all = {
        .begin = begin,
        .next = next,
        .answer = change_answer_nothing,
};
