/* SPDX-License-Identifier: MIT */
/*
 * Requests of the control interface. The first line of the input is a path, and the rest is a body,
 * which is read as every kind of body. Accepted values are written and read back.
 */
#include "change.h"
#include "changes.h"
#include "fuzz.h"
#include "proxy_input.h"

static void read_path(const char *text)
{
        struct path path = { 0 };

        if (path_parse(text, &path) < 0)
                return;
        MUST(path.n > 0 && path.n <= PATH_PARTS_MAX);
        for (size_t i = 0; i < path.n; i++)
                MUST(strlen(path.parts[i]) <= strlen(text));
        path_deinit(&path);
}

/* An accepted toxic is written and read back unchanged, and makes a legal group. */
static void check_toxic(const struct toxic *toxic)
{
        _cleanup_(toxic_unrefp) struct toxic *again = NULL, *found = NULL;
        struct conditions group;
        struct refusal refusal;
        json_t *json = toxic_write(toxic);

        MUST(json);
        MUST(toxic_read(json, &again, &refusal) == 0);
        MUST(toxic_read_attributes(again, json, &refusal) == 0);
        MUST(strcmp(again->name, toxic->name) == 0 && again->type == toxic->type);
        MUST(memcmp(again->attributes, toxic->attributes, sizeof(toxic->attributes)) == 0);
        json_decref(json);
        toxic_to_group(toxic, &group);
        MUST(group.slice_variation_bytes == 0 || group.slice_variation_bytes < group.slice_bytes);
        if (toxic_from_group(&group, toxic->direction, &found) == 0)
                MUST(strcmp(found->name, toxic->name) == 0);
}

static void read_toxic(json_t *object)
{
        _cleanup_(toxic_unrefp) struct toxic *toxic = NULL, *changed = NULL;
        struct refusal refusal = { 0 };

        if (toxic_read(object, &toxic, &refusal) < 0 ||
            toxic_read_attributes(toxic, object, &refusal) < 0) {
                MUST(refusal.status == 400);
                return;
        }
        check_toxic(toxic);
        MUST(toxic_update(toxic, object, &changed, &refusal) == 0);
        check_toxic(changed);
}

static void read_proxy(json_t *object)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct proxy_input input = { 0 };
        struct refusal refusal = { 0 };
        json_t *json;

        if (proxy_input_read(object, &input, &refusal) < 0 ||
            proxy_input_check(&input, "", &refusal) < 0 ||
            proxy_input_make(&input, &managed, &refusal) < 0) {
                MUST(refusal.status == 400 || refusal.status == 500);
                return;
        }
        json = managed_write(managed, &managed->service->listen[0]);
        MUST(json);
        json_decref(json);
}

static void read_proxies(json_t *array)
{
        struct control control = { 0 };
        struct config *base, *config;
        struct refusal refusal = { 0 };

        MUST(config_new(&base) == 0);
        if (populate_config(&control, array, base, &config, &refusal) == 0) {
                MUST(config->n_services == json_array_size(array));
                config_unref(config);
        } else {
                MUST(refusal.status >= 400);
        }
        managed_set_deinit(&control.managed);
        config_unref(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *line = memchr(data, '\n', size);
        size_t n = line ? (size_t)(line - data) : size;
        char *path = strndup((const char *)data, n);
        struct refusal refusal;
        json_t *json;

        MUST(path);
        read_path(path);
        free(path);
        if (!line || json_parse((const char *)line + 1, size - n - 1, &json, &refusal) < 0)
                return 0;
        if (json_is_object(json)) {
                read_toxic(json);
                read_proxy(json);
        }
        read_proxies(json);
        json_decref(json);
        return 0;
}
