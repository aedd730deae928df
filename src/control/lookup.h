/* SPDX-License-Identifier: MIT */
/*
 * Look-ups of the names at which proxies are to listen. In the body of a change, each name is
 * replaced by an address before the change is made. Meanwhile other changes are made.
 *
 * Thread: main.
 */
#pragma once

#include "resolver.h"
#include <stdbool.h>

struct change;

/* Embedded in its owner, who may not move it. */
struct lookups {
        struct resolver *resolver;
        struct asker asker;
};

/* Return: 0; -ENOMEM. */
_must_use_ int lookups_init(struct lookups *lookups, struct loop *loop);

/* Must be called after all changes have been freed. */
void lookups_deinit(struct lookups *lookups);

/**
 * lookup_names() - replace the names in the body of a change
 * @on_done: called with @change later, if this returns true
 *
 * A name that has no address stays.
 *
 * Return: true: the change has to wait; false: there is no name to look up.
 */
bool lookup_names(struct change *change, void (*on_done)(struct change *change));
