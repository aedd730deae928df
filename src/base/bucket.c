/* SPDX-License-Identifier: MIT */
/*
 * A bucket is stored as the moment when it will be full again (the generic cell rate algorithm,
 * ITU-T I.371). A reservation moves that moment into the future by the time that its bytes take.
 */
#include "bucket.h"

#include <errno.h>
#include <pthread.h>

struct bucket {
        unsigned refs;
        pthread_mutex_t lock;
        uint64_t full_nsec;
};

int bucket_new(struct bucket **out)
{
        struct bucket *bucket = calloc(1, sizeof(*bucket));

        if (!bucket)
                return -ENOMEM;
        bucket->refs = 1;
        (void)pthread_mutex_init(&bucket->lock, NULL);
        *out = bucket;
        return 0;
}

struct bucket *bucket_ref(struct bucket *bucket)
{
        (void)__atomic_add_fetch(&bucket->refs, 1, __ATOMIC_RELAXED);
        return bucket;
}

struct bucket *bucket_unref(struct bucket *bucket)
{
        if (!bucket || __atomic_sub_fetch(&bucket->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        (void)pthread_mutex_destroy(&bucket->lock);
        free(bucket);
        return NULL;
}

/* The time that @bytes take at @rate: at most 146 years, so that sums do not overflow. */
static uint64_t nsec_of(uint64_t bytes, uint64_t rate)
{
        unsigned __int128 nsec = (unsigned __int128)bytes * 1000 * USEC_PER_SEC / rate;

        return nsec < UINT64_MAX / 4 ? (uint64_t)nsec : UINT64_MAX / 4;
}

uint64_t bucket_reserve(struct bucket *bucket, uint64_t from_usec, size_t n, uint64_t rate,
                        uint64_t burst)
{
        uint64_t leave, from = from_usec * 1000, depth = nsec_of(burst, rate);

        (void)pthread_mutex_lock(&bucket->lock);
        if (bucket->full_nsec < from)
                bucket->full_nsec = from;
        bucket->full_nsec += nsec_of(n, rate);
        leave = bucket->full_nsec > from + depth ? bucket->full_nsec - depth : from;
        (void)pthread_mutex_unlock(&bucket->lock);
        return (leave + 999) / 1000;
}

void bucket_return(struct bucket *bucket, size_t n, uint64_t rate)
{
        (void)pthread_mutex_lock(&bucket->lock);
        bucket->full_nsec -= nsec_of(n, rate);
        (void)pthread_mutex_unlock(&bucket->lock);
}

void bucket_fill(struct bucket *bucket)
{
        (void)pthread_mutex_lock(&bucket->lock);
        bucket->full_nsec = 0;
        (void)pthread_mutex_unlock(&bucket->lock);
}

bool bucket_is_unused(struct bucket *bucket, uint64_t now_usec)
{
        bool full;

        if (__atomic_load_n(&bucket->refs, __ATOMIC_ACQUIRE) > 1)
                return false;
        (void)pthread_mutex_lock(&bucket->lock);
        full = bucket->full_nsec <= now_usec * 1000;
        (void)pthread_mutex_unlock(&bucket->lock);
        return full;
}
