/* SPDX-License-Identifier: MIT */
/*
 * Reproducible random numbers: the same seed gives the same sequence. Not for secrets.
 */
#pragma once

#include <stdint.h>

/* Plain data; every value is a valid state. SplitMix64 (Steele, Lea, Flood: Fast splittable
 * pseudorandom number generators, 2014). */
struct random {
        uint64_t state;
};

/* Return: a generator; @seed, @a and @b together choose its sequence. */
struct random random_new(uint64_t seed, uint64_t a, uint64_t b);

uint64_t random_next(struct random *random);

/* Return: a number from 0 to @max. */
uint64_t random_up_to(struct random *random, uint64_t max);

/* Return: a number from 0 to less than 1. */
double random_share(struct random *random);
