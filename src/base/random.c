/* SPDX-License-Identifier: MIT */
/* SplitMix64 hashes a counter. */
#include "random.h"

static uint64_t mix(uint64_t x)
{
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
        x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
        return x ^ (x >> 31);
}

struct random random_new(uint64_t seed, uint64_t a, uint64_t b)
{
        return (struct random){ .state = mix(mix(mix(seed) + a) + b) };
}

uint64_t random_next(struct random *random)
{
        random->state += 0x9e3779b97f4a7c15;
        return mix(random->state);
}

uint64_t random_up_to(struct random *random, uint64_t max)
{
        /* The upper 64 bits of the product; for ranges below 2^44 the bias is below 2^-20. */
        return (uint64_t)(((unsigned __int128)random_next(random) * ((unsigned __int128)max + 1)) >>
                          64);
}

double random_share(struct random *random)
{
        return (double)(random_next(random) >> 11) / (double)((uint64_t)1 << 53);
}
