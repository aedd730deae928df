/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <errno.h>

struct tally {
        uint64_t n;
        unsigned refs;
};

int tally_new(struct tally **out)
{
        struct tally *tally = calloc(1, sizeof(*tally));

        if (!tally)
                return -ENOMEM;
        tally->refs = 1;
        *out = tally;
        return 0;
}

struct tally *tally_ref(struct tally *tally)
{
        (void)__atomic_add_fetch(&tally->refs, 1, __ATOMIC_RELAXED);
        return tally;
}

struct tally *tally_unref(struct tally *tally)
{
        if (tally && __atomic_sub_fetch(&tally->refs, 1, __ATOMIC_ACQ_REL) == 0)
                free(tally);
        return NULL;
}

bool tally_begin(struct tally *tally, uint64_t max)
{
        uint64_t n = __atomic_add_fetch(&tally->n, 1, __ATOMIC_RELAXED);

        if (max == 0 || n <= max)
                return true;
        tally_end(tally);
        return false;
}

void tally_end(struct tally *tally)
{
        (void)__atomic_sub_fetch(&tally->n, 1, __ATOMIC_RELAXED);
}
