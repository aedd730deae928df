/* SPDX-License-Identifier: MIT */
/* Making, changing and removing one proxy. */
#include "answer.h"
#include "changes.h"
#include "proxy_input.h"
#include "view.h"

#include <errno.h>
#include <string.h>

static void answer_proxy(struct change *change, const struct refusal *refusal, const char *name,
                         int status)
{
        if (refusal)
                answer_refusal(change->request, refusal);
        else
                answer_json(change->request, status, view_write_name(change->control, name));
}

/* POST /proxies */

static int begin_create(struct change *change, struct refusal *refusal)
{
        const struct control *control = change->control;
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct proxy_input input = { .enabled = true };
        int r = change_parse_object(change, refusal);

        if (r == 0)
                r = proxy_input_read(change->body, &input, refusal);
        if (r == 0)
                r = proxy_input_check(&input, "", refusal);
        if (r < 0)
                return r;
        if (view_exists(control, input.name))
                return refuse(refusal, 409, "proxy already exists");
        if (control_config(control)->n_services >= SERVICES_MAX)
                return refuse(refusal, 500, "there are %d services already", SERVICES_MAX);
        r = proxy_input_make(&input, &managed, refusal);
        return r < 0 ? r : change_want(change, managed, false, refusal);
}

static void answer_create(struct change *change, const struct refusal *refusal)
{
        answer_proxy(change, refusal, json_string_value(json_member(change->body, "name")), 201);
}

const struct change_kind proxy_create = {
        .has_proxies = true,
        .begin = begin_create,
        .next = change_next_once,
        .answer = answer_create,
};

/* POST and PATCH /proxies/{proxy} */

/*
 * Applies the differences from the existing proxy. Return: 1: its connections must end; 0; -EINVAL:
 * refused.
 */
static int use_input(const struct managed *is, struct managed *want,
                     const struct proxy_input *input, struct refusal *refusal)
{
        const struct service_config *service = want->service;
        struct address listen = service->listen[0];
        bool moves = false, redirects;
        int r = 0;

        redirects =
                input->upstream && (is->service->n_upstreams != 1 ||
                                    strcmp(input->upstream, is->service->upstreams[0].text) != 0);
        if (input->listen) {
                r = proxy_input_listen(input->listen, &listen, refusal);
                if (r < 0)
                        return r;
                moves = !address_equal(&listen, &service->listen[0]) || service->n_listen != 1 ||
                        (listen.sa.sa_family != AF_UNIX && address_port(&listen) == 0);
        }
        if (redirects) {
                struct upstream upstream;

                r = proxy_input_upstream(input->upstream, &upstream, refusal);
                if (r < 0)
                        return r;
                r = managed_set_upstream(want, &upstream);
                upstream_deinit(&upstream);
        }
        if (r == 0 && moves)
                r = managed_set_listen(want, &listen);
        want->service->enabled = input->enabled;
        return r < 0 ? refuse_no_memory(refusal) : moves || redirects;
}

static int begin_update(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL, *want = NULL;
        struct control *control = change->control;
        struct proxy_input input = { 0 };
        int r = view_find(control, change->path.parts[1], &is, refusal);

        if (r == 0)
                r = change_parse_object(change, refusal);
        if (r < 0)
                return r;
        input.enabled = is->service->enabled;
        r = proxy_input_read(change->body, &input, refusal);
        if (r == 0 && input.upstream && !*input.upstream)
                r = refuse(refusal, 400, "missing required field: upstream");
        if (r < 0)
                return r;
        if (control_copy(control, is, &is->toxics, &want) < 0)
                return refuse_no_memory(refusal);
        r = use_input(is, want, &input, refusal);
        if (r < 0)
                return r;
        if (r == 0 && want->service->enabled == is->service->enabled)
                return 0; /* nothing changes */
        return change_want(change, want, r > 0, refusal);
}

static void answer_update(struct change *change, const struct refusal *refusal)
{
        answer_proxy(change, refusal, change->path.parts[1], 200);
}

const struct change_kind proxy_update = {
        .has_proxies = true,
        .begin = begin_update,
        .next = change_next_once,
        .answer = answer_update,
};

/* DELETE /proxies/{proxy} */

static int begin_delete(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL;
        int r = view_find(change->control, change->path.parts[1], &is, refusal);

        if (r < 0)
                return r;
        change->goal.service = strdup(is->service->name);
        change->goal.restart = true;
        return change->goal.service ? 0 : refuse_no_memory(refusal);
}

const struct change_kind proxy_delete = {
        .begin = begin_delete,
        .next = change_next_once,
        .answer = change_answer_nothing,
};
