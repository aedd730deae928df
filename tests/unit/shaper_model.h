/* SPDX-License-Identifier: MIT */
/*
 * A model of the shaper: a second implementation of its rules. The tests report each call, its
 * moment and its outcome to the model. The model checks with CHECK(), which the including file
 * defines, that the conditions allow this outcome: nothing leaves early, and bytes that are due
 * leave when the shaper is asked.
 *
 * The model keeps tokens as an exact rising level, in millionths of a byte. It draws jitter from
 * the shaper's sequence. Of slices it knows only the range.
 */
#pragma once

#include "shaper.h"

#define MODEL_CHUNKS 2048
#define MODEL_NEVER  UINT64_MAX
#define MODEL_PERIOD 251 /* the period of the bytes' pattern */

/* Without a burst, a chunk that leaves up to this late does not delay the chunks behind it. */
#define MODEL_LATE_USEC ((uint64_t)10000)

struct model_chunk {
        uint64_t arrived_usec, delay_usec;
        size_t n; /* its bytes that have not left; 0: the end of the stream */
        bool started;
};

struct model_bucket {
        __int128 level;
        uint64_t usec; /* the moment of this level */
        uint64_t pieces;
};

struct model {
        struct random random;
        struct conditions conditions;
        uint64_t send_delay_usec, hold_bytes, began_usec;
        struct model_chunk chunks[MODEL_CHUNKS];
        size_t first, n;
        struct model_bucket own, shared;
        uint64_t in_bytes, out_bytes;
        uint64_t left_usec, stall_usec;
        uint64_t reserved_usec; /* the moment since which the next piece waits only for tokens; or
                                   never */
        uint64_t wake_usec; /* after a take without bytes: the moment of the next take at the latest
                             */
        bool ended, limited;
};

static inline uint64_t model_least(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static inline uint64_t model_most(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

/* Return: the byte of the stream at @at. */
static inline uint8_t model_byte(uint64_t at)
{
        return (uint8_t)(at % MODEL_PERIOD);
}

static inline void model_write(uint8_t *out, size_t n, uint64_t at)
{
        for (size_t i = 0; i < n; i++)
                out[i] = model_byte(at + i);
}

static inline bool model_is_empty(const struct model *m)
{
        return m->first == m->n;
}

/* Tokens */

static inline __int128 model_micro(uint64_t bytes)
{
        return (__int128)bytes * 1000000;
}

static inline struct model_bucket *model_bucket(struct model *m)
{
        return m->conditions.shared ? &m->shared : &m->own;
}

/* Makes the bucket full at @usec. A bucket that was never used has been full since 0. */
static inline void model_fill(struct model_bucket *bucket, const struct conditions *c,
                              uint64_t usec)
{
        *bucket = (struct model_bucket){ .level = model_micro(c->burst_bytes), .usec = usec };
}

/* Lets the level rise to the brim. */
static inline void model_rise(struct model *m, uint64_t now)
{
        struct model_bucket *bucket = model_bucket(m);
        const struct conditions *c = &m->conditions;

        bucket->level += (__int128)c->rate * (int64_t)(now - bucket->usec);
        bucket->usec = now;
        if (bucket->level >= model_micro(c->burst_bytes))
                model_fill(bucket, c, now);
}

/* When the first chunk may leave, apart from tokens and a stall. */
static inline uint64_t model_due(const struct model *m)
{
        const struct conditions *c = &m->conditions;
        const struct model_chunk *chunk = &m->chunks[m->first];
        uint64_t after_delay = chunk->arrived_usec +
                               model_least(chunk->delay_usec, c->latency_usec + c->jitter_usec);
        uint64_t in_turn = model_most(after_delay, m->left_usec);

        if (chunk->n == 0)
                return in_turn + c->close_delay_usec;
        if (!chunk->started && m->send_delay_usec)
                after_delay = in_turn + m->send_delay_usec;
        if (m->left_usec && c->slice_delay_usec)
                return model_most(after_delay, m->left_usec + c->slice_delay_usec);
        return after_delay;
}

/* When the first chunk has been paid for. */
static inline uint64_t model_pay_from(const struct model *m, uint64_t now)
{
        if (m->conditions.burst_bytes)
                return now;
        return model_most(model_due(m), now - MODEL_LATE_USEC);
}

/* Return: the tokens for the next piece. They may exceed the brim while it waits. */
static inline __int128 model_tokens(struct model *m, uint64_t now)
{
        if (m->reserved_usec == MODEL_NEVER) {
                m->reserved_usec = model_pay_from(m, now);
                model_rise(m, m->reserved_usec);
        }
        return model_bucket(m)->level + (__int128)m->conditions.rate * (now - m->reserved_usec);
}

/* The error of a bucket that counts in whole nanoseconds. */
static inline __int128 model_slack(struct model *m)
{
        return (__int128)m->conditions.rate * (model_bucket(m)->pieces + 2) / 1000 + 1;
}

/* Changes */

static inline void model_set(struct model *m, uint64_t now, const struct shaping *shaping)
{
        const struct conditions *c = shaping->conditions, was = m->conditions;

        m->reserved_usec = MODEL_NEVER;
        m->conditions = *c;
        m->send_delay_usec = shaping->send_delay_usec;
        m->hold_bytes = shaping->hold_bytes;
        m->began_usec = shaping->began_usec;
        if (c->rate != was.rate || c->burst_bytes != was.burst_bytes)
                model_fill(&m->own, c, 0);
        if (c->shared && c->shared != was.shared && m->shared.pieces == 0)
                model_fill(&m->shared, c, 0);
        if (c->stall_after_bytes == was.stall_after_bytes &&
            c->stall_after_usec == was.stall_after_usec && c->stall_for_usec == was.stall_for_usec)
                return;
        m->stall_usec = MODEL_NEVER;
        if (c->stall_after_usec != CONDITIONS_NEVER)
                m->stall_usec = model_most(now, m->began_usec + c->stall_after_usec);
        else if (m->out_bytes >= c->stall_after_bytes)
                m->stall_usec = now;
}

static inline void model_init(struct model *m, uint64_t now, const struct shaping *shaping,
                              const struct random *random)
{
        *m = (struct model){ .random = *random,
                             .conditions = conditions_none,
                             .stall_usec = MODEL_NEVER,
                             .reserved_usec = MODEL_NEVER,
                             .wake_usec = MODEL_NEVER };
        model_set(m, now, shaping);
}

/* @n: the length of the chunk; 0: the end of the stream. */
static inline void model_put(struct model *m, uint64_t now, size_t n)
{
        const struct conditions *c = &m->conditions;
        uint64_t jittered = c->latency_usec + random_up_to(&m->random, 2 * c->jitter_usec);

        if (m->n == MODEL_CHUNKS) {
                m->n -= m->first;
                for (size_t i = 0; i < m->n; i++)
                        m->chunks[i] = m->chunks[m->first + i];
                m->first = 0;
        }
        CHECK(m->n < MODEL_CHUNKS && !m->ended);
        m->chunks[m->n++] = (struct model_chunk){
                .arrived_usec = now,
                .delay_usec = model_most(jittered, c->jitter_usec) - c->jitter_usec,
                .n = n,
        };
        m->in_bytes += n;
        m->ended = n == 0;
}

/* Taking */

/* Return: the end of the current stall; 0: there is none. */
static inline uint64_t model_stalled_until(const struct model *m, uint64_t now)
{
        uint64_t stall_for = m->conditions.stall_for_usec;

        if (!stall_for || now < m->stall_usec)
                return 0;
        if (stall_for == CONDITIONS_FOREVER)
                return MODEL_NEVER;
        return now < m->stall_usec + stall_for ? m->stall_usec + stall_for : 0;
}

/* Return: the largest, or the smallest, size of the next piece. */
static inline size_t model_piece(const struct model *m, bool most)
{
        const struct conditions *c = &m->conditions;
        uint64_t n = m->chunks[m->first].n, slice = c->slice_bytes, vary = c->slice_variation_bytes;

        if (slice && most)
                n = model_least(n, slice + vary);
        else if (slice)
                n = model_least(n, slice > vary ? slice - vary : 1);
        if (c->rate != CONDITIONS_UNLIMITED && c->burst_bytes)
                n = model_least(n, c->burst_bytes);
        if (c->shared && !c->slice_delay_usec)
                n = model_least(n, model_most(c->rate / 100, 1));
        n = model_least(n, c->limit_bytes - m->out_bytes);
        if (c->stall_for_usec && m->out_bytes < c->stall_after_bytes)
                n = model_least(n, c->stall_after_bytes - m->out_bytes);
        return n;
}

/* Nothing left although bytes were due: there were no tokens. */
static inline void model_wait_for_tokens(struct model *m, uint64_t now)
{
        __int128 missing = model_micro(model_piece(m, true)) - model_tokens(m, now);

        CHECK(m->conditions.rate != CONDITIONS_UNLIMITED &&
              missing + 2 * (__int128)m->conditions.rate > 0);
        m->wake_usec = now + 2;
        if (missing > 0)
                m->wake_usec += (uint64_t)(missing / m->conditions.rate) + 1;
}

static inline void model_leave(struct model *m, uint64_t now, size_t n)
{
        struct model_chunk *chunk = &m->chunks[m->first];

        CHECK(n >= model_piece(m, false) && n <= model_piece(m, true));
        if (m->conditions.rate != CONDITIONS_UNLIMITED) {
                CHECK(model_tokens(m, now) + model_slack(m) >= model_micro(n));
                model_bucket(m)->level -= model_micro(n);
                model_bucket(m)->pieces++;
                m->reserved_usec = MODEL_NEVER;
        }
        chunk->started = true;
        chunk->n -= n;
        m->first += chunk->n == 0;
        m->out_bytes += n;
        m->left_usec = now;
        if (m->stall_usec == MODEL_NEVER && m->out_bytes >= m->conditions.stall_after_bytes)
                m->stall_usec = now;
}

/* Reports that shaper_take() returned this at @now. */
static inline void model_take(struct model *m, uint64_t now, enum shaper_event event, size_t n)
{
        uint64_t due, stalled_until;

        CHECK((event == SHAPER_BYTES) == (n > 0));
        m->wake_usec = MODEL_NEVER;
        m->limited = m->out_bytes > 0 && m->out_bytes >= m->conditions.limit_bytes;
        if (m->limited) {
                CHECK(event == SHAPER_LIMIT);
                return;
        }
        if (model_is_empty(m)) {
                CHECK(event == SHAPER_NOTHING);
                return;
        }
        due = model_due(m);
        stalled_until = model_stalled_until(m, now);
        if (now < due || now < stalled_until) {
                CHECK(event == SHAPER_NOTHING);
                m->wake_usec = now < due ? due : stalled_until;
                m->reserved_usec = MODEL_NEVER;
        } else if (m->chunks[m->first].n == 0) {
                CHECK(event == SHAPER_END);
                m->first++;
        } else if (m->conditions.limit_bytes == 0) {
                CHECK(event == SHAPER_LIMIT);
                m->limited = true;
        } else if (m->conditions.rate == 0) {
                CHECK(event == SHAPER_NOTHING);
        } else if (event == SHAPER_NOTHING) {
                model_wait_for_tokens(m, now);
        } else {
                CHECK(event == SHAPER_BYTES);
                model_leave(m, now, n);
        }
}

/* The state that the shaper reports */
static inline void model_compare(const struct model *m, const struct shaper *shaper)
{
        uint64_t bytes = m->in_bytes - m->out_bytes, held = shaper_held(shaper);

        CHECK(shaper_is_empty(shaper) == model_is_empty(m));
        CHECK(shaper_has_bytes(shaper) == (bytes > 0));
        CHECK(held >= bytes && held <= bytes + 64 * (m->n - m->first));
        CHECK(shaper_is_full(shaper) == (held >= m->hold_bytes));
}
