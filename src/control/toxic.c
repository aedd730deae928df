/* SPDX-License-Identifier: MIT */
#include "toxic.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define YEAR_MSEC ((uint64_t)365 * 24 * 3600 * 1000)

struct attribute {
        const char *name;
        uint64_t min, max;
        size_t offset; /* of the member of struct conditions */
        uint64_t unit; /* of the attribute, in units of the member */
};

struct toxic_type {
        const char *name;
        struct attribute attributes[TOXIC_ATTRIBUTES_MAX];
        size_t n;
};

#define MEMBER(member) offsetof(struct conditions, member)
#define MSEC(name, member)                                        \
        {                                                         \
                name, 0, YEAR_MSEC, MEMBER(member), USEC_PER_MSEC \
        }
#define SIZE_MAX_BYTES ((uint64_t)1 << 40)

static const struct toxic_type types[] = {
        { "latency", { MSEC("latency", latency_usec), MSEC("jitter", jitter_usec) }, 2 },
        { "bandwidth", { { "rate", 0, SIZE_MAX_BYTES / 1000, MEMBER(rate), 1000 } }, 1 },
        { "slow_close", { MSEC("delay", close_delay_usec) }, 1 },
        { "timeout", { MSEC("timeout", discard_idle_usec) }, 1 },
        { "reset_peer", { MSEC("timeout", reset_after_data_usec) }, 1 },
        { "slicer",
          { { "average_size", 1, SIZE_MAX_BYTES, MEMBER(slice_bytes), 1 },
            { "size_variation", 0, SIZE_MAX_BYTES, MEMBER(slice_variation_bytes), 1 },
            { "delay", 0, YEAR_MSEC * 1000, MEMBER(slice_delay_usec), 1 } },
          3 },
        { "limit_data", { { "bytes", 0, INT64_MAX, MEMBER(limit_bytes), 1 } }, 1 },
        { "noop", { { 0 } }, 0 },
};

static const char *const streams[DIRECTIONS] = {
        [TO_UPSTREAM] = "upstream",
        [TO_CLIENT] = "downstream",
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
        const char *text = streams[TO_CLIENT];
        int r = json_read_text(object, "stream", &text, refusal);

        if (r < 0)
                return r;
        while (toxic->direction < DIRECTIONS && strcasecmp(text, streams[toxic->direction]) != 0)
                toxic->direction++;
        if (toxic->direction == DIRECTIONS)
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
        if (!toxic->name)
                return refuse_no_memory(refusal);
        if (strlen(toxic->name) >= CONDITIONS_NAME_SIZE)
                return refuse(refusal, 400, "bad request body: name: expected at most %d bytes",
                              CONDITIONS_NAME_SIZE - 1);
        return 0;
}

int toxic_read(json_t *object, struct toxic **out, struct refusal *refusal)
{
        _cleanup_(toxic_unrefp) struct toxic *toxic = calloc(1, sizeof(*toxic));
        int r;

        if (!toxic)
                return refuse_no_memory(refusal);
        toxic->refs = 1;
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
        _cleanup_(toxic_unrefp) struct toxic *copy = malloc(sizeof(*copy));
        int r;

        if (!copy)
                return refuse_no_memory(refusal);
        *copy = *toxic;
        copy->refs = 1;
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

struct toxic *toxic_ref(struct toxic *toxic)
{
        toxic->refs++;
        return toxic;
}

struct toxic *toxic_unref(struct toxic *toxic)
{
        if (!toxic || --toxic->refs > 0)
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

/* Groups of conditions */

static uint64_t *member_of(struct conditions *group, const struct attribute *attribute)
{
        return (uint64_t *)(void *)((char *)group + attribute->offset);
}

void toxic_to_group(const struct toxic *toxic, struct conditions *group)
{
        *group = conditions_none;
        (void)snprintf(group->name, sizeof(group->name), "%s", toxic->name);
        group->version = toxic->version;
        group->probability = toxic->toxicity;
        for (size_t i = 0; i < toxic->type->n; i++) {
                const struct attribute *a = &toxic->type->attributes[i];

                *member_of(group, a) = toxic->attributes[i] * a->unit;
        }
        if (strcmp(toxic->type->name, "bandwidth") == 0)
                group->burst_bytes = 0;
        if (strcmp(toxic->type->name, "timeout") == 0) {
                group->discard = true;
                if (group->discard_idle_usec == 0)
                        group->discard_idle_usec = CONDITIONS_NEVER;
        }
        /* A piece has at least one byte. */
        if (group->slice_bytes && group->slice_variation_bytes == group->slice_bytes)
                group->slice_variation_bytes--;
}

/* Reads the attributes of a type out of a group. Return: whether all of them are legal. */
static bool read_group(const struct conditions *group, struct toxic *toxic)
{
        struct conditions copy = *group;

        if (copy.discard_idle_usec == CONDITIONS_NEVER)
                copy.discard_idle_usec = 0;
        for (size_t i = 0; i < toxic->type->n; i++) {
                const struct attribute *a = &toxic->type->attributes[i];

                toxic->attributes[i] = *member_of(&copy, a) / a->unit;
                if (toxic->attributes[i] < a->min || toxic->attributes[i] > a->max)
                        return false;
        }
        return true;
}

/* Sets the type and the attributes, so that the toxic does what the group says. */
static bool find_type_of_group(const struct conditions *group, struct toxic *toxic)
{
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                struct conditions made;

                toxic->type = &types[i];
                if (toxic->type->n == 0 || !read_group(group, toxic))
                        continue;
                toxic_to_group(toxic, &made);
                if (conditions_equal(&made, group))
                        return true;
        }
        return false;
}

static bool does_nothing(const struct conditions *group)
{
        struct conditions none = conditions_none;

        none.version = group->version;
        none.probability = group->probability;
        return conditions_equal(group, &none);
}

int toxic_from_group(const struct conditions *group, enum direction direction, struct toxic **out)
{
        _cleanup_(toxic_unrefp) struct toxic *toxic = calloc(1, sizeof(*toxic));

        if (!toxic)
                return -ENOMEM;
        toxic->refs = 1;
        toxic->direction = direction;
        toxic->version = group->version;
        toxic->toxicity = group->probability;
        toxic->name = strdup(group->name);
        toxic->stream_text = strdup(streams[direction]);
        if (!toxic->name || !toxic->stream_text)
                return -ENOMEM;
        if (group->name[0] == '\0' || does_nothing(group) || !find_type_of_group(group, toxic))
                return -ENOENT;
        *out = toxic;
        toxic = NULL;
        return 0;
}
