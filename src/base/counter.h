/* SPDX-License-Identifier: MIT */
/*
 * A counter that one thread writes and others read, without a lock.
 *
 * On x86-64 and ARM64 both functions compile to ordinary loads and stores.
 */
#pragma once

#include <stdint.h>

/* Thread: the only one that writes @counter. */
/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to */
static inline void counter_add(uint64_t *counter, uint64_t n)
{
        __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Thread: any. */
static inline uint64_t counter_read(const uint64_t *counter)
{
        return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
