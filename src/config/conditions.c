/* SPDX-License-Identifier: MIT */
/* Conditions, and the names of faults. */
#include "conditions.h"

const struct conditions conditions_none = {
        .burst_bytes = CONDITIONS_AUTO,
        .limit_bytes = CONDITIONS_NEVER,
        .stall_after_bytes = CONDITIONS_NEVER,
        .stall_after_usec = CONDITIONS_NEVER,
        .reset_after_usec = CONDITIONS_NEVER,
        .probability = 1,
};

bool conditions_shape(const struct conditions *c)
{
        return c->latency_usec || c->jitter_usec || c->rate || c->slice_bytes ||
               c->slice_delay_usec || c->close_delay_usec || c->limit_bytes != CONDITIONS_NEVER ||
               c->stall_for_usec;
}

const char *conditions_format(unsigned faults, char *out)
{
        static const char *const names[] = { "latency", "rate",        "slice",       "limit",
                                             "stall",   "close_delay", "reset_after", "drop_new" };
        size_t n = 0;

        out[0] = '\0';
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (faults & 1U << i)
                        n += (size_t)snprintf(out + n, CONDITIONS_TEXT_SIZE - n, "%s%s",
                                              n ? ", " : "", names[i]);
        return out;
}
