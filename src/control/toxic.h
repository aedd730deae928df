/* SPDX-License-Identifier: MIT */
/*
 * A toxic: one fault of one direction, as toxiproxy's clients name and set it.
 *
 * A table holds the types, with the attributes of each and the values that they may have.
 *
 * Thread: any; toxics are not changed once they have been made.
 */
#pragma once

#include "json.h"
#include "refusal.h"

/* No type has more attributes. */
#define TOXIC_ATTRIBUTES_MAX 3

struct toxic_type;

/* The direction of the bytes that a toxic applies to. */
enum toxic_stream {
        TOXIC_UPSTREAM,   /* from the client to the upstream */
        TOXIC_DOWNSTREAM, /* from the upstream to the client */
        TOXIC_STREAMS,
};

/* Plain data, but for the two strings, which it owns. */
struct toxic {
        char *name;
        char *stream_text; /* as it was sent: in upper or lower case */
        enum toxic_stream stream;
        const struct toxic_type *type;
        uint64_t attributes[TOXIC_ATTRIBUTES_MAX]; /* in the order of the type's */
        double toxicity;                           /* the share of connections it applies to */
};

/**
 * toxic_read() - make a toxic from its JSON; "attributes" is left to toxic_read_attributes()
 * @object: from json_parse_object(); stream "downstream", toxicity 1 and the name TYPE_STREAM are
 *          the defaults
 * @out:    set to the toxic, freed with toxic_free(); its attributes are 0
 *
 * So the caller can look for another toxic of that name between the two.
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int toxic_read(json_t *object, struct toxic **out, struct refusal *refusal);

/**
 * toxic_read_attributes() - set those attributes that the JSON names, and check them all
 * Return: 0; -EINVAL: refused; @toxic may then be half changed.
 */
_must_use_ int toxic_read_attributes(struct toxic *toxic, json_t *object, struct refusal *refusal);

/**
 * toxic_update() - make a changed copy of a toxic
 * @object: what it does not name is kept; it can't change the name, the type or the stream
 * @out:    set to the copy, freed with toxic_free()
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int toxic_update(const struct toxic *toxic, json_t *object, struct toxic **out,
                            struct refusal *refusal);

/* Return: NULL. */
struct toxic *toxic_free(struct toxic *toxic);

/* For _cleanup_(). */
static inline void toxic_freep(struct toxic **toxic)
{
        toxic_free(*toxic);
}

/* The toxic as JSON, with all attributes of its type. Return: a reference; NULL: out of memory. */
json_t *toxic_write(const struct toxic *toxic);
