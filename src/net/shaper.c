/* SPDX-License-Identifier: MIT */
/*
 * Bytes and their schedule wait in two evbuffers: @bytes is the stream, @chunks a queue of struct
 * chunk. @first is the chunk that leaves next, already removed from the queue. The lengths of
 * @first and of the queued chunks always add up to the length of @bytes.
 *
 * The length, the tokens and the moment of the next piece are chosen once. A change of conditions
 * chooses them again.
 */
#include "shaper.h"

#include <errno.h>
#include <event2/buffer.h>

struct chunk {
        uint64_t arrived_usec, delay_usec;
        uint32_t n;
        bool started; /* a piece of it has left */
        bool end;
};

struct shaper {
        struct evbuffer *bytes, *chunks;
        struct timer timer;
        struct conditions conditions;
        struct bucket *bucket;        /* a reference */
        struct random jitter, slices; /* separate, so that slicing does not shift the jitter */
        uint64_t send_delay_usec, hold_bytes, began_usec;
        struct chunk first;  /* length 0 and not the end: there is none */
        size_t piece;        /* length of the next piece of @first; 0: not chosen yet */
        uint64_t piece_usec; /* when that piece may leave */
        uint64_t left_usec;  /* when the last piece left; 0: none has */
        uint64_t out_bytes;
        uint64_t stall_usec; /* when the stall begins; or never */
        unsigned faults;
        void (*on_due)(void *arg);
        void *arg;
};

/*
 * Without a burst, a chunk that leaves late because a timer or a turn of the loop was late does not
 * delay the chunks behind it. A chunk that is later than this was not taken by its destination:
 * the lost time must not become a burst.
 */
#define LATE_MAX_USEC (10 * USEC_PER_MSEC)

static uint64_t least(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

static bool has_rate(const struct conditions *conditions)
{
        return conditions->rate != CONDITIONS_UNLIMITED;
}

static void shaper_on_timer(struct timer *timer)
{
        struct shaper *shaper = container_of(timer, struct shaper, timer);

        shaper->on_due(shaper->arg);
}

static void shaper_freep(struct shaper **shaper)
{
        shaper_free(*shaper);
}

bool shaping_is_needed(const struct shaping *shaping)
{
        return shaping->send_delay_usec || conditions_shape(shaping->conditions);
}

int shaper_new(struct loop *loop, const struct shaping *shaping, const struct random *random,
               void (*on_due)(void *arg), void *arg, struct shaper **out)
{
        _cleanup_(shaper_freep) struct shaper *shaper = calloc(1, sizeof(*shaper));
        int r;

        if (!shaper)
                return -ENOMEM;
        timer_init(&shaper->timer, loop_timers(loop), shaper_on_timer);
        shaper->jitter = *random;
        shaper->slices = random_new(random->state, 0, 0);
        shaper->on_due = on_due;
        shaper->arg = arg;
        shaper->bytes = evbuffer_new();
        shaper->chunks = evbuffer_new();
        if (!shaper->bytes || !shaper->chunks)
                return -ENOMEM;
        r = bucket_new(&shaper->bucket);
        if (r < 0)
                return r;
        shaper->out_bytes = shaping->out_bytes;
        shaper->conditions = conditions_none;
        shaper->stall_usec = CONDITIONS_NEVER;
        shaper_set(shaper, shaping);
        *out = shaper;
        shaper = NULL;
        return 0;
}

static struct bucket *bucket_of(const struct shaper *shaper)
{
        return shaper->conditions.shared ? shaper->conditions.shared : shaper->bucket;
}

/* Returns the tokens of the next piece. shaper_take() will choose the piece again. */
static void unchoose(struct shaper *shaper)
{
        if (shaper->piece && !shaper->first.end && has_rate(&shaper->conditions))
                bucket_return(bucket_of(shaper), shaper->piece, shaper->conditions.rate);
        shaper->piece = 0;
}

struct shaper *shaper_free(struct shaper *shaper)
{
        if (!shaper)
                return NULL;
        unchoose(shaper);
        timer_stop(&shaper->timer);
        if (shaper->bytes)
                evbuffer_free(shaper->bytes);
        if (shaper->chunks)
                evbuffer_free(shaper->chunks);
        bucket_unref(shaper->bucket);
        bucket_unref(shaper->conditions.shared);
        free(shaper);
        return NULL;
}

static bool is_same_stall(const struct conditions *a, const struct conditions *b)
{
        return a->stall_after_bytes == b->stall_after_bytes &&
               a->stall_after_usec == b->stall_after_usec && a->stall_for_usec == b->stall_for_usec;
}

void shaper_set(struct shaper *shaper, const struct shaping *shaping)
{
        const struct conditions *conditions = shaping->conditions;
        uint64_t after = conditions->stall_after_usec;

        unchoose(shaper);
        shaper->began_usec = shaping->began_usec;
        if (!is_same_stall(&shaper->conditions, conditions)) {
                shaper->stall_usec = CONDITIONS_NEVER;
                /* A stall whose beginning has passed begins now. */
                if (conditions->stall_for_usec && after != CONDITIONS_NEVER)
                        shaper->stall_usec = most(shaper->began_usec + after, now_usec());
                else if (shaper->out_bytes >= conditions->stall_after_bytes)
                        shaper->stall_usec = now_usec();
        }
        /* A new rate starts with a full bucket. */
        if (conditions->rate != shaper->conditions.rate ||
            conditions->burst_bytes != shaper->conditions.burst_bytes)
                bucket_fill(shaper->bucket);
        if (conditions->shared)
                bucket_ref(conditions->shared);
        bucket_unref(shaper->conditions.shared);
        shaper->conditions = *conditions;
        shaper->send_delay_usec = shaping->send_delay_usec;
        shaper->hold_bytes = shaping->hold_bytes;
}

/* Putting */

/* Return: the latency of the next chunk, with its jitter. */
static uint64_t draw_delay(struct shaper *shaper)
{
        const struct conditions *c = &shaper->conditions;
        uint64_t delay = c->latency_usec + random_up_to(&shaper->jitter, 2 * c->jitter_usec);

        return delay > c->jitter_usec ? delay - c->jitter_usec : 0;
}

static int append(struct shaper *shaper, struct chunk chunk)
{
        chunk.arrived_usec = now_usec();
        return evbuffer_add(shaper->chunks, &chunk, sizeof(chunk)) < 0 ? -ENOMEM : 0;
}

int shaper_put(struct shaper *shaper, const void *data, size_t n)
{
        /* Make room for the bytes first: once the chunk is queued, adding them cannot fail. */
        if (evbuffer_expand(shaper->bytes, n) < 0 ||
            append(shaper, (struct chunk){ .n = (uint32_t)n, .delay_usec = draw_delay(shaper) }) <
                    0 ||
            evbuffer_add(shaper->bytes, data, n) < 0)
                return -ENOMEM;
        return 0;
}

int shaper_put_end(struct shaper *shaper)
{
        return append(shaper, (struct chunk){ .end = true, .delay_usec = draw_delay(shaper) });
}

/* Taking */

/* Takes the first chunk off the queue, if that has not been done. Return: whether there is one. */
static bool load_first(struct shaper *shaper)
{
        if (shaper->first.n || shaper->first.end)
                return true;
        return evbuffer_remove(shaper->chunks, &shaper->first, sizeof(shaper->first)) ==
               sizeof(shaper->first);
}

/* Return: when the next piece of the first chunk may leave, tokens and stalls aside. */
static uint64_t due_usec(const struct shaper *shaper)
{
        const struct conditions *c = &shaper->conditions;
        const struct chunk *first = &shaper->first;
        uint64_t due =
                first->arrived_usec + least(first->delay_usec, c->latency_usec + c->jitter_usec);

        if (first->end)
                return most(due, shaper->left_usec) + c->close_delay_usec;
        if (!first->started && shaper->send_delay_usec)
                due = most(due, shaper->left_usec) + shaper->send_delay_usec;
        if (shaper->left_usec && c->slice_delay_usec)
                due = most(due, shaper->left_usec + c->slice_delay_usec);
        return due;
}

/* Return: the length of the next piece of the first chunk. */
static size_t choose_length(struct shaper *shaper)
{
        const struct conditions *c = &shaper->conditions;
        uint64_t n = shaper->first.n, variation = c->slice_variation_bytes;

        if (c->slice_bytes) {
                uint64_t slice = c->slice_bytes + random_up_to(&shaper->slices, 2 * variation);

                n = least(n, slice > variation ? slice - variation : 1);
        }
        if (has_rate(c) && c->burst_bytes)
                n = least(n, c->burst_bytes);
        /*
         * A shaper that is freed returns its tokens, but the shapers that reserved after it keep
         * their moments. So nobody reserves more than 10 ms of the rate at once, unless smaller
         * pieces would mean more slice delays.
         */
        if (c->shared && !c->slice_delay_usec)
                n = least(n, most(c->rate / 100, 1));
        n = least(n, c->limit_bytes - shaper->out_bytes);
        if (c->stall_for_usec && c->stall_after_bytes > shaper->out_bytes)
                n = least(n, c->stall_after_bytes - shaper->out_bytes);
        return (size_t)n;
}

/* Chooses the next piece. @due: when the piece could leave if it needed no tokens. */
static void choose_piece(struct shaper *shaper, uint64_t now, uint64_t due)
{
        const struct conditions *c = &shaper->conditions;

        shaper->piece = shaper->first.end ? 1 : choose_length(shaper);
        shaper->piece_usec = now;
        if (!has_rate(c) || shaper->first.end)
                return;
        /* A burst makes up for lateness. Without one, the bytes are paid for from @due on. */
        if (!c->burst_bytes)
                now = most(due, now - LATE_MAX_USEC);
        shaper->piece_usec =
                bucket_reserve(bucket_of(shaper), now, shaper->piece, c->rate, c->burst_bytes);
}

/* Return: when the current stall ends; @now: there is none. */
static uint64_t stalled_until(const struct shaper *shaper, uint64_t now)
{
        const struct conditions *c = &shaper->conditions;

        if (!c->stall_for_usec || now < shaper->stall_usec)
                return now;
        if (c->stall_for_usec == CONDITIONS_FOREVER)
                return CONDITIONS_FOREVER;
        return most(now, shaper->stall_usec + c->stall_for_usec);
}

/* Calls on_due at @until, unless that is never. @fault: what makes the bytes wait. */
static int wait_until(struct shaper *shaper, uint64_t until, unsigned fault)
{
        shaper->faults |= fault;
        if (until == CONDITIONS_FOREVER)
                return 0;
        return timer_set(&shaper->timer, until);
}

/* Removes the piece that was chosen. */
static void remove_piece(struct shaper *shaper, uint64_t now, uint8_t *buffer, size_t *n,
                         enum shaper_event *event)
{
        if (shaper->first.end) {
                shaper->first.end = false;
                shaper->piece = 0;
                *event = SHAPER_END;
                return;
        }
        *n = shaper->piece;
        *event = SHAPER_BYTES;
        if (shaper->piece < shaper->first.n && shaper->conditions.slice_bytes)
                shaper->faults |= FAULT_SLICE;
        (void)evbuffer_remove(shaper->bytes, buffer, shaper->piece);
        shaper->first.n -= (uint32_t)shaper->piece;
        shaper->first.started = true;
        shaper->out_bytes += shaper->piece;
        if (shaper->stall_usec == CONDITIONS_NEVER &&
            shaper->out_bytes >= shaper->conditions.stall_after_bytes)
                shaper->stall_usec = now;
        shaper->left_usec = now;
        shaper->piece = 0;
}

/* Return: the faults that make the first chunk wait, apart from rate and stall. */
static unsigned wait_fault(const struct shaper *shaper, uint64_t now)
{
        const struct conditions *c = &shaper->conditions;
        const struct chunk *first = &shaper->first;
        unsigned fault = 0;

        if (now < first->arrived_usec + least(first->delay_usec, c->latency_usec + c->jitter_usec))
                fault |= FAULT_LATENCY;
        if (first->end && c->close_delay_usec)
                fault |= FAULT_CLOSE_DELAY;
        if (!first->end && shaper->left_usec && now < shaper->left_usec + c->slice_delay_usec)
                fault |= FAULT_SLICE;
        return fault;
}

static int reach_limit(struct shaper *shaper, enum shaper_event *event)
{
        shaper->faults |= FAULT_LIMIT;
        *event = SHAPER_LIMIT;
        return 0;
}

int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n, enum shaper_event *event)
{
        const uint64_t limit = shaper->conditions.limit_bytes;
        uint64_t now = now_usec(), due, until;

        *n = 0;
        *event = SHAPER_NOTHING;
        if (shaper->out_bytes > 0 && shaper->out_bytes >= limit)
                return reach_limit(shaper, event);
        if (!load_first(shaper))
                return 0;
        due = due_usec(shaper);
        if (now < due)
                return wait_until(shaper, due, wait_fault(shaper, now));
        until = stalled_until(shaper, now);
        if (now < until) {
                unchoose(shaper);
                return wait_until(shaper, until, FAULT_STALL);
        }
        if (limit == 0 && !shaper->first.end)
                return reach_limit(shaper, event);
        if (shaper->conditions.rate == 0 && !shaper->first.end)
                return wait_until(shaper, CONDITIONS_FOREVER, FAULT_RATE);
        if (!shaper->piece)
                choose_piece(shaper, now, due);
        if (now < shaper->piece_usec)
                return wait_until(shaper, shaper->piece_usec, FAULT_RATE);
        remove_piece(shaper, now, buffer, n, event);
        return 0;
}

int shaper_yield(struct shaper *shaper)
{
        return timer_set(&shaper->timer, now_usec());
}

unsigned shaper_faults(const struct shaper *shaper)
{
        return shaper->faults;
}

size_t shaper_bytes(const struct shaper *shaper)
{
        return evbuffer_get_length(shaper->bytes);
}

size_t shaper_held(const struct shaper *shaper)
{
        return evbuffer_get_length(shaper->bytes) + evbuffer_get_length(shaper->chunks);
}

bool shaper_is_empty(const struct shaper *shaper)
{
        return !shaper->first.n && !shaper->first.end && evbuffer_get_length(shaper->chunks) == 0;
}

bool shaper_has_bytes(const struct shaper *shaper)
{
        return evbuffer_get_length(shaper->bytes) > 0;
}

bool shaper_is_full(const struct shaper *shaper)
{
        return shaper_held(shaper) >= shaper->hold_bytes;
}

bool shaper_is_waiting(const struct shaper *shaper)
{
        return timer_is_set(&shaper->timer);
}
