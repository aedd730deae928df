/* SPDX-License-Identifier: MIT */
/*
 * A toxic: a fault in one direction, in the terms of toxiproxy's clients. The configuration has a
 * group of conditions for each toxic.
 *
 * A table has the types of toxics, their attributes, and the legal values of these.
 *
 * Thread: main.
 */
#pragma once

#include "conditions.h"
#include "json.h"
#include "refusal.h"

/* The most attributes of a type. */
#define TOXIC_ATTRIBUTES_MAX 3

struct toxic_type;

/* Not changed once it is in use. Everybody who uses one holds a reference. */
struct toxic {
        unsigned refs;
        char *name;        /* less than CONDITIONS_NAME_SIZE bytes */
        char *stream_text; /* as it was sent, in upper or lower case */
        enum direction direction;
        const struct toxic_type *type;
        uint64_t attributes[TOXIC_ATTRIBUTES_MAX]; /* in the order of the type's attributes */
        double toxicity;                           /* the share of connections that it affects */
        uint64_t version;                          /* of its group; set by the user */
};

/**
 * toxic_read() - make a toxic from its JSON, without its attributes
 * @object: from json_parse_object(); the defaults are stream "downstream", toxicity 1 and the name
 *          TYPE_STREAM
 * @out:    set to the toxic, with one reference; its attributes are 0
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
 * @out:    set to the copy, with one reference
 *
 * Return: 0; -EINVAL: refused.
 */
_must_use_ int toxic_update(const struct toxic *toxic, json_t *object, struct toxic **out,
                            struct refusal *refusal);

/* Return: @toxic, with one more reference. */
struct toxic *toxic_ref(struct toxic *toxic);

/* Returns a reference; the last one frees the toxic. Return: NULL. */
struct toxic *toxic_unref(struct toxic *toxic);

/* For _cleanup_(). */
static inline void toxic_unrefp(struct toxic **toxic)
{
        toxic_unref(*toxic);
}

/* The toxic as JSON, with all attributes of its type. Return: a reference; NULL: out of memory. */
json_t *toxic_write(const struct toxic *toxic);

/* The group of conditions that does what the toxic says. */
void toxic_to_group(const struct toxic *toxic, struct conditions *group);

/**
 * toxic_from_group() - find the toxic that says what a group does
 * @out: set to the toxic, with one reference
 *
 * Return: 0; -ENOENT: there is none: the group has no name, does nothing, or does what takes
 * several toxics or what no toxic can; -ENOMEM.
 */
_must_use_ int toxic_from_group(const struct conditions *group, enum direction direction,
                                struct toxic **out);
