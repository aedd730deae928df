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
        struct timer due;      /* fires when the first piece may leave */
        struct timer deadline; /* fires when a group may end the connection */
        struct fates *fates;
        struct fold fold;      /* of @fates */
        struct bucket *bucket; /* a reference */
        uint64_t send_delay_usec, hold_bytes;
        struct chunk first;  /* length 0 and not the end: there is none */
        size_t piece;        /* length of the next piece of @first; 0: not chosen yet */
        uint64_t piece_usec; /* when that piece may leave */
        uint64_t left_usec;  /* when the last piece left; 0: none has */
        uint64_t out_bytes;
        bool ended;          /* the end of the stream was put */
        bool limited;        /* the limit has been reached */
        struct fate_end end; /* of the connection, as things are now */
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

static bool has_rate(const struct fold *fold)
{
        return fold->rate != CONDITIONS_UNLIMITED;
}

static void shaper_freep(struct shaper **shaper)
{
        shaper_free(*shaper);
}

bool shaping_is_needed(const struct shaping *shaping)
{
        return shaping->send_delay_usec || fates_shape(shaping->fates);
}

/* The end of the connection */

static bool is_over(struct shaper *shaper, uint64_t now)
{
        static const unsigned faults[] = {
                [FATE_LIMIT] = FAULT_LIMIT,
                [FATE_IDLE] = FAULT_DISCARD,
                [FATE_RESET] = FAULT_RESET_DATA,
                [FATE_DISCARD_ENDED] = FAULT_DISCARD,
        };
        const struct fate_end *end = &shaper->end;

        if (end->at_usec == CONDITIONS_NEVER || now < end->at_usec)
                return false;
        shaper->faults |= faults[end->why];
        return true;
}

bool shaper_is_over(struct shaper *shaper, struct fate_end *end)
{
        if (!is_over(shaper, now_usec()))
                return false;
        *end = shaper->end;
        return true;
}

static void reach_limit(struct shaper *shaper)
{
        shaper->limited = true;
        shaper->end = (struct fate_end){ .why = FATE_LIMIT, .group = shaper->fold.limit };
}

/* Finds the end, as things are now. A timer that is set too early asks again when it fires. */
static int set_end(struct shaper *shaper)
{
        if (shaper->limited) {
                reach_limit(shaper);
                return 0;
        }
        shaper->end = fates_end(shaper->fates, shaper->ended);
        if (shaper->end.at_usec == CONDITIONS_NEVER) {
                timer_stop(&shaper->deadline);
                return 0;
        }
        if (timer_is_set(&shaper->deadline) && shaper->deadline.until_usec <= shaper->end.at_usec)
                return 0;
        return timer_set(&shaper->deadline, shaper->end.at_usec);
}

static void on_deadline(struct timer *timer)
{
        struct shaper *shaper = container_of(timer, struct shaper, deadline);

        /* To set it needs no memory: the place that it had among the timers is free. */
        if (now_usec() < shaper->end.at_usec && timer_set(timer, shaper->end.at_usec) == 0)
                return;
        shaper->on_due(shaper->arg);
}

static void on_timer(struct timer *timer)
{
        struct shaper *shaper = container_of(timer, struct shaper, due);

        shaper->on_due(shaper->arg);
}

/* Settings */

static struct bucket *bucket_of(const struct shaper *shaper)
{
        return shaper->fold.shared ? shaper->fold.shared : shaper->bucket;
}

/* Returns the tokens of the next piece. shaper_take() will choose the piece again. */
static void unchoose(struct shaper *shaper)
{
        if (shaper->piece && !shaper->first.end && has_rate(&shaper->fold))
                bucket_return(bucket_of(shaper), shaper->piece, shaper->fold.rate);
        shaper->piece = 0;
}

static int set(struct shaper *shaper, const struct shaping *shaping, uint64_t now)
{
        const struct fold fold = fates_fold(shaping->fates);
        const struct conditions *discarded = fates_discard_ended(shaper->fates, shaping->fates);
        int r;

        unchoose(shaper);
        /* A new rate starts with a full bucket. */
        if (fold.rate != shaper->fold.rate || fold.burst_bytes != shaper->fold.burst_bytes)
                bucket_fill(shaper->bucket);
        shaper->fates = shaping->fates;
        shaper->fold = fold;
        shaper->send_delay_usec = shaping->send_delay_usec;
        shaper->hold_bytes = shaping->hold_bytes;
        shaper->limited &= shaper->out_bytes >= fold.limit_bytes;
        if (fold.stalls)
                fates_begin_stalls(shaper->fates, shaper->out_bytes, now);
        r = set_end(shaper);
        if (discarded && !shaper->ended)
                shaper->end = (struct fate_end){ .why = FATE_DISCARD_ENDED, .group = discarded };
        return r;
}

int shaper_set(struct shaper *shaper, const struct shaping *shaping)
{
        return set(shaper, shaping, now_usec());
}

/* Life */

int shaper_new(struct loop *loop, const struct shaping *shaping, void (*on_due)(void *arg),
               void *arg, struct shaper **out)
{
        _cleanup_(shaper_freep) struct shaper *shaper = calloc(1, sizeof(*shaper));
        uint64_t now;
        int r;

        if (!shaper)
                return -ENOMEM;
        timer_init(&shaper->due, loop_timers(loop), on_timer);
        timer_init(&shaper->deadline, loop_timers(loop), on_deadline);
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
        shaper->fold = fates_fold(NULL);
        now = now_usec();
        fates_restart_idle(shaping->fates, now);
        r = set(shaper, shaping, now);
        if (r < 0)
                return r;
        *out = shaper;
        shaper = NULL;
        return 0;
}

struct shaper *shaper_free(struct shaper *shaper)
{
        if (!shaper)
                return NULL;
        unchoose(shaper);
        timer_stop(&shaper->due);
        timer_stop(&shaper->deadline);
        if (shaper->bytes)
                evbuffer_free(shaper->bytes);
        if (shaper->chunks)
                evbuffer_free(shaper->chunks);
        bucket_unref(shaper->bucket);
        free(shaper);
        return NULL;
}

/* Putting */

static int append(struct shaper *shaper, struct chunk chunk)
{
        chunk.delay_usec = fates_draw_delay(shaper->fates);
        return evbuffer_add(shaper->chunks, &chunk, sizeof(chunk)) < 0 ? -ENOMEM : 0;
}

/* Notes a chunk, or the end of the stream. @discard: set to whether the chunk is discarded. */
static int note(struct shaper *shaper, uint64_t now, bool end, bool *discard)
{
        uint64_t put_bytes = shaper->out_bytes + shaper_bytes(shaper);
        unsigned fault = end ? fates_note_end(shaper->fates, put_bytes, now)
                             : fates_note_chunk(shaper->fates, put_bytes, now);

        shaper->faults |= fault;
        shaper->fold = fates_fold(shaper->fates);
        *discard = fault != 0;
        return set_end(shaper);
}

int shaper_put(struct shaper *shaper, const void *data, size_t n)
{
        uint64_t now = now_usec();
        bool discard = false;

        if (shaper->fold.notes && note(shaper, now, false, &discard) < 0)
                return -ENOMEM;
        if (discard)
                return 0;
        /* Make room for the bytes first: once the chunk is queued, adding them cannot fail. */
        if (evbuffer_expand(shaper->bytes, n) < 0 ||
            append(shaper, (struct chunk){ .arrived_usec = now, .n = (uint32_t)n }) < 0 ||
            evbuffer_add(shaper->bytes, data, n) < 0)
                return -ENOMEM;
        return 0;
}

int shaper_put_end(struct shaper *shaper)
{
        uint64_t now = now_usec();
        bool discard;
        int r = append(shaper, (struct chunk){ .arrived_usec = now, .end = true });

        if (r < 0)
                return r;
        shaper->ended = true;
        return shaper->fold.notes ? note(shaper, now, true, &discard) : 0;
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

/* Return: when the delay of the first chunk is over. */
static uint64_t delayed_until(const struct shaper *shaper)
{
        const struct chunk *first = &shaper->first;

        return first->arrived_usec + least(first->delay_usec, shaper->fold.delay_max_usec);
}

/* Return: when the next piece of the first chunk may leave, tokens and stalls aside. */
static uint64_t due_usec(const struct shaper *shaper)
{
        const struct fold *fold = &shaper->fold;
        uint64_t due = delayed_until(shaper);

        if (shaper->first.end)
                return most(due, shaper->left_usec) + fold->close_delay_usec;
        if (!shaper->first.started && shaper->send_delay_usec)
                due = most(due, shaper->left_usec) + shaper->send_delay_usec;
        if (shaper->left_usec && fold->slice_delay_usec)
                due = most(due, shaper->left_usec + fold->slice_delay_usec);
        return due;
}

/* Return: the length of the next piece of the first chunk. */
static size_t choose_length(struct shaper *shaper)
{
        const struct fold *fold = &shaper->fold;
        uint64_t n = shaper->first.n, variation = fold->slice_variation_bytes;

        if (fold->slice_bytes) {
                uint64_t slice = fold->slice_bytes + random_up_to(fold->slices, 2 * variation);

                n = least(n, slice > variation ? slice - variation : 1);
        }
        if (has_rate(fold) && fold->burst_bytes)
                n = least(n, fold->burst_bytes);
        /*
         * A shaper that is freed returns its tokens, but the shapers that reserved after it keep
         * their moments. So nobody reserves more than 10 ms of the rate at once, unless smaller
         * pieces would mean more slice delays.
         */
        if (fold->shared && !fold->slice_delay_usec)
                n = least(n, most(fold->rate / 100, 1));
        n = least(n, fold->limit_bytes - shaper->out_bytes);
        if (fold->stalls)
                n = least(n, fates_bytes_to_stall(shaper->fates, shaper->out_bytes));
        return (size_t)n;
}

/* Chooses the next piece. @due: when the piece could leave if it needed no tokens. */
static void choose_piece(struct shaper *shaper, uint64_t now, uint64_t due)
{
        const struct fold *fold = &shaper->fold;

        shaper->piece = shaper->first.end ? 1 : choose_length(shaper);
        shaper->piece_usec = now;
        if (!has_rate(fold) || shaper->first.end)
                return;
        /* A burst makes up for lateness. Without one, the bytes are paid for from @due on. */
        if (!fold->burst_bytes)
                now = most(due, now - LATE_MAX_USEC);
        shaper->piece_usec = bucket_reserve(bucket_of(shaper), now, shaper->piece, fold->rate,
                                            fold->burst_bytes);
}

/* Calls on_due at @until, unless that is never. @fault: what makes the bytes wait. */
static int wait_until(struct shaper *shaper, uint64_t until, unsigned fault)
{
        shaper->faults |= fault;
        if (until == CONDITIONS_FOREVER)
                return 0;
        return timer_set(&shaper->due, until);
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
        if (shaper->piece < shaper->first.n && shaper->fold.slice_bytes)
                shaper->faults |= FAULT_SLICE;
        (void)evbuffer_remove(shaper->bytes, buffer, shaper->piece);
        shaper->first.n -= (uint32_t)shaper->piece;
        shaper->first.started = true;
        shaper->out_bytes += shaper->piece;
        if (shaper->fold.stalls)
                fates_begin_stalls(shaper->fates, shaper->out_bytes, now);
        if (shaper->out_bytes == shaper->fold.limit_bytes)
                reach_limit(shaper);
        shaper->left_usec = now;
        shaper->piece = 0;
}

/* Return: the faults that make the first chunk wait, apart from rate and stall. */
static unsigned wait_fault(const struct shaper *shaper, uint64_t now)
{
        const struct fold *fold = &shaper->fold;
        const struct chunk *first = &shaper->first;
        unsigned fault = 0;

        if (now < delayed_until(shaper))
                fault |= FAULT_LATENCY;
        if (first->end && fold->close_delay_usec)
                fault |= FAULT_CLOSE_DELAY;
        if (!first->end && shaper->left_usec && now < shaper->left_usec + fold->slice_delay_usec)
                fault |= FAULT_SLICE;
        return fault;
}

int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n, enum shaper_event *event)
{
        const struct fold *fold = &shaper->fold;
        uint64_t now = now_usec(), due, until;

        *n = 0;
        *event = is_over(shaper, now) ? SHAPER_OVER : SHAPER_NOTHING;
        if (*event == SHAPER_OVER || !load_first(shaper) ||
            shaper->out_bytes >= fold->held_from_bytes)
                return 0;
        due = due_usec(shaper);
        if (now < due)
                return wait_until(shaper, due, wait_fault(shaper, now));
        until = fold->stalls ? fates_stalled_until(shaper->fates, now) : now;
        if (now < until) {
                unchoose(shaper);
                return wait_until(shaper, until, FAULT_STALL);
        }
        if (!shaper->first.end && shaper->out_bytes >= fold->limit_bytes) {
                reach_limit(shaper);
                *event = SHAPER_OVER;
                shaper->faults |= FAULT_LIMIT;
                return 0;
        }
        if (!shaper->first.end && fold->rate == 0)
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
        return timer_set(&shaper->due, now_usec());
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
        return timer_is_set(&shaper->due);
}
