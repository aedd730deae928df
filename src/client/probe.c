/* SPDX-License-Identifier: MIT */
/* A message is its number in little-endian order, and then bytes that count up from the number. */
#include "probe.h"

#include <string.h>

void probe_fill(uint8_t *message, size_t size, uint64_t number)
{
        for (size_t i = 0; i < size; i++)
                message[i] = (uint8_t)(i < sizeof(number) ? number >> (8 * i) : number + i);
}

bool probe_recognize(const uint8_t *message, size_t size, uint64_t next, uint64_t *number)
{
        uint8_t expected[PROBE_SIZE_MAX];
        uint64_t n = 0;

        for (size_t i = 0; i < sizeof(n) && size >= sizeof(n); i++)
                n |= (uint64_t)message[i] << (8 * i);
        if (size < sizeof(n))
                n = next;
        probe_fill(expected, size, n);
        if (memcmp(message, expected, size) != 0)
                return false;
        *number = n;
        return true;
}
