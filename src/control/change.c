/* SPDX-License-Identifier: MIT */
#include "change.h"
#include "answer.h"

#include <errno.h>
#include <string.h>

const struct config *control_config(const struct control *control)
{
        return control->target->config(control->target_arg);
}

struct address control_listen_address(const struct control *control, struct managed *managed)
{
        const struct service_config *service = managed->service;
        struct address address = service->listen[0];

        if (address.sa.sa_family == AF_UNIX || address_port(&address) != 0 || !service->enabled)
                return address;
        if (!managed->is_bound)
                managed->is_bound =
                        control->target->bound(control->target_arg, service->name, &managed->bound);
        if (managed->is_bound)
                address_set_port(&address, (uint16_t)address_port(&managed->bound));
        return address;
}

int control_copy(const struct control *control, struct managed *from,
                 const struct toxic_list *toxics, struct managed **out)
{
        _cleanup_(managed_unrefp) struct managed *copy = NULL;
        int r = managed_copy(from, toxics, &copy);

        if (r == 0)
                copy->service->listen[0] = control_listen_address(control, from);
        if (r < 0)
                return r;
        *out = copy;
        copy = NULL;
        return 0;
}

/* Goals */

static void goal_deinit(struct goal *goal)
{
        managed_unref(goal->want);
        free(goal->service);
        *goal = (struct goal){ 0 };
}

int change_want(struct change *change, struct managed *want, bool restart, struct refusal *refusal)
{
        char *service = strdup(want->service->name);

        if (!service)
                return refuse_no_memory(refusal);
        change->goal = (struct goal){
                .want = managed_ref(want),
                .service = service,
                .restart = restart,
        };
        return 1;
}

int change_next_once(struct change *change, struct refusal *refusal)
{
        (void)refusal;
        return change->i++ == 0 && change->goal.service;
}

int change_parse_object(struct change *change, struct refusal *refusal)
{
        const char *body;
        size_t n;

        if (change->body)
                return json_make_object(&change->body, refusal);
        body = http_request_body(change->request, &n);
        return json_parse_object(body, n, &change->body, refusal);
}

void change_answer_nothing(struct change *change, const struct refusal *refusal)
{
        if (refusal)
                answer_refusal(change->request, refusal);
        else
                answer_nothing(change->request, 204);
}

/* Applying */

static int apply(struct control *control, struct config *config, struct refusal *refusal)
{
        char why[CONTROL_WHY_SIZE] = "";
        int r = control->target->apply(control->target_arg, config, why);

        if (r == -ENOMEM)
                return refuse_no_memory(refusal);
        return r < 0 ? refuse(refusal, 500, "%s", *why ? why : strerrordesc_np(-r)) : 0;
}

/* Return: 0; -EINVAL: another service listens where @service is to listen. */
static int check_address(const struct control *control, const struct service_config *service,
                         struct refusal *refusal)
{
        const struct address *address = &service->listen[0];
        char text[ADDRESS_TEXT_SIZE];
        const char *other;

        if (!service->enabled || (address->sa.sa_family != AF_UNIX && address_port(address) == 0))
                return 0;
        other = control->target->taken(control->target_arg, address, service->name);
        return !other ? 0
                      : refuse(refusal, 500, "cannot listen on %s: service %s listens there",
                               address_format(address, text), other);
}

/* Applies the configuration of a service. Return: 0; -EINVAL: refused. */
static int put(struct control *control, struct managed *managed, struct refusal *refusal)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        int r = check_address(control, managed->service, refusal);

        if (r < 0)
                return r;
        if (managed_set_reserve(&control->managed) < 0 ||
            config_with(control_config(control), managed->service, &config) < 0)
                return refuse_no_memory(refusal);
        r = apply(control, config, refusal);
        if (r == 0)
                managed_set_put(&control->managed, managed);
        return r;
}

static int put_disabled(struct control *control, struct managed *managed, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *disabled = NULL;

        if (control_copy(control, managed, &managed->toxics, &disabled) < 0)
                return refuse_no_memory(refusal);
        disabled->service->enabled = false;
        return put(control, disabled, refusal);
}

static int take_away(struct control *control, const char *service, struct refusal *refusal)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        int r = config_without(control_config(control), service, &config);

        if (r == -ENOENT)
                return refuse(refusal, 404, "proxy not found");
        if (r < 0)
                return refuse_no_memory(refusal);
        r = apply(control, config, refusal);
        if (r == 0)
                managed_set_remove(&control->managed, service);
        return r;
}

/* Steps */

enum outcome {
        STEP_WAITS,   /* wait until the applied configuration is in force */
        STEP_GOES_ON, /* go on with the next step */
        STEP_WAS_LAST,
        STEP_REFUSED,
};

/* Disables the service, so that its connections end. */
static enum outcome stop(struct change *change, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct control *control = change->control;
        struct service_config *service =
                config_find_service(control_config(control), change->goal.service);

        change->state = CHANGE_STOPPED;
        if (!change->goal.restart || !service || !service->enabled)
                return STEP_GOES_ON;
        if (managed_set_get(&control->managed, service, &managed) < 0) {
                (void)refuse_no_memory(refusal);
                return STEP_REFUSED;
        }
        return put_disabled(control, managed, refusal) < 0 ? STEP_REFUSED : STEP_WAITS;
}

/*
 * Applies the goal to the service. A service that cannot listen stays disabled, or is removed if it
 * is new.
 */
static enum outcome start(struct change *change, struct refusal *refusal)
{
        struct control *control = change->control;
        struct goal *goal = &change->goal;
        struct refusal other;
        int r;

        change->state = CHANGE_STARTED;
        if (!goal->want)
                r = take_away(control, goal->service, refusal);
        else
                r = put(control, goal->want, refusal);
        if (r == 0)
                return STEP_WAITS;
        if (!goal->want || !config_find_service(control_config(control), goal->service) ||
            put_disabled(control, goal->want, &other) < 0)
                return STEP_REFUSED;
        change->state = CHANGE_FALLBACK;
        change->refusal = *refusal;
        return STEP_WAITS;
}

static enum outcome make_step(struct change *change, struct refusal *refusal)
{
        int r;

        switch (change->state) {
        case CHANGE_NEXT:
                r = change->kind->next(change, refusal);
                if (r > 0)
                        return stop(change, refusal);
                return r < 0 ? STEP_REFUSED : STEP_WAS_LAST;
        case CHANGE_STOPPED:
                return start(change, refusal);
        case CHANGE_STARTED:
                goal_deinit(&change->goal);
                change->state = CHANGE_NEXT;
                return STEP_GOES_ON;
        default: /* CHANGE_FALLBACK */
                *refusal = change->refusal;
                return STEP_REFUSED;
        }
}

/* The queue */

static struct change *change_free(struct change *change)
{
        query_free(change->query);
        goal_deinit(&change->goal);
        path_deinit(&change->path);
        json_decref(change->body);
        json_decref(change->done);
        toxic_unref(change->toxic);
        while (change->n > 0)
                free(change->names[--change->n]);
        free(change->names);
        free(change);
        return NULL;
}

/* Makes steps until the change must wait or is complete. */
static void make_steps(struct change *change)
{
        struct refusal refusal;
        enum outcome outcome;

        do
                outcome = make_step(change, &refusal);
        while (outcome == STEP_GOES_ON);
        if (outcome == STEP_WAITS)
                return;
        change->kind->answer(change, outcome == STEP_REFUSED ? &refusal : NULL);
        change->control->current = change_free(change);
}

static void make_changes(struct control *control)
{
        struct change *change;

        while (!control->current && (change = STAILQ_FIRST(&control->changes))) {
                struct refusal refusal;

                STAILQ_REMOVE_HEAD(&control->changes, others);
                control->current = change;
                if (change->kind->begin(change, &refusal) >= 0) {
                        make_steps(change);
                        continue;
                }
                change->kind->answer(change, &refusal);
                control->current = change_free(change);
        }
}

/* Queues a change whose names have been looked up. */
static void on_looked_up(struct change *change)
{
        struct control *control = change->control;

        STAILQ_REMOVE(&control->looking_up, change, change, others);
        STAILQ_INSERT_TAIL(&control->changes, change, others);
        make_changes(control);
}

/* Reads the body, in which there may be names to look up. An illegal body is left to
 * change_kind.begin. */
static void read_proxies(struct change *change)
{
        struct refusal refusal;
        size_t n;
        const char *body = http_request_body(change->request, &n);

        (void)!json_parse(body, n, &change->body, &refusal);
}

int change_ask(struct control *control, const struct change_kind *kind,
               struct http_request *request, struct path *path)
{
        struct change *change = calloc(1, sizeof(*change));

        if (!change)
                return -ENOMEM;
        change->control = control;
        change->kind = kind;
        change->request = request;
        change->path = *path;
        *path = (struct path){ 0 };
        if (kind->has_proxies)
                read_proxies(change);
        if (kind->has_proxies && lookup_names(change, on_looked_up)) {
                STAILQ_INSERT_TAIL(&control->looking_up, change, others);
                return 0;
        }
        STAILQ_INSERT_TAIL(&control->changes, change, others);
        make_changes(control);
        return 0;
}

void change_continue(struct control *control)
{
        if (!control->current)
                return;
        make_steps(control->current);
        make_changes(control);
}

static void forget_queue(struct change_queue *queue)
{
        struct change *change;

        while ((change = STAILQ_FIRST(queue))) {
                STAILQ_REMOVE_HEAD(queue, others);
                change_free(change);
        }
}

void change_forget_all(struct control *control)
{
        if (control->current)
                control->current = change_free(control->current);
        forget_queue(&control->changes);
        forget_queue(&control->looking_up);
}
