/* SPDX-License-Identifier: MIT */
#include "rtt.h"

#include <math.h>

void rtt_add(struct rtt *rtt, double ms)
{
        rtt->min_ms = rtt->n == 0 || ms < rtt->min_ms ? ms : rtt->min_ms;
        rtt->max_ms = ms > rtt->max_ms ? ms : rtt->max_ms;
        rtt->sum_ms += ms;
        rtt->sum_of_squares += ms * ms;
        rtt->n++;
}

double rtt_average_ms(const struct rtt *rtt)
{
        return rtt->n ? rtt->sum_ms / (double)rtt->n : 0;
}

double rtt_deviation_ms(const struct rtt *rtt)
{
        double average = rtt_average_ms(rtt);
        double variance = rtt->n ? rtt->sum_of_squares / (double)rtt->n - average * average : 0;

        return variance > 0 ? sqrt(variance) : 0; /* rounding may make it negative */
}
