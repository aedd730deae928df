/* SPDX-License-Identifier: MIT */
#include "fate.h"

#include <errno.h>
#include <string.h>

#define NEVER UINT64_MAX

static uint64_t least(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

static size_t count(const struct fates *fates)
{
        return fates ? fates->n : 0;
}

static void fates_freep(struct fates **fates)
{
        fates_free(*fates);
}

/* Drawing */

/* Return: a number for the name and version of a group; 0: neither is set (FNV-1a, without its
 * offset). */
static uint64_t hash_identity(const struct conditions *group)
{
        uint64_t hash = group->version;

        for (const char *p = group->name; *p; p++)
                hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
        return hash;
}

/* Draws whether the group applies, and makes its generators. */
static void draw(struct fate *fate, const struct fate_origin *origin)
{
        const struct conditions *group = fate->group;
        struct random random = random_new(origin->seed ^ hash_identity(group), origin->connection,
                                          origin->direction);
        double drop = random_share(&random);

        fate->conditions = random_share(&random) < group->probability ? group : &conditions_none;
        fate->drops = drop < fate->conditions->drop_new;
        fate->jitter = random;
        fate->slices = random_new(random.state, 0, 0);
}

/* Sets the beginning of a stall by time. A stall whose beginning has passed begins now. */
static void place_stall(struct fate *fate, const struct fate_origin *origin)
{
        uint64_t after = fate->group->stall_after_usec;

        fate->stall_usec = NEVER;
        if (after != CONDITIONS_NEVER)
                fate->stall_usec = most(fate->since_usec + after, origin->now_usec);
}

static bool is_same_stall(const struct conditions *a, const struct conditions *b)
{
        return a->stall_after_bytes == b->stall_after_bytes &&
               a->stall_after_usec == b->stall_after_usec && a->stall_for_usec == b->stall_for_usec;
}

static const struct fate *find(const struct fates *fates, const char *name)
{
        for (size_t i = 0; i < count(fates); i++)
                if (strcmp(fates->list[i].group->name, name) == 0)
                        return &fates->list[i];
        return NULL;
}

/* Begins the fate of a new group. */
static void begin(struct fate *fate, const struct fate_origin *origin)
{
        fate->since_usec = fate->chunk_usec = origin->now_usec;
        fate->since_bytes = origin->passed_bytes;
        draw(fate, origin);
        place_stall(fate, origin);
}

/* Continues the fate of a group that existed before, perhaps with other values. */
static void go_on(struct fate *fate, const struct fate_origin *origin, const struct fate *before)
{
        const struct conditions *group = fate->group;

        *fate = *before;
        fate->group = group;
        fate->bucket = NULL;
        if (conditions_equal(group, before->group)) {
                if (before->conditions == before->group)
                        fate->conditions = group;
                return;
        }
        fate->chunk_usec = origin->now_usec;
        draw(fate, origin);
        if (!is_same_stall(group, before->group))
                place_stall(fate, origin);
}

/* Return: 0; -ENOMEM. */
static int make(struct fate *fate, const struct conditions *group, const struct fate_origin *origin,
                const struct fates *before)
{
        const struct fate *same = find(before, group->name);

        fate->group = group;
        if (same)
                go_on(fate, origin, same);
        else
                begin(fate, origin);
        return group->shared ? origin->take_bucket(origin->arg, group, &fate->bucket) : 0;
}

int fates_new(const struct condition_list *groups, const struct fate_origin *origin,
              const struct fates *before, struct fates **out)
{
        _cleanup_(fates_freep) struct fates *fates = NULL;

        if (groups->n > 0) {
                fates = calloc(1, sizeof(*fates) + groups->n * sizeof(fates->list[0]));
                if (!fates)
                        return -ENOMEM;
                fates->n = groups->n;
        }
        for (size_t i = 0; i < groups->n; i++) {
                int r = make(&fates->list[i], &groups->groups[i], origin, before);

                if (r < 0)
                        return r;
        }
        *out = fates;
        fates = NULL;
        return 0;
}

struct fates *fates_free(struct fates *fates)
{
        for (size_t i = 0; i < count(fates); i++)
                bucket_unref(fates->list[i].bucket);
        free(fates);
        return NULL;
}

bool fates_drop(const struct fates *fates)
{
        for (size_t i = 0; i < count(fates); i++)
                if (fates->list[i].drops)
                        return true;
        return false;
}

/* Ends of the connection */

const struct conditions *fates_reset(const struct fates *fates, uint64_t *at_usec)
{
        const struct conditions *first = NULL;

        for (size_t i = 0; i < count(fates); i++) {
                const struct fate *fate = &fates->list[i];
                const struct conditions *c = fate->conditions;

                if (c->reset_after_usec == CONDITIONS_NEVER ||
                    (first && fate->since_usec + c->reset_after_usec >= *at_usec))
                        continue;
                *at_usec = fate->since_usec + c->reset_after_usec;
                first = c;
        }
        return first;
}

/* Moves the end forward, if @at_usec is earlier. */
static void advance_end(struct fate_end *end, uint64_t at_usec, enum fate_reason why,
                        const struct conditions *group)
{
        if (at_usec < end->at_usec)
                *end = (struct fate_end){ at_usec, why, group };
}

struct fate_end fates_end(const struct fates *fates, bool ended)
{
        struct fate_end end = { .at_usec = NEVER };

        for (size_t i = 0; i < count(fates); i++) {
                const struct fate *fate = &fates->list[i];
                const struct conditions *c = fate->conditions;

                if (c->discard && !ended && c->discard_idle_usec != CONDITIONS_NEVER)
                        advance_end(&end, fate->chunk_usec + c->discard_idle_usec, FATE_IDLE, c);
                if (fate->data_usec && c->reset_after_data_usec != CONDITIONS_NEVER)
                        advance_end(&end, fate->data_usec + c->reset_after_data_usec, FATE_RESET,
                                    c);
        }
        return end;
}

const struct conditions *fates_discard_ended(const struct fates *before, const struct fates *after)
{
        for (size_t i = 0; i < count(before); i++) {
                const struct conditions *c = before->list[i].conditions;
                const struct fate *same = find(after, c->name);

                if (c->discard && !(same && same->conditions->discard))
                        return c;
        }
        return NULL;
}

/* Folding */

bool fates_shape(const struct fates *fates)
{
        for (size_t i = 0; i < count(fates); i++)
                if (conditions_shape(fates->list[i].conditions))
                        return true;
        return false;
}

static void fold_rate(struct fold *fold, const struct fate *fate)
{
        if (fate->conditions->rate >= fold->rate)
                return;
        fold->rate = fate->conditions->rate;
        fold->burst_bytes = fate->conditions->burst_bytes;
        fold->shared = fate->bucket;
}

static void fold_slices(struct fold *fold, struct fate *fate)
{
        const struct conditions *c = fate->conditions;

        fold->slice_delay_usec += c->slice_delay_usec;
        if (!c->slice_bytes || (fold->slices && c->slice_bytes >= fold->slice_bytes))
                return;
        fold->slice_bytes = c->slice_bytes;
        fold->slice_variation_bytes = c->slice_variation_bytes;
        fold->slices = &fate->slices;
}

static void fold_limit(struct fold *fold, const struct fate *fate)
{
        const struct conditions *c = fate->conditions;

        if (c->limit_bytes == CONDITIONS_NEVER ||
            fate->since_bytes + c->limit_bytes >= fold->limit_bytes)
                return;
        fold->limit_bytes = fate->since_bytes + c->limit_bytes;
        fold->limit = c;
}

static void fold_notes(struct fold *fold, const struct fate *fate)
{
        bool resets = fate->conditions->reset_after_data_usec != CONDITIONS_NEVER;

        fold->notes |= fate->conditions->discard || resets;
        if (resets && fate->data_usec)
                fold->held_from_bytes = least(fold->held_from_bytes, fate->held_from_bytes);
}

struct fold fates_fold(struct fates *fates)
{
        struct fold fold = {
                .rate = CONDITIONS_UNLIMITED,
                .limit_bytes = NEVER,
                .held_from_bytes = NEVER,
        };

        for (size_t i = 0; i < count(fates); i++) {
                struct fate *fate = &fates->list[i];
                const struct conditions *c = fate->conditions;

                fold.delay_max_usec += c->latency_usec + c->jitter_usec;
                fold.close_delay_usec += c->close_delay_usec;
                fold_rate(&fold, fate);
                fold_slices(&fold, fate);
                fold_limit(&fold, fate);
                fold.stalls |= c->stall_for_usec > 0;
                fold_notes(&fold, fate);
        }
        return fold;
}

/* State */

uint64_t fates_draw_delay(struct fates *fates)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < count(fates); i++) {
                struct fate *fate = &fates->list[i];
                const struct conditions *c = fate->conditions;
                uint64_t delay = c->latency_usec + random_up_to(&fate->jitter, 2 * c->jitter_usec);

                sum += most(delay, c->jitter_usec) - c->jitter_usec;
        }
        return sum;
}

void fates_restart_idle(struct fates *fates, uint64_t now_usec)
{
        for (size_t i = 0; i < count(fates); i++)
                fates->list[i].chunk_usec = now_usec;
}

unsigned fates_note_end(struct fates *fates, uint64_t put_bytes, uint64_t now_usec)
{
        unsigned faults = 0;

        for (size_t i = 0; i < count(fates); i++) {
                struct fate *fate = &fates->list[i];

                if (fate->data_usec || fate->conditions->reset_after_data_usec == CONDITIONS_NEVER)
                        continue;
                fate->data_usec = now_usec;
                fate->held_from_bytes = put_bytes;
                faults |= FAULT_RESET_DATA;
        }
        return faults;
}

unsigned fates_note_chunk(struct fates *fates, uint64_t put_bytes, uint64_t now_usec)
{
        unsigned faults = fates_note_end(fates, put_bytes, now_usec);

        fates_restart_idle(fates, now_usec);
        for (size_t i = 0; i < count(fates); i++)
                faults |= fates->list[i].conditions->discard ? FAULT_DISCARD : 0;
        return faults;
}

uint64_t fates_stalled_until(const struct fates *fates, uint64_t now_usec)
{
        uint64_t until = now_usec;

        for (size_t i = 0; i < count(fates); i++) {
                const struct fate *fate = &fates->list[i];
                uint64_t stall_for = fate->conditions->stall_for_usec;

                if (!stall_for || now_usec < fate->stall_usec)
                        continue;
                if (stall_for == CONDITIONS_FOREVER)
                        return CONDITIONS_FOREVER;
                until = most(until, fate->stall_usec + stall_for);
        }
        return until;
}

/* Return: bytes that may pass until the stall of @fate begins; or never. */
static uint64_t bytes_to_stall(const struct fate *fate, uint64_t passed_bytes)
{
        const struct conditions *c = fate->conditions;
        uint64_t passed = passed_bytes - fate->since_bytes;

        if (!c->stall_for_usec || fate->stall_usec != NEVER)
                return NEVER;
        return most(c->stall_after_bytes, passed) - passed;
}

uint64_t fates_bytes_to_stall(const struct fates *fates, uint64_t passed_bytes)
{
        uint64_t bytes = NEVER;

        for (size_t i = 0; i < count(fates); i++)
                bytes = least(bytes, bytes_to_stall(&fates->list[i], passed_bytes));
        return bytes;
}

void fates_begin_stalls(struct fates *fates, uint64_t passed_bytes, uint64_t now_usec)
{
        for (size_t i = 0; i < count(fates); i++)
                if (bytes_to_stall(&fates->list[i], passed_bytes) == 0)
                        fates->list[i].stall_usec = now_usec;
}
