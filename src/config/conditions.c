/* SPDX-License-Identifier: MIT */
/* Conditions, and the names of faults. */
#include "conditions.h"

#include <errno.h>
#include <string.h>

const struct conditions conditions_none = {
        .rate = CONDITIONS_UNLIMITED,
        .burst_bytes = CONDITIONS_AUTO,
        .limit_bytes = CONDITIONS_NEVER,
        .stall_after_bytes = CONDITIONS_NEVER,
        .stall_after_usec = CONDITIONS_NEVER,
        .reset_after_usec = CONDITIONS_NEVER,
        .discard_idle_usec = CONDITIONS_NEVER,
        .reset_after_data_usec = CONDITIONS_NEVER,
        .probability = 1,
};

bool conditions_shape(const struct conditions *c)
{
        return c->latency_usec || c->jitter_usec || c->rate != CONDITIONS_UNLIMITED ||
               c->slice_bytes || c->slice_delay_usec || c->close_delay_usec ||
               c->limit_bytes != CONDITIONS_NEVER || c->stall_for_usec || c->discard ||
               c->reset_after_data_usec != CONDITIONS_NEVER;
}

bool conditions_equal(const struct conditions *a, const struct conditions *b)
{
        return a->version == b->version && a->latency_usec == b->latency_usec &&
               a->jitter_usec == b->jitter_usec && a->rate == b->rate &&
               a->burst_bytes == b->burst_bytes && a->shared == b->shared &&
               a->slice_bytes == b->slice_bytes &&
               a->slice_variation_bytes == b->slice_variation_bytes &&
               a->slice_delay_usec == b->slice_delay_usec && a->limit_bytes == b->limit_bytes &&
               a->stall_after_bytes == b->stall_after_bytes &&
               a->stall_after_usec == b->stall_after_usec &&
               a->stall_for_usec == b->stall_for_usec &&
               a->reset_after_usec == b->reset_after_usec && a->discard == b->discard &&
               a->discard_idle_usec == b->discard_idle_usec &&
               a->reset_after_data_usec == b->reset_after_data_usec &&
               a->close_delay_usec == b->close_delay_usec && a->drop_new == b->drop_new &&
               a->probability == b->probability;
}

int condition_list_copy(const struct condition_list *from, struct condition_list *out)
{
        struct conditions *groups = from->n ? calloc(from->n, sizeof(*groups)) : NULL;

        if (from->n && !groups)
                return -ENOMEM;
        for (size_t i = 0; i < from->n; i++)
                groups[i] = from->groups[i];
        *out = (struct condition_list){ .groups = groups, .n = from->n };
        return 0;
}

void condition_list_deinit(struct condition_list *list)
{
        free(list->groups);
        *list = (struct condition_list){ 0 };
}

const struct conditions *condition_list_find(const struct condition_list *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->groups[i].name, name) == 0)
                        return &list->groups[i];
        return NULL;
}

static const char *const fault_names[FAULT_KINDS] = {
        "latency",     "rate",        "slice",    "limit",   "stall",
        "close_delay", "reset_after", "drop_new", "discard", "reset_after_data",
};

const char *conditions_fault_name(size_t kind)
{
        return fault_names[kind];
}

const char *conditions_format(unsigned faults, char *out)
{
        size_t n = 0;

        out[0] = '\0';
        for (size_t i = 0; i < FAULT_KINDS; i++)
                if (faults & 1U << i)
                        n += (size_t)snprintf(out + n, CONDITIONS_TEXT_SIZE - n, "%s%s",
                                              n ? ", " : "", fault_names[i]);
        return out;
}
