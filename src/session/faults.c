/* SPDX-License-Identifier: MIT */
#include "faults.h"
#include "connection.h"
#include "quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A fault of the connection as a whole is played. */
static void note(struct connection *c, enum conditions_fault fault)
{
        c->faults.played |= fault;
        counters_count_faults(&c->shard->counters, fault);
}

/* Ends */

static void reset(struct connection *c, enum reason reason, uint64_t usec)
{
        char duration[QUANTITY_TEXT_SIZE], text[QUANTITY_TEXT_SIZE + 32];

        (void)snprintf(text, sizeof(text), "%s %s", reason_text(reason),
                       quantity_format_usec(usec, duration));
        connection_reset_for(c, reason, text);
}

void faults_end(struct side *side, const struct fate_end *end)
{
        const struct conditions *group = end->group;
        char duration[QUANTITY_TEXT_SIZE], text[QUANTITY_TEXT_SIZE + 32];

        switch (end->why) {
        case FATE_LIMIT:
                (void)snprintf(text, sizeof(text), "limit %" PRIu64 " B", group->limit_bytes);
                connection_limit(side, text);
                break;
        case FATE_IDLE:
                (void)snprintf(text, sizeof(text), "discard_idle %s",
                               quantity_format_usec(group->discard_idle_usec, duration));
                connection_discard(side, text);
                break;
        case FATE_DISCARD_ENDED:
                connection_discard(side, "discard ended");
                break;
        case FATE_RESET:
                reset(side->connection, REASON_RESET_AFTER_DATA, group->reset_after_data_usec);
                break;
        }
}

/* Return: the group of both directions whose reset_after comes first; NULL: none has one. */
static const struct conditions *find_reset(const struct faults *faults, uint64_t *at_usec)
{
        const struct conditions *first = NULL;
        uint64_t first_usec = CONDITIONS_NEVER;

        for (enum direction d = 0; d < DIRECTIONS; d++) {
                uint64_t at;
                const struct conditions *group = fates_reset(faults->fates[d], &at);

                if (!group || (first && at >= first_usec))
                        continue;
                first_usec = at;
                first = group;
        }
        if (first)
                *at_usec = first_usec;
        return first;
}

/* Resets the connection if reset_after has passed; otherwise sets the timer. */
static int play_reset_after(struct connection *c)
{
        uint64_t at;
        const struct conditions *group = find_reset(&c->faults, &at);

        timer_stop(&c->faults.reset);
        if (!group)
                return 0;
        if (now_usec() < at)
                return timer_set(&c->faults.reset, at);
        note(c, FAULT_RESET);
        reset(c, REASON_RESET_AFTER, group->reset_after_usec);
        return 0;
}

static void on_reset(struct timer *timer)
{
        struct connection *c = container_of(timer, struct connection, faults.reset);

        if (play_reset_after(c) < 0)
                connection_reset_error(c, -ENOMEM);
}

/* Life */

void faults_init(struct connection *c)
{
        timer_init(&c->faults.reset, loop_timers(c->loop), on_reset);
}

void faults_stop(struct connection *c)
{
        timer_stop(&c->faults.reset);
}

static void free_fates(struct fates **fates)
{
        for (enum direction d = 0; d < DIRECTIONS; d++)
                fates[d] = fates_free(fates[d]);
}

void faults_deinit(struct connection *c)
{
        free_fates(c->faults.fates);
}

/* Return: the direction of the bytes that @side receives. */
static enum direction direction_to(const struct side *side)
{
        return side == &side->connection->client ? TO_CLIENT : TO_UPSTREAM;
}

/* What fates of one direction of a connection are drawn from. */
struct draw {
        const struct connection *connection;
        enum direction direction;
};

static int take_bucket(void *arg, const struct conditions *group, struct bucket **out)
{
        const struct draw *draw = arg;
        const struct bucket_key key = {
                .group = group->name,
                .direction = draw->direction,
                .rate = group->rate,
                .burst_bytes = group->burst_bytes,
        };

        return service_take_bucket(draw->connection->shard->service, &key, out);
}

/* Return: bytes that have passed in @direction so far. */
static uint64_t passed_bytes(const struct connection *c, enum direction direction)
{
        for (unsigned i = 0; c->started && i < c->n_sides; i++)
                if (direction_to(c->sides[i]) == direction)
                        return link_passed(&c->sides[i]->link);
        return 0;
}

/* Draws the fates of one direction. Groups that are new come into force at @now_usec. */
static int draw_direction(const struct connection *c, enum direction direction, uint64_t now_usec,
                          struct fates **out)
{
        struct draw draw = { c, direction };
        const struct fate_origin origin = {
                .seed = c->seed,
                .connection = c->id,
                .direction = direction,
                .now_usec = now_usec,
                .passed_bytes = passed_bytes(c, direction),
                .take_bucket = take_bucket,
                .arg = &draw,
        };

        return fates_new(&c->config->conditions[direction], &origin, c->faults.fates[direction],
                         out);
}

/* Draws the fates of both directions. Return: 0; -ENOMEM. */
static int draw_all(const struct connection *c, uint64_t now_usec, struct fates **out)
{
        struct fates *fates[DIRECTIONS] = { NULL };
        int r = 0;

        for (enum direction d = 0; d < DIRECTIONS && r == 0; d++)
                r = draw_direction(c, d, now_usec, &fates[d]);
        if (r < 0)
                free_fates(fates);
        else
                memcpy(out, fates, sizeof(fates));
        return r;
}

static bool is_dropped(const struct faults *faults)
{
        for (enum direction d = 0; d < DIRECTIONS; d++)
                if (fates_drop(faults->fates[d]))
                        return true;
        return false;
}

int faults_begin(struct connection *c)
{
        int r = draw_all(c, c->began_usec, c->faults.fates);

        if (r < 0)
                return r;
        if (is_dropped(&c->faults)) {
                note(c, FAULT_DROP);
                connection_reset(c, REASON_DROP_NEW);
        }
        return 0;
}

static int shape(struct side *side)
{
        const struct connection *c = side->connection;
        enum direction direction = direction_to(side);
        const struct shaping shaping = {
                .fates = c->faults.fates[direction],
                .send_delay_usec = direction == TO_CLIENT ? c->config->send_delay_usec : 0,
                .hold_bytes = c->config->hold_bytes,
        };

        return link_set_shaping(&side->link, &shaping);
}

/* Replaces the fates of all links, even if one of them fails or ends the connection. */
int faults_play(struct connection *c)
{
        int r = play_reset_after(c);

        for (unsigned i = 0; c->started && i < c->n_sides; i++) {
                int one = shape(c->sides[i]); /* a shorter delay may send, and sending may fail */

                r = r < 0 ? r : one;
        }
        return r;
}

int faults_change(struct connection *c)
{
        struct fates *before[DIRECTIONS];
        int r;

        memcpy(before, c->faults.fates, sizeof(before));
        r = draw_all(c, now_usec(), c->faults.fates);
        if (r < 0)
                return r;
        r = faults_play(c);
        free_fates(before);
        return r;
}
