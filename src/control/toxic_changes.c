/* SPDX-License-Identifier: MIT */
/* Adding, changing and removing one toxic. */
#include "answer.h"
#include "changes.h"
#include "view.h"

#include <errno.h>
#include <string.h>

/* Sets the goal: the proxy with @toxics. */
static int want_toxics(struct change *change, struct managed *is, const struct toxic_list *toxics,
                       struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *want = NULL;

        if (control_copy(change->control, is, toxics, &want) < 0)
                return refuse_no_memory(refusal);
        return change_want(change, want, false, refusal);
}

/* Sets the goal: the proxy with change->toxic, whose random choices are made anew. */
static int want_toxic(struct change *change, struct managed *is, struct refusal *refusal)
{
        struct toxic_list toxics;
        int r;

        change->toxic->version = ++change->control->last_version;
        if (toxic_list_with(&is->toxics, change->toxic, &toxics) < 0)
                return refuse_no_memory(refusal);
        r = want_toxics(change, is, &toxics, refusal);
        toxic_list_deinit(&toxics);
        return r;
}

static void answer_toxic(struct change *change, const struct refusal *refusal)
{
        if (refusal)
                answer_refusal(change->request, refusal);
        else
                answer_json(change->request, 200, toxic_write(change->toxic));
}

/* POST /proxies/{proxy}/toxics */

static int begin_create(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL;
        const struct condition_list *lists;
        int r = view_find(change->control, change->path.parts[1], &is, refusal);

        if (r == 0)
                r = change_parse_object(change, refusal);
        if (r == 0)
                r = toxic_read(change->body, &change->toxic, refusal);
        if (r < 0)
                return r;
        lists = is->service->conditions;
        for (enum direction d = 0; d < DIRECTIONS; d++)
                if (condition_list_find(&lists[d], change->toxic->name))
                        return refuse(refusal, 409, "toxic already exists");
        r = toxic_read_attributes(change->toxic, change->body, refusal);
        if (r < 0)
                return r;
        if (lists[change->toxic->direction].n >= CONDITIONS_GROUPS_MAX)
                return refuse(refusal, 400, "bad request body: expected at most %d toxics a stream",
                              CONDITIONS_GROUPS_MAX);
        return want_toxic(change, is, refusal);
}

const struct change_kind toxic_create = {
        .begin = begin_create,
        .next = change_next_once,
        .answer = answer_toxic,
};

/* Finds the toxic that the path names. @is: set to its proxy, with one reference; @toxic: belongs
 * to that. */
static int find_toxic(struct change *change, struct managed **is, struct toxic **toxic,
                      struct refusal *refusal)
{
        int r = view_find(change->control, change->path.parts[1], is, refusal);

        if (r < 0)
                return r;
        *toxic = toxic_list_find(&(*is)->toxics, change->path.parts[3]);
        return *toxic ? 0 : refuse(refusal, 404, "toxic not found");
}

/* POST and PATCH /proxies/{proxy}/toxics/{toxic} */

static int begin_change(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL;
        struct toxic *toxic = NULL;
        int r = find_toxic(change, &is, &toxic, refusal);

        if (r == 0)
                r = change_parse_object(change, refusal);
        if (r == 0)
                r = toxic_update(toxic, change->body, &change->toxic, refusal);
        return r < 0 ? r : want_toxic(change, is, refusal);
}

const struct change_kind toxic_change = {
        .begin = begin_change,
        .next = change_next_once,
        .answer = answer_toxic,
};

/* DELETE /proxies/{proxy}/toxics/{toxic} */

static int begin_delete(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL;
        struct toxic_list toxics;
        struct toxic *toxic = NULL;
        int r = find_toxic(change, &is, &toxic, refusal);

        if (r < 0)
                return r;
        if (toxic_list_without(&is->toxics, toxic->name, &toxics) < 0)
                return refuse_no_memory(refusal);
        r = want_toxics(change, is, &toxics, refusal);
        toxic_list_deinit(&toxics);
        return r;
}

const struct change_kind toxic_delete = {
        .begin = begin_delete,
        .next = change_next_once,
        .answer = change_answer_nothing,
};
