/* SPDX-License-Identifier: MIT */
/*
 * The input drives a shaper: it puts chunks and the end, changes the conditions, and lets time
 * pass. The model of the unit tests (shaper_model.h) checks that nothing leaves early, late, out of
 * order, changed, twice or not at all. At the end, all that is held must leave as time goes on, or,
 * if nothing moves for ever, once there are no conditions.
 */
#include "bucket.h"
#include "fuzz.h"

#define CHECK(condition) MUST(condition)
#include "shaper_model.h"

#define BYTES_MAX    100000 /* in one life, because they may leave one at a time */
#define DURATION_MAX ((uint64_t)1 << 36)
#define SIZE_MOST    ((uint64_t)1 << 40)

/* The linker redirects the shaper's calls to these functions (--wrap). */
uint64_t __wrap_now_usec(void);
int __wrap_timer_set(struct timer *timer, uint64_t until_usec);
int __real_timer_set(struct timer *timer, uint64_t until_usec);

static uint64_t clock_usec; /* the time that the shaper sees */
static uint64_t timer_usec; /* the moment that the timer is set to; 0: it is not set */
static struct loop *loop;
static struct shaper *shaper;
static struct model model;
static struct bucket *bucket; /* the bucket that shapers of a service share */

/* The input that is left. */
static const uint8_t *input;
static size_t input_bytes;

uint64_t __wrap_now_usec(void)
{
        return clock_usec;
}

int __wrap_timer_set(struct timer *timer, uint64_t until_usec)
{
        MUST(until_usec > clock_usec);
        timer_usec = until_usec;
        return __real_timer_set(timer, until_usec);
}

/* The next byte; 0 when there are no more. */
static unsigned next(void)
{
        if (input_bytes == 0)
                return 0;
        input_bytes--;
        return *input++;
}

/* Reads a number of any size up to @max from two bytes. */
static uint64_t next_up_to(uint64_t max)
{
        unsigned shift = next();

        return (((uint64_t)shift / 40 * 256 + next()) << shift % 40) % (max + 1);
}

static uint64_t next_or(uint64_t none, uint64_t max)
{
        return next() % 2 ? next_up_to(max) : none;
}

static void next_conditions(struct conditions *c)
{
        *c = conditions_none;
        c->latency_usec = next_or(0, DURATION_MAX);
        c->jitter_usec = next_or(0, DURATION_MAX);
        c->rate = next_or(CONDITIONS_UNLIMITED, SIZE_MOST);
        c->burst_bytes = next_up_to(SIZE_MOST);
        if (next() % 4 == 1) {
                c->rate = 10000; /* the same as long as it is shared */
                c->burst_bytes = 2500;
                c->shared = bucket;
        }
        c->slice_bytes = next_or(0, SIZE_MOST);
        if (c->slice_bytes)
                c->slice_variation_bytes = next_or(0, c->slice_bytes - 1);
        c->slice_delay_usec = next_or(0, DURATION_MAX);
        c->limit_bytes = next_or(CONDITIONS_NEVER, SIZE_MOST);
        c->stall_for_usec = next_or(0, DURATION_MAX);
        if (c->stall_for_usec % 4 == 1)
                c->stall_for_usec = CONDITIONS_FOREVER;
        if (c->stall_for_usec && next() % 2)
                c->stall_after_bytes = next_up_to(SIZE_MOST);
        else if (c->stall_for_usec)
                c->stall_after_usec = next_up_to(DURATION_MAX);
        c->close_delay_usec = next_or(0, DURATION_MAX);
}

/* Makes the shaper, or changes it. */
static void set(bool none)
{
        struct conditions conditions = conditions_none;
        struct shaping shaping = { .conditions = &conditions,
                                   .began_usec = model.began_usec ? model.began_usec : clock_usec };
        struct random random;

        if (!none) {
                next_conditions(&conditions);
                shaping.send_delay_usec = next_or(0, DURATION_MAX);
                shaping.hold_bytes = next_up_to(SIZE_MOST);
        }
        if (shaper) {
                shaper_set(shaper, &shaping);
                model_set(&model, clock_usec, &shaping);
                return;
        }
        random = random_new(next(), 0, 0);
        MUST(shaper_new(loop, &shaping, &random, NULL, NULL, &shaper) == 0);
        model_init(&model, clock_usec, &shaping, &random);
}

static void put(size_t n)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];

        if (model.ended || model.in_bytes + n > BYTES_MAX ||
            model.n - model.first >= MODEL_CHUNKS - 1)
                return;
        model_write(data, n, model.in_bytes);
        MUST(shaper_put(shaper, data, n) == 0);
        model_put(&model, clock_usec, n);
}

static void put_end(void)
{
        if (model.ended)
                return;
        MUST(shaper_put_end(shaper) == 0);
        model_put(&model, clock_usec, 0);
}

/* Return: whether there may be more to take. */
static bool take(void)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        size_t n = SIZE_MAX;

        timer_usec = 0;
        MUST(shaper_take(shaper, buffer, &n, &event) == 0);
        MUST(n <= sizeof(buffer));
        for (size_t i = 0; i < n; i++)
                MUST(buffer[i] == model_byte(model.out_bytes + i));
        model_take(&model, clock_usec, event, n);
        if (model.wake_usec != MODEL_NEVER)
                MUST(timer_usec > clock_usec && timer_usec <= model.wake_usec);
        else
                MUST(timer_usec == 0);
        return event == SHAPER_BYTES || event == SHAPER_END;
}

static void take_due(void)
{
        while (take())
                ;
}

/* Moves the time to @early_usec before the timer fires. */
static void go_to_timer(unsigned early_usec)
{
        if (timer_usec > clock_usec + early_usec)
                clock_usec = timer_usec - early_usec;
}

static void step(void)
{
        switch (next() % 8) {
        case 0:
                put(1 + next());
                break;
        case 1:
                put(1 + next_up_to(LOOP_SCRATCH_BYTES - 1));
                break;
        case 2:
                clock_usec += next_up_to(DURATION_MAX);
                break;
        case 3:
                go_to_timer(next() % 2);
                break;
        case 4:
                set(false);
                break;
        case 5:
                (void)take();
                break;
        case 6:
                take_due();
                break;
        default:
                put_end();
        }
        model_compare(&model, shaper);
}

/* Checks that all held bytes leave in time, with few calls. */
static void run_dry(void)
{
        uint64_t out = 0;
        unsigned asked = 0;

        take_due();
        while (timer_usec) {
                asked = model.out_bytes == out ? asked + 1 : 0;
                MUST(asked < 40);
                out = model.out_bytes;
                go_to_timer(0);
                take_due();
        }
        if (model_is_empty(&model) || model.limited)
                return;
        MUST(model.conditions.stall_for_usec == CONDITIONS_FOREVER || model.conditions.rate == 0);
        set(true);
        take_due();
        MUST(model_is_empty(&model));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        if (!loop)
                MUST(loop_new("auto", &loop) == 0);
        input = data;
        input_bytes = n;
        clock_usec = USEC_PER_SEC;
        timer_usec = 0;
        model.began_usec = 0;
        MUST(bucket_new(&bucket) == 0);
        set(false);
        while (input_bytes > 0)
                step();
        put_end();
        run_dry();
        MUST(model.limited || model.out_bytes == model.in_bytes);
        MUST((shaper_faults(shaper) & ~(unsigned)(FAULT_CLOSE_DELAY * 2 - 1)) == 0);
        shaper = shaper_free(shaper);
        bucket_unref(bucket);
        return 0;
}
