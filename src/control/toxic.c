/* SPDX-License-Identifier: MIT */
#include "toxic.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define YEAR_MSEC ((uint64_t)365 * 24 * 3600 * 1000)

struct attribute {
        const char *name;
        uint64_t min, max;
};

struct toxic_type {
        const char *name;
        struct attribute attributes[TOXIC_ATTRIBUTES_MAX];
        size_t n;
};

/* Milliseconds, but for the slicer's delay, which is microseconds; sizes in bytes; the rate in
 * 1,000 bytes a second. */
static const struct toxic_type types[] = {
        { "latency", { { "latency", 0, YEAR_MSEC }, { "jitter", 0, YEAR_MSEC } }, 2 },
        { "bandwidth", { { "rate", 0, ((uint64_t)1 << 40) / 1000 } }, 1 },
        { "slow_close", { { "delay", 0, YEAR_MSEC } }, 1 },
        { "timeout", { { "timeout", 0, YEAR_MSEC } }, 1 },
        { "reset_peer", { { "timeout", 0, YEAR_MSEC } }, 1 },
        { "slicer",
          { { "average_size", 1, (uint64_t)1 << 40 },
            { "size_variation", 0, (uint64_t)1 << 40 },
            { "delay", 0, YEAR_MSEC * 1000 } },
          3 },
        { "limit_data", { { "bytes", 0, INT64_MAX } }, 1 },
        { "noop", { { 0 } }, 0 },
};

static const struct toxic_type *find_type(const char *name)
{
        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (strcmp(types[i].name, name) == 0)
                        return &types[i];
        return NULL;
}

/* Return: the value of the attribute with this name; 0: the type does not have it. */
static uint64_t attribute(const struct toxic *toxic, const char *name)
{
        for (size_t i = 0; i < toxic->type->n; i++)
                if (strcmp(toxic->type->attributes[i].name, name) == 0)
                        return toxic->attributes[i];
        return 0;
}

/* Reading */

static int read_stream(struct toxic *toxic, json_t *object, struct refusal *refusal)
{
        static const char *const words[] = { "upstream", "downstream" };
        const char *text = words[TOXIC_DOWNSTREAM];
        int r = json_read_text(object, "stream", &text, refusal);

        if (r < 0)
                return r;
        while (toxic->stream < TOXIC_STREAMS && strcasecmp(text, words[toxic->stream]) != 0)
                toxic->stream++;
        if (toxic->stream == TOXIC_STREAMS)
                return refuse(refusal, 400,
                              "stream was invalid, can be either upstream or downstream");
        toxic->stream_text = strdup(text);
        return toxic->stream_text ? 0 : refuse_no_memory(refusal);
}

static int read_type(struct toxic *toxic, json_t *object, struct refusal *refusal)
{
        const char *type = "";
        int r = json_read_text(object, "type", &type, refusal);

        if (r < 0)
                return r;
        toxic->type = find_type(type);
        return toxic->type ? 0 : refuse(refusal, 400, "invalid toxic type");
}

static int read_name(struct toxic *toxic, json_t *object, struct refusal *refusal)
{
        const char *name = "";
        int r = json_read_text(object, "name", &name, refusal);

        if (r < 0)
                return r;
        if (*name)
                toxic->name = strdup(name);
        else if (asprintf(&toxic->name, "%s_%s", toxic->type->name, toxic->stream_text) < 0)
                toxic->name = NULL;
        return toxic->name ? 0 : refuse_no_memory(refusal);
}

int toxic_read(json_t *object, struct toxic **out, struct refusal *refusal)
{
        _cleanup_(toxic_freep) struct toxic *toxic = calloc(1, sizeof(*toxic));
        int r;

        if (!toxic)
                return refuse_no_memory(refusal);
        toxic->toxicity = 1;
        r = json_read_share(object, "toxicity", &toxic->toxicity, refusal);
        if (r == 0)
                r = read_stream(toxic, object, refusal);
        if (r == 0)
                r = read_type(toxic, object, refusal);
        if (r == 0)
                r = read_name(toxic, object, refusal);
        if (r < 0)
                return r;
        *out = toxic;
        toxic = NULL;
        return 0;
}

/* Checks all attributes, also those that were not set: 0 is not always legal. */
static int check_attributes(const struct toxic *toxic, struct refusal *refusal)
{
        for (size_t i = 0; i < toxic->type->n; i++) {
                const struct attribute *a = &toxic->type->attributes[i];

                if (toxic->attributes[i] < a->min)
                        return refuse(refusal, 400,
                                      "bad request body: %s: expected a whole number from %" PRIu64
                                      " to %" PRIu64,
                                      a->name, a->min, a->max);
        }
        if (attribute(toxic, "size_variation") > attribute(toxic, "average_size"))
                return refuse(refusal, 400,
                              "bad request body: size_variation: expected at most average_size");
        return 0;
}

int toxic_read_attributes(struct toxic *toxic, json_t *object, struct refusal *refusal)
{
        json_t *attributes = json_member(object, "attributes");
        int r = 0;

        if (attributes && !json_is_object(attributes))
                return refuse(refusal, 400, "bad request body: attributes: expected an object");
        for (size_t i = 0; attributes && i < toxic->type->n && r == 0; i++) {
                const struct attribute *a = &toxic->type->attributes[i];

                r = json_read_count(attributes, a->name, a->min, a->max, &toxic->attributes[i],
                                    refusal);
        }
        return r < 0 ? r : check_attributes(toxic, refusal);
}

int toxic_update(const struct toxic *toxic, json_t *object, struct toxic **out,
                 struct refusal *refusal)
{
        _cleanup_(toxic_freep) struct toxic *copy = malloc(sizeof(*copy));
        int r;

        if (!copy)
                return refuse_no_memory(refusal);
        *copy = *toxic;
        copy->name = strdup(toxic->name);
        copy->stream_text = strdup(toxic->stream_text);
        if (!copy->name || !copy->stream_text)
                return refuse_no_memory(refusal);
        r = json_read_share(object, "toxicity", &copy->toxicity, refusal);
        if (r == 0)
                r = toxic_read_attributes(copy, object, refusal);
        if (r < 0)
                return r;
        *out = copy;
        copy = NULL;
        return 0;
}

struct toxic *toxic_free(struct toxic *toxic)
{
        if (!toxic)
                return NULL;
        free(toxic->name);
        free(toxic->stream_text);
        free(toxic);
        return NULL;
}

/* Writing */

static json_t *write_attributes(const struct toxic *toxic)
{
        json_t *attributes = json_object();

        for (size_t i = 0; i < toxic->type->n; i++) {
                const char *name = toxic->type->attributes[i].name;

                if (json_object_set_new(attributes, name,
                                        json_integer((json_int_t)toxic->attributes[i])) < 0) {
                        json_decref(attributes);
                        return NULL;
                }
        }
        return attributes;
}

json_t *toxic_write(const struct toxic *toxic)
{
        /* json_pack() takes the references of "o" also when it fails, and fails on a NULL. */
        return json_pack("{s:o, s:s, s:s, s:s, s:o}", "attributes", write_attributes(toxic), "name",
                         toxic->name, "type", toxic->type->name, "stream", toxic->stream_text,
                         "toxicity", json_share(toxic->toxicity));
}
