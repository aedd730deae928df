/* SPDX-License-Identifier: MIT */
/*
 * Fates for tests that change the values of groups.
 */
#pragma once

#include "fate.h"
#include "timer.h"
#include "unit.h"

/* The most groups. */
#define GROUPS_MAX 4

/* The bucket of groups with a shared rate; a test sets it. */
static struct bucket *shared_bucket;

static inline int take_shared_bucket(void *arg, const struct conditions *group, struct bucket **out)
{
        (void)arg;
        (void)group;
        *out = bucket_ref(shared_bucket);
        return 0;
}

/**
 * redraw() - replace fates by those of @n groups
 * @fates: the old fates, or NULL; set to the new ones
 *
 * The groups are copied. A copy is valid until the second call after this one.
 *
 * Return: the old fates, which the caller frees.
 */
static inline struct fates *redraw(struct fates **fates, const struct conditions *groups, size_t n,
                                   uint64_t now, uint64_t passed_bytes)
{
        static struct conditions copies[2][GROUPS_MAX];
        static unsigned calls;
        const struct condition_list list = { .groups = copies[calls++ % 2], .n = n };
        const struct fate_origin origin = { .seed = 42,
                                            .direction = TO_CLIENT,
                                            .now_usec = now,
                                            .passed_bytes = passed_bytes,
                                            .take_bucket = take_shared_bucket };
        struct fates *before = *fates;

        assert_in_range(n, 0, GROUPS_MAX);
        memcpy(list.groups, groups, n * sizeof(*groups));
        assert_int_equal(fates_new(&list, &origin, before, fates), 0);
        return before;
}
