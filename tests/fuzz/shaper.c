/* SPDX-License-Identifier: MIT */
/*
 * The input drives a shaper: it puts chunks and the end, adds, changes and removes groups of
 * conditions, and lets time pass. The model of the unit tests (shaper_model.h) checks that nothing
 * leaves early, late, out of order, changed, twice or not at all. At the end, all that is held must
 * leave as time goes on, or, if nothing moves for ever, once there are no conditions; unless a
 * group ends the connection.
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

static uint64_t clock_usec;     /* the time that the shaper sees */
static struct timer *timers[2]; /* of the shaper: what is due, and the end of the connection */
static bool taking;             /* in shaper_take(), which sets the first of them */
static struct loop *loop;
static struct shaper *shaper;
static struct model model;
static struct shaping shaping;
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
        MUST(!taking || until_usec > clock_usec);
        timers[!taking] = timer;
        return __real_timer_set(timer, until_usec);
}

static bool is_set(const struct timer *timer)
{
        return timer && timer_is_set(timer);
}

/* Return: when the next timer fires; 0: none is set. */
static uint64_t timer_usec(void)
{
        uint64_t due = is_set(timers[0]) ? timers[0]->until_usec : UINT64_MAX,
                 end = is_set(timers[1]) ? timers[1]->until_usec : UINT64_MAX;

        due = due < end ? due : end;
        return due == UINT64_MAX ? 0 : due;
}

/* Moves the clock, and fires the timers, as the loop would. */
static void move_clock(uint64_t to_usec)
{
        clock_usec = to_usec;
        for (size_t i = 0; i < ELEMENTS(timers); i++) {
                if (!is_set(timers[i]) || timers[i]->until_usec > clock_usec)
                        continue;
                timer_stop(timers[i]);
                timers[i]->on_time(timers[i]);
        }
}

static void on_due(void *arg)
{
        (void)arg;
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

static void next_ends(struct conditions *c)
{
        c->limit_bytes = next_or(CONDITIONS_NEVER, SIZE_MOST);
        c->discard = next() % 8 == 1;
        if (c->discard)
                c->discard_idle_usec = next_or(CONDITIONS_NEVER, DURATION_MAX);
        if (next() % 8 == 1)
                c->reset_after_data_usec = next_up_to(DURATION_MAX);
}

/* The next values of a group, but for its name. */
static void next_conditions(struct conditions *c)
{
        char name[sizeof(c->name)];

        memcpy(name, c->name, sizeof(name));
        *c = conditions_none;
        memcpy(c->name, name, sizeof(name));
        c->version = next() % 4;
        c->probability = next() % 4 == 1 ? 0.5 : 1.0;
        c->latency_usec = next_or(0, DURATION_MAX);
        c->jitter_usec = next_or(0, DURATION_MAX);
        c->rate = next_or(CONDITIONS_UNLIMITED, SIZE_MOST);
        c->burst_bytes = next_up_to(SIZE_MOST);
        if (next() % 4 == 1) {
                c->rate = 10000; /* the same as long as it is shared */
                c->burst_bytes = 2500;
                c->shared = true;
        }
        c->slice_bytes = next_or(0, SIZE_MOST);
        if (c->slice_bytes)
                c->slice_variation_bytes = next_or(0, c->slice_bytes - 1);
        c->slice_delay_usec = next_or(0, DURATION_MAX);
        next_ends(c);
        c->stall_for_usec = next_or(0, DURATION_MAX);
        if (c->stall_for_usec % 4 == 1)
                c->stall_for_usec = CONDITIONS_FOREVER;
        if (c->stall_for_usec && next() % 2)
                c->stall_after_bytes = next_up_to(SIZE_MOST);
        else if (c->stall_for_usec)
                c->stall_after_usec = next_up_to(DURATION_MAX);
        c->close_delay_usec = next_or(0, DURATION_MAX);
}

/* The next groups: each is left out, kept as it was, or has other values. */
static size_t next_groups(struct conditions *out)
{
        static struct conditions groups[MODEL_GROUPS];
        size_t n = 0;

        for (size_t i = 0; i < MODEL_GROUPS; i++) {
                unsigned what = next() % 4;

                if (!shaper || what > 1) {
                        groups[i].name[0] = i ? (char)('a' + i) : '\0';
                        next_conditions(&groups[i]);
                }
                if (what > 0)
                        out[n++] = groups[i];
        }
        return n;
}

static int take_bucket(void *arg, const struct conditions *group, struct bucket **out)
{
        (void)arg;
        (void)group;
        *out = bucket_ref(bucket);
        return 0;
}

/* Makes the shaper, or changes it. @none: no conditions. */
static void set(bool none)
{
        static struct conditions lists[2][MODEL_GROUPS]; /* in force, and before */
        static unsigned turn;
        struct condition_list list = { .groups = lists[turn++ % 2] };
        struct fate_origin origin = { .now_usec = clock_usec,
                                      .passed_bytes = shaper ? model.out_bytes : 0,
                                      .take_bucket = take_bucket };
        struct fates *before = shaping.fates;

        shaping = (struct shaping){ 0 };
        if (!none) {
                list.n = next_groups(list.groups);
                shaping.send_delay_usec = next_or(0, DURATION_MAX);
                shaping.hold_bytes = next_up_to(SIZE_MOST);
        }
        MUST(fates_new(&list, &origin, before, &shaping.fates) == 0);
        if (shaper) {
                MUST(shaper_set(shaper, &shaping) == 0);
                model_set(&model, clock_usec, clock_usec, &shaping);
        } else {
                MUST(shaper_new(loop, &shaping, on_due, NULL, &shaper) == 0);
                model_init(&model, clock_usec, clock_usec, &shaping);
        }
        fates_free(before);
}

static void put(size_t n)
{
        static uint8_t data[LOOP_SCRATCH_BYTES];

        if (model.ended || model.in_bytes + n > BYTES_MAX ||
            model.n - model.first >= MODEL_CHUNKS - 1)
                return;
        model_write(data, n, model.in_bytes);
        MUST(shaper_put(shaper, data, n) == 0);
        (void)model_put(&model, clock_usec, n);
}

static void put_end(void)
{
        if (model.ended)
                return;
        MUST(shaper_put_end(shaper) == 0);
        (void)model_put(&model, clock_usec, 0);
}

/* Return: whether there may be more to take. */
static bool take(void)
{
        static uint8_t buffer[LOOP_SCRATCH_BYTES];
        enum shaper_event event;
        size_t n = SIZE_MAX;

        if (timers[0])
                timer_stop(timers[0]);
        taking = true;
        MUST(shaper_take(shaper, buffer, &n, &event) == 0);
        taking = false;
        MUST(n <= sizeof(buffer));
        for (size_t i = 0; i < n; i++)
                MUST(buffer[i] == model_byte(model.out_bytes + i));
        model_take(&model, clock_usec, event, n);
        /* Two timers may each be set a microsecond later than asked; see timer_set(). */
        if (event == SHAPER_NOTHING && model.wake_usec != MODEL_NEVER)
                MUST(timer_usec() > 0 && timer_usec() <= model.wake_usec + 1);
        else if (event == SHAPER_NOTHING)
                MUST(timer_usec() == 0);
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
        uint64_t at_usec = timer_usec();

        move_clock(at_usec > clock_usec + early_usec ? at_usec - early_usec : clock_usec);
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
                move_clock(clock_usec + next_up_to(DURATION_MAX));
                break;
        case 3:
                go_to_timer(next() % 2);
                break;
        case 4:
                set(false);
                (void)take(); /* as a link does: a connection whose bytes were discarded may end */
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

/* Whether bytes are held that only a change, or the end of the connection, lets go. */
static bool is_stuck(void)
{
        bool stuck = model_rate(&model) && model_rate(&model)->rate == 0;

        for (size_t i = 0; i < model.n_groups; i++)
                stuck |= model.groups[i].c.stall_for_usec == CONDITIONS_FOREVER;
        return stuck;
}

/* Checks that all held bytes leave in time, with few calls. */
static void run_dry(void)
{
        uint64_t out = 0;
        unsigned asked = 0;

        take_due();
        while (timer_usec() && !model.over) {
                asked = model.out_bytes == out ? asked + 1 : 0;
                MUST(asked < 40);
                out = model.out_bytes;
                go_to_timer(0);
                take_due();
        }
        if (model_is_empty(&model) || model.over)
                return;
        MUST(is_stuck());
        set(true);
        take_due();
        MUST(model_is_empty(&model) || model.over);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        if (!loop)
                MUST(loop_new("auto", &loop) == 0);
        input = data;
        input_bytes = n;
        clock_usec = USEC_PER_SEC;
        timers[0] = timers[1] = NULL;
        MUST(bucket_new(&bucket) == 0);
        set(false);
        while (input_bytes > 0 && !model.over)
                step();
        if (!model.over)
                put_end();
        run_dry();
        MUST(model.over || model.out_bytes == model.in_bytes);
        MUST((shaper_faults(shaper) & (FAULT_RESET | FAULT_DROP)) == 0);
        shaper = shaper_free(shaper);
        shaping.fates = fates_free(shaping.fates);
        bucket_unref(bucket);
        return 0;
}
