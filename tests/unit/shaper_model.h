/* SPDX-License-Identifier: MIT */
/*
 * A model of the shaper: a second implementation of its rules. The tests report each call, its
 * moment and its outcome to the model. The model checks with CHECK(), which the including file
 * defines, that the conditions allow this outcome: nothing leaves early, and bytes that are due
 * leave when the shaper is asked.
 *
 * The model keeps tokens as an exact rising level, in millionths of a byte. It draws jitter from
 * the shaper's sequence. Of slices it knows only the range. Whether a group applies it learns from
 * the fate.
 */
#pragma once

#include "shaper.h"

#include <string.h>

#define MODEL_CHUNKS 2048
#define MODEL_NEVER  UINT64_MAX
#define MODEL_PERIOD 251 /* the period of the bytes' pattern */

/* Without a burst, a chunk that leaves up to this late does not delay the chunks behind it. */
#define MODEL_LATE_USEC ((uint64_t)10000)

/* The most groups of conditions. */
#define MODEL_GROUPS 4

struct model_chunk {
        uint64_t arrived_usec, delay_usec;
        size_t n; /* its bytes that have not left; 0: the end of the stream */
        bool started;
        uint64_t at; /* where in the stream it began */
};

/* One group of conditions. */
struct model_group {
        struct conditions said; /* what the configuration says */
        struct conditions c;    /* the same if the group applies, else conditions_none */
        struct random jitter;
        uint64_t since_usec, since_bytes, stall_usec, chunk_usec;
        uint64_t data_usec; /* 0: no data yet */
        uint64_t data_at;   /* where in the stream that came */
};

struct model_bucket {
        __int128 level;
        uint64_t usec; /* the moment of this level */
        uint64_t pieces;
};

struct model {
        struct model_group groups[MODEL_GROUPS];
        size_t n_groups;
        uint64_t send_delay_usec, hold_bytes;
        struct model_chunk chunks[MODEL_CHUNKS];
        size_t first, n;
        struct model_bucket own, shared;
        uint64_t in_bytes, out_bytes; /* without the bytes that are discarded */
        uint64_t discarded_bytes;
        uint64_t left_usec;
        uint64_t reserved_usec; /* the moment since which the next piece waits only for tokens; or
                                   never */
        uint64_t wake_usec; /* after a take without bytes: the moment of the next take at the latest
                             */
        bool ended, limited;
        bool over;          /* a group has ended the connection */
        bool discard_ended; /* which it does at the next take */
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

/* Return: the first of the groups with the lowest rate; NULL: no group has a rate. */
static inline const struct conditions *model_rate(const struct model *m)
{
        const struct conditions *lowest = NULL;

        for (size_t i = 0; i < m->n_groups; i++)
                if (m->groups[i].c.rate < (lowest ? lowest->rate : CONDITIONS_UNLIMITED))
                        lowest = &m->groups[i].c;
        return lowest;
}

static inline struct model_bucket *model_bucket(struct model *m)
{
        return model_rate(m)->shared ? &m->shared : &m->own;
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
        const struct conditions *c = model_rate(m);

        bucket->level += (__int128)c->rate * (int64_t)(now - bucket->usec);
        bucket->usec = now;
        if (bucket->level >= model_micro(c->burst_bytes))
                model_fill(bucket, c, now);
}

/* The sum of a member of all groups. */
#define MODEL_SUM(m, member)                                  \
        ({                                                    \
                uint64_t sum_ = 0;                            \
                                                              \
                for (size_t i_ = 0; i_ < (m)->n_groups; i_++) \
                        sum_ += (m)->groups[i_].c.member;     \
                sum_;                                         \
        })

/* When the first chunk may leave, apart from tokens and a stall. */
static inline uint64_t model_due(const struct model *m)
{
        const struct model_chunk *chunk = &m->chunks[m->first];
        uint64_t longest = MODEL_SUM(m, latency_usec) + MODEL_SUM(m, jitter_usec);
        uint64_t after_delay = chunk->arrived_usec + model_least(chunk->delay_usec, longest);
        uint64_t in_turn = model_most(after_delay, m->left_usec);
        uint64_t pause = MODEL_SUM(m, slice_delay_usec);

        if (chunk->n == 0)
                return in_turn + MODEL_SUM(m, close_delay_usec);
        if (!chunk->started && m->send_delay_usec)
                after_delay = in_turn + m->send_delay_usec;
        if (m->left_usec && pause)
                return model_most(after_delay, m->left_usec + pause);
        return after_delay;
}

/* When the first chunk has been paid for. */
static inline uint64_t model_pay_from(const struct model *m, uint64_t now)
{
        if (model_rate(m)->burst_bytes)
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
        return model_bucket(m)->level + (__int128)model_rate(m)->rate * (now - m->reserved_usec);
}

/* The error of a bucket that counts in whole nanoseconds. */
static inline __int128 model_slack(struct model *m)
{
        return (__int128)model_rate(m)->rate * (model_bucket(m)->pieces + 2) / 1000 + 1;
}

/* Changes */

/* The lowest limit, counted from the beginning. */
static inline uint64_t model_limit(const struct model *m)
{
        uint64_t limit = MODEL_NEVER;

        for (size_t i = 0; i < m->n_groups; i++)
                if (m->groups[i].c.limit_bytes != CONDITIONS_NEVER)
                        limit = model_least(limit,
                                            m->groups[i].since_bytes + m->groups[i].c.limit_bytes);
        return limit;
}

static inline void model_place_stall(struct model_group *g, uint64_t now)
{
        g->stall_usec = MODEL_NEVER;
        if (g->said.stall_after_usec != CONDITIONS_NEVER)
                g->stall_usec = model_most(now, g->since_usec + g->said.stall_after_usec);
}

/* Begins the stalls for which enough bytes have left. */
static inline void model_begin_stalls(struct model *m, uint64_t now)
{
        for (size_t i = 0; i < m->n_groups; i++) {
                struct model_group *g = &m->groups[i];

                if (g->c.stall_for_usec && g->stall_usec == MODEL_NEVER &&
                    m->out_bytes - g->since_bytes >= g->c.stall_after_bytes)
                        g->stall_usec = now;
        }
}

/* Puts a group into force that the shaper follows by @fate. @was: NULL: it is new. */
static inline struct model_group model_group(const struct model *m, uint64_t now,
                                             const struct fate *fate, const struct model_group *was)
{
        struct model_group g = { .since_usec = now,
                                 .since_bytes = m->out_bytes,
                                 .chunk_usec = now };
        bool same = was && conditions_equal(&was->said, fate->group);

        if (was)
                g = *was;
        g.said = *fate->group;
        if (!same) {
                /* What is drawn is the fate's own affair. */
                g.c = fate->conditions == fate->group ? g.said : conditions_none;
                g.jitter = fate->jitter;
                g.chunk_usec = now;
        }
        if (!was || was->said.stall_after_bytes != g.said.stall_after_bytes ||
            was->said.stall_after_usec != g.said.stall_after_usec ||
            was->said.stall_for_usec != g.said.stall_for_usec)
                model_place_stall(&g, now);
        CHECK(fate->jitter.state == g.jitter.state);
        return g;
}

static inline const struct model_group *model_find(const struct model_group *groups, size_t n,
                                                   const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(groups[i].said.name, name) == 0)
                        return &groups[i];
        return NULL;
}

/* Replaces the groups. Return: whether one that discarded until now does not any more. */
static inline bool model_set_groups(struct model *m, uint64_t now, const struct fates *fates)
{
        struct model_group groups[MODEL_GROUPS];
        size_t n = fates ? fates->n : 0;
        bool ended = false;

        CHECK(n <= MODEL_GROUPS);
        for (size_t i = 0; i < n; i++)
                groups[i] =
                        model_group(m, now, &fates->list[i],
                                    model_find(m->groups, m->n_groups, fates->list[i].group->name));
        for (size_t i = 0; i < m->n_groups; i++) {
                const struct model_group *now_is = model_find(groups, n, m->groups[i].said.name);

                ended |= m->groups[i].c.discard && !(now_is && now_is->c.discard);
        }
        memcpy(m->groups, groups, sizeof(groups));
        m->n_groups = n;
        return ended;
}

/* @drawn_usec: when the fates were drawn. */
static inline void model_set(struct model *m, uint64_t drawn_usec, uint64_t now,
                             const struct shaping *shaping)
{
        const struct conditions *rate = model_rate(m);
        struct conditions was = rate ? *rate : conditions_none;
        bool discard_ended = model_set_groups(m, drawn_usec, shaping->fates);

        rate = model_rate(m);
        m->reserved_usec = MODEL_NEVER;
        m->send_delay_usec = shaping->send_delay_usec;
        m->hold_bytes = shaping->hold_bytes;
        if (rate && (rate->rate != was.rate || rate->burst_bytes != was.burst_bytes))
                model_fill(&m->own, rate, 0);
        if (rate && rate->shared && m->shared.pieces == 0)
                model_fill(&m->shared, rate, 0);
        model_begin_stalls(m, now);
        m->limited &= m->out_bytes >= model_limit(m);
        m->discard_ended = discard_ended && !m->ended;
}

static inline void model_init(struct model *m, uint64_t drawn_usec, uint64_t now,
                              const struct shaping *shaping)
{
        *m = (struct model){ .reserved_usec = MODEL_NEVER, .wake_usec = MODEL_NEVER };
        model_set(m, drawn_usec, now, shaping);
        for (size_t i = 0; i < m->n_groups; i++)
                m->groups[i].chunk_usec = now;
}

/* Draws the latency of the next chunk from all groups. */
static inline uint64_t model_draw_delay(struct model *m)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < m->n_groups; i++) {
                const struct conditions *c = &m->groups[i].c;
                uint64_t jittered =
                        c->latency_usec + random_up_to(&m->groups[i].jitter, 2 * c->jitter_usec);

                sum += model_most(jittered, c->jitter_usec) - c->jitter_usec;
        }
        return sum;
}

/* Whether a chunk stays because of the data before it. */
static inline bool model_holds(const struct model *m, const struct model_chunk *chunk)
{
        for (size_t i = 0; i < m->n_groups; i++) {
                const struct model_group *g = &m->groups[i];

                if (g->c.reset_after_data_usec != CONDITIONS_NEVER && g->data_usec &&
                    chunk->at >= g->data_at)
                        return true;
        }
        return false;
}

/* Notes a chunk, or the end. Return: whether the chunk is discarded. */
static inline bool model_note(struct model *m, uint64_t now, bool end)
{
        bool discard = false;

        for (size_t i = 0; i < m->n_groups; i++) {
                struct model_group *g = &m->groups[i];

                if (!end)
                        g->chunk_usec = now;
                discard |= g->c.discard;
                if (g->c.reset_after_data_usec == CONDITIONS_NEVER || g->data_usec)
                        continue;
                g->data_usec = now;
                g->data_at = m->in_bytes;
                discard = true;
        }
        return discard && !end;
}

/* @n: of the chunk; 0: the end of the stream. Return: whether it is discarded. */
static inline bool model_put(struct model *m, uint64_t now, size_t n)
{
        CHECK(!m->ended);
        if (model_note(m, now, n == 0)) {
                m->discarded_bytes += n;
                return true;
        }
        if (m->n == MODEL_CHUNKS) {
                m->n -= m->first;
                for (size_t i = 0; i < m->n; i++)
                        m->chunks[i] = m->chunks[m->first + i];
                m->first = 0;
        }
        CHECK(m->n < MODEL_CHUNKS);
        m->chunks[m->n++] = (struct model_chunk){
                .arrived_usec = now,
                .delay_usec = model_draw_delay(m),
                .n = n,
                .at = m->in_bytes,
        };
        m->in_bytes += n;
        m->ended = n == 0;
        return false;
}

/* Taking */

/* Return: the end of the last of the current stalls; 0: there is none. */
static inline uint64_t model_stalled_until(const struct model *m, uint64_t now)
{
        uint64_t until = 0;

        for (size_t i = 0; i < m->n_groups; i++) {
                const struct model_group *g = &m->groups[i];
                uint64_t stall_for = g->c.stall_for_usec;

                if (!stall_for || now < g->stall_usec)
                        continue;
                if (stall_for == CONDITIONS_FOREVER)
                        return MODEL_NEVER;
                if (now < g->stall_usec + stall_for)
                        until = model_most(until, g->stall_usec + stall_for);
        }
        return until;
}

/* When a group ends the connection by time, as things are now; or never. */
static inline uint64_t model_end(const struct model *m)
{
        uint64_t end = MODEL_NEVER;

        for (size_t i = 0; i < m->n_groups; i++) {
                const struct model_group *g = &m->groups[i];

                if (g->c.discard && g->c.discard_idle_usec != CONDITIONS_NEVER && !m->ended)
                        end = model_least(end, g->chunk_usec + g->c.discard_idle_usec);
                if (g->c.reset_after_data_usec != CONDITIONS_NEVER && g->data_usec)
                        end = model_least(end, g->data_usec + g->c.reset_after_data_usec);
        }
        return end;
}

/* The slices are those of the first of the groups with the smallest ones; NULL: there are none. */
static inline const struct conditions *model_slices(const struct model *m)
{
        const struct conditions *smallest = NULL;

        for (size_t i = 0; i < m->n_groups; i++) {
                const struct conditions *c = &m->groups[i].c;

                if (c->slice_bytes && (!smallest || c->slice_bytes < smallest->slice_bytes))
                        smallest = c;
        }
        return smallest;
}

/* Return: the largest, or the smallest, size of the next piece. */
static inline size_t model_piece(const struct model *m, bool most)
{
        const struct conditions *rate = model_rate(m), *slices = model_slices(m);
        uint64_t n = m->chunks[m->first].n, slice = slices ? slices->slice_bytes : 0,
                 vary = slices ? slices->slice_variation_bytes : 0;

        if (slice && most)
                n = model_least(n, slice + vary);
        else if (slice)
                n = model_least(n, slice > vary ? slice - vary : 1);
        if (rate && rate->burst_bytes)
                n = model_least(n, rate->burst_bytes);
        if (rate && rate->shared && !MODEL_SUM(m, slice_delay_usec))
                n = model_least(n, model_most(rate->rate / 100, 1));
        n = model_least(n, model_limit(m) - m->out_bytes);
        for (size_t i = 0; i < m->n_groups; i++) {
                const struct model_group *g = &m->groups[i];

                if (g->c.stall_for_usec && g->stall_usec == MODEL_NEVER &&
                    g->c.stall_after_bytes != CONDITIONS_NEVER)
                        n = model_least(n, g->since_bytes + g->c.stall_after_bytes - m->out_bytes);
        }
        return n;
}

/* Nothing left although bytes were due: there were no tokens. */
static inline void model_wait_for_tokens(struct model *m, uint64_t now)
{
        __int128 missing = model_micro(model_piece(m, true)) - model_tokens(m, now);
        const struct conditions *c = model_rate(m);

        CHECK(missing + 2 * (__int128)c->rate > 0);
        m->wake_usec = now + 2;
        if (missing > 0)
                m->wake_usec += (uint64_t)(missing / c->rate) + 1;
}

static inline void model_leave(struct model *m, uint64_t now, size_t n)
{
        struct model_chunk *chunk = &m->chunks[m->first];

        CHECK(n >= model_piece(m, false) && n <= model_piece(m, true));
        if (model_rate(m)) {
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
        model_begin_stalls(m, now);
        m->limited = m->out_bytes == model_limit(m);
}

/* As model_take(), while no group ends the connection. */
static inline void model_take_piece(struct model *m, uint64_t now, enum shaper_event event,
                                    size_t n)
{
        const struct model_chunk *chunk = &m->chunks[m->first];
        uint64_t due = model_due(m), stalled_until = model_stalled_until(m, now);

        if (now < due || now < stalled_until) {
                CHECK(event == SHAPER_NOTHING);
                m->wake_usec = now < due ? due : stalled_until;
                m->reserved_usec = MODEL_NEVER;
        } else if (chunk->n == 0) {
                CHECK(event == SHAPER_END);
                m->first++;
        } else if (m->out_bytes >= model_limit(m)) {
                CHECK(event == SHAPER_OVER);
                m->limited = m->over = true;
        } else if (model_rate(m) && model_rate(m)->rate == 0) {
                CHECK(event == SHAPER_NOTHING);
        } else if (event == SHAPER_NOTHING) {
                CHECK(model_rate(m));
                model_wait_for_tokens(m, now);
        } else {
                CHECK(event == SHAPER_BYTES);
                model_leave(m, now, n);
        }
}

/* Reports that shaper_take() returned this at @now. */
static inline void model_take(struct model *m, uint64_t now, enum shaper_event event, size_t n)
{
        CHECK((event == SHAPER_BYTES) == (n > 0));
        m->wake_usec = MODEL_NEVER;
        m->over = m->limited || m->discard_ended || now >= model_end(m);
        if (m->over) {
                CHECK(event == SHAPER_OVER);
                return;
        }
        if (model_is_empty(m) || model_holds(m, &m->chunks[m->first]))
                CHECK(event == SHAPER_NOTHING);
        else
                model_take_piece(m, now, event, n);
        if (event == SHAPER_NOTHING)
                m->wake_usec = model_least(m->wake_usec, model_end(m));
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
