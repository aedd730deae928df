/* SPDX-License-Identifier: MIT */
/* Counters, read and written as an array of numbers. */
#include "counters.h"
#include "counter.h"

#define N_COUNTERS (sizeof(struct counters) / sizeof(uint64_t))

_Static_assert(sizeof(struct counters) % sizeof(uint64_t) == 0, "only members of uint64_t");

void counters_add_up(struct counters *sum, const struct counters *counters)
{
        const uint64_t *from = (const uint64_t *)counters;
        uint64_t *to = (uint64_t *)sum;

        for (size_t i = 0; i < N_COUNTERS; i++)
                to[i] += counter_read(&from[i]);
}

uint64_t counters_open(const struct counters *counters)
{
        uint64_t closed = 0;

        for (size_t i = 0; i < REASONS; i++)
                closed += counters->closed[i];
        /* A session may have ended between the reading of the two numbers. */
        return counters->accepted > closed ? counters->accepted - closed : 0;
}

void counters_count_faults(struct counters *counters, unsigned faults)
{
        for (size_t i = 0; i < FAULT_KINDS; i++)
                if (faults & 1U << i)
                        counter_add(&counters->faults[i], 1);
}

const char *turned_away_name(enum turned_away why)
{
        static const char *const names[TURNED_AWAY_KINDS] = {
                [TURNED_AWAY_LIMIT] = "limit",
                [TURNED_AWAY_DISABLED] = "disabled",
                [TURNED_AWAY_ERROR] = "error",
        };

        return names[why];
}
