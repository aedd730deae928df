/* SPDX-License-Identifier: MIT */
/*
 * A toxic: a fault in one direction, in the terms of toxiproxy's clients.
 *
 * A table has the types of toxics, their attributes, and the legal values of these.
 *
 * Thread: any; a toxic is not changed after it has been made.
 */
#pragma once

#include "json.h"
#include "refusal.h"

/* The most attributes of a type. */
#define TOXIC_ATTRIBUTES_MAX 3

struct toxic_type;

/* The direction of the bytes that a toxic applies to. */
enum toxic_stream {
        TOXIC_UPSTREAM,   /* from the client to the upstream */
        TOXIC_DOWNSTREAM, /* from the upstream to the client */
        TOXIC_STREAMS,
};

/* Plain data, and two strings that it owns. */
struct toxic {
        char *name;
        char *stream_text; /* as it was sent, in upper or lower case */
        enum toxic_stream stream;
        const struct toxic_type *type;
        uint64_t attributes[TOXIC_ATTRIBUTES_MAX]; /* in the order of the type's attributes */
        double toxicity;                           /* the share of connections that it affects */
};

/**
 * toxic_read() - make a toxic from its JSON, without its attributes
 * @object: from json_parse_object(); the defaults are stream "downstream", toxicity 1 and the name
 *          TYPE_STREAM
 * @out:    set to the toxic, freed with toxic_free(); its attributes are 0
 *
 * toxic_read_attributes() reads the attributes. Before that, the caller can look for another toxic
 * with the same name.
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int toxic_read(json_t *object, struct toxic **out, struct refusal *refusal);

/**
 * toxic_read_attributes() - set the attributes that are in the JSON, and check all attributes
 * Return: 0; -EINVAL: refused; some attributes may have been set.
 */
_must_use_ int toxic_read_attributes(struct toxic *toxic, json_t *object, struct refusal *refusal);

/**
 * toxic_update() - make a changed copy of a toxic
 * @object: members that are absent stay unchanged; the name, the type and the stream always do
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
