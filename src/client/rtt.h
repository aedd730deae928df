/* SPDX-License-Identifier: MIT */
/*
 * Statistics of round-trip times.
 */
#pragma once

#include <stdint.h>

/* Plain data; all zero at first. Times are in milliseconds, as ping(8) prints them. */
struct rtt {
        uint64_t n;
        double min_ms, max_ms, sum_ms, sum_of_squares;
};

void rtt_add(struct rtt *rtt, double ms);

/* The mean and the standard deviation; 0 before the first time. */
double rtt_average_ms(const struct rtt *rtt);
double rtt_deviation_ms(const struct rtt *rtt);
