/* SPDX-License-Identifier: MIT */
/* POST /populate: makes several proxies, or replaces them. */
#include "answer.h"
#include "changes.h"
#include "endpoint.h"
#include "proxy_input.h"
#include "view.h"

#include <errno.h>
#include <string.h>

/* Items: one proxy each */

/* Adds a toxic to a list. Return: 0; -EINVAL: refused. */
static int add_toxic(struct control *control, json_t *object, struct toxic_list *toxics,
                     struct refusal *refusal)
{
        _cleanup_(toxic_unrefp) struct toxic *toxic = NULL;
        struct toxic_list longer;
        int r;

        if (!json_is_object(object))
                return refuse(refusal, 400, "bad request body: toxics: expected objects");
        r = toxic_read(object, &toxic, refusal);
        if (r == 0)
                r = toxic_read_attributes(toxic, object, refusal);
        if (r < 0)
                return r;
        if (toxic_list_find(toxics, toxic->name))
                return refuse(refusal, 409, "toxic already exists");
        if (toxics->n >= CONDITIONS_GROUPS_MAX)
                return refuse(refusal, 400, "bad request body: expected at most %d toxics",
                              CONDITIONS_GROUPS_MAX);
        toxic->version = ++control->last_version;
        if (toxic_list_with(toxics, toxic, &longer) < 0)
                return refuse_no_memory(refusal);
        toxic_list_deinit(toxics);
        *toxics = longer;
        return 0;
}

/* Reads the toxics of an item. @toxics: set even on failure. */
static int read_toxics(struct control *control, json_t *item, struct toxic_list *toxics,
                       struct refusal *refusal)
{
        json_t *array = json_member(item, "toxics");
        int r = 0;

        *toxics = (struct toxic_list){ 0 };
        if (array && !json_is_array(array))
                return refuse(refusal, 400, "bad request body: toxics: expected an array");
        for (size_t i = 0; i < json_array_size(array) && r == 0; i++)
                r = add_toxic(control, json_array_get(array, i), toxics, refusal);
        return r;
}

static int read_input(json_t *item, size_t i, struct proxy_input *input, struct refusal *refusal)
{
        char where[64];
        int r = 0;

        *input = (struct proxy_input){ .enabled = true };
        (void)snprintf(where, sizeof(where), " at proxy %zu", i + 1);
        if (!json_is_object(item) && !json_is_null(item))
                return refuse(refusal, 400, "bad request body: expected an object%s", where);
        if (json_is_object(item))
                r = proxy_input_read(item, input, refusal);
        return r < 0 ? r : proxy_input_check(input, where, refusal);
}

/* Makes the service that an item describes, with its toxics. Return: 0; -EINVAL: refused. */
static int make(struct control *control, const struct proxy_input *input, json_t *item,
                struct managed **out, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *bare = NULL;
        struct toxic_list toxics;
        int r = read_toxics(control, item, &toxics, refusal);

        if (r == 0)
                r = proxy_input_make(input, &bare, refusal);
        if (r == 0 && managed_copy(bare, &toxics, out) < 0)
                r = refuse_no_memory(refusal);
        toxic_list_deinit(&toxics);
        return r;
}

/* Checks an item by itself, without its "listen". Return: 0; -EINVAL: refused. */
static int check(struct control *control, json_t *item, size_t i, struct refusal *refusal)
{
        uint64_t version = control->last_version;
        struct proxy_input input;
        struct upstream upstream;
        struct toxic_list toxics;
        int r = read_input(item, i, &input, refusal);

        if (r == 0)
                r = proxy_input_upstream(input.upstream, &upstream, refusal);
        if (r < 0)
                return r;
        upstream_deinit(&upstream);
        r = read_toxics(control, item, &toxics, refusal);
        toxic_list_deinit(&toxics);
        control->last_version = version; /* these toxics are not used */
        return r;
}

static int check_all(struct control *control, json_t *array, struct refusal *refusal)
{
        int r = 0;

        if (!json_is_array(array) && !json_is_null(array))
                return refuse(refusal, 400, "bad request body: expected an array");
        for (size_t i = 0; i < json_array_size(array) && r == 0; i++)
                r = check(control, json_array_get(array, i), i, refusal);
        return r;
}

/* The change */

static int begin(struct change *change, struct refusal *refusal)
{
        size_t n;
        const char *body = http_request_body(change->request, &n);
        int r = change->body ? 0 : json_parse(body, n, &change->body, refusal);

        if (r < 0)
                return r;
        change->done = json_array();
        if (!change->done)
                return refuse_no_memory(refusal);
        return check_all(change->control, change->body, refusal);
}

/* Whether a proxy listens and connects where the item says. */
static bool is_same(const struct control *control, struct managed *is,
                    const struct proxy_input *input)
{
        struct address listen, now = control_listen_address(control, is);

        return endpoint_parse_listen(input->listen ? input->listen : "", &listen) == 0 &&
               address_equal(&listen, &now) && is->service->n_upstreams == 1 &&
               strcmp(input->upstream, is->service->upstreams[0].text) == 0 &&
               (listen.sa.sa_family == AF_UNIX || address_port(&listen) != 0);
}

/* Sets the goal for an item, unless its proxy needs no change. Return: see change_kind.next. */
static int populate_one(struct change *change, size_t i, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *is = NULL, *want = NULL;
        struct control *control = change->control;
        json_t *item = json_array_get(change->body, i);
        struct proxy_input input;
        bool exists;
        int r = read_input(item, i, &input, refusal);

        if (r < 0)
                return r;
        exists = view_exists(control, input.name);
        if (exists && view_find(control, input.name, &is, refusal) < 0)
                return refuse(refusal, 409, "proxy already exists"); /* a service of another mode */
        if (is && is_same(control, is, &input))
                return 0;
        if (!exists && control_config(control)->n_services >= SERVICES_MAX)
                return refuse(refusal, 500, "there are %d services already", SERVICES_MAX);
        r = make(control, &input, item, &want, refusal);
        if (r < 0 || !want)
                return r;
        want->made_here = !is || is->made_here;
        return change_want(change, want, exists, refusal);
}

/* Records the proxy of an item that is complete. */
static int note(struct change *change, size_t i, struct refusal *refusal)
{
        json_t *name = json_member(json_array_get(change->body, i), "name");
        json_t *proxy = view_write_name(change->control, json_string_value(name));

        if (json_array_append_new(change->done, proxy) < 0)
                return refuse_no_memory(refusal);
        return 0;
}

static int next(struct change *change, struct refusal *refusal)
{
        int r = 0;

        while (r == 0) {
                if (change->i > 0)
                        r = note(change, change->i - 1, refusal);
                if (r < 0 || change->i == json_array_size(change->body))
                        return r;
                r = populate_one(change, change->i++, refusal);
        }
        return r;
}

static void answer(struct change *change, const struct refusal *refusal)
{
        json_t *done = json_array_size(change->done) ? json_incref(change->done) : json_null();
        json_t *json;

        if (refusal)
                json = json_pack("{s:s, s:i, s:o}", "error", refusal->words, "status",
                                 refusal->status, "proxies", done);
        else
                json = json_pack("{s:o}", "proxies", done);
        answer_json(change->request, refusal ? refusal->status : 201, json);
}

const struct change_kind populate = {
        .has_proxies = true,
        .begin = begin,
        .next = next,
        .answer = answer,
};

/* At the start */

static int add_to_config(struct control *control, json_t *item, size_t i, struct config *config,
                         struct config **out, struct refusal *refusal)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct proxy_input input;
        int r = read_input(item, i, &input, refusal);

        if (r == 0)
                r = make(control, &input, item, &managed, refusal);
        if (r < 0 || !managed)
                return r;
        if (config_find_service(config, managed->service->name))
                return refuse(refusal, 409, "proxy already exists");
        if (managed_set_reserve(&control->managed) < 0 ||
            config_with(config, managed->service, out) < 0)
                return refuse_no_memory(refusal);
        managed_set_put(&control->managed, managed);
        return 0;
}

int populate_config(struct control *control, json_t *array, struct config *config,
                    struct config **out, struct refusal *refusal)
{
        _cleanup_(config_unrefp) struct config *result = config_ref(config);
        int r = check_all(control, array, refusal);

        for (size_t i = 0; i < json_array_size(array) && r == 0; i++) {
                struct config *longer = NULL;

                r = add_to_config(control, json_array_get(array, i), i, result, &longer, refusal);
                if (r < 0)
                        return r;
                config_unref(result);
                result = longer;
        }
        if (r < 0)
                return r;
        *out = result;
        result = NULL;
        return 0;
}
