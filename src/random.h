/*
 * Random numbers that can be had again: the same seed gives the same row. Not for secrets.
 */
#pragma once

#include <stdint.h>

/* Plain data; any value is a state. SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
 * number generators, 2014). */
struct random {
        uint64_t state;
};

/* The generator of a row of its own for each @a and @b. */
struct random random_new(uint64_t seed, uint64_t a, uint64_t b);

/* The next number. */
uint64_t random_next(struct random *random);

/* The next number from 0 to @max. */
uint64_t random_up_to(struct random *random, uint64_t max);

/* The next number from 0 to 1, less than 1. */
double random_share(struct random *random);
