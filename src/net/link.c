/* SPDX-License-Identifier: MIT */
/*
 * Everything that happens to a link ends in link_settle(), which alone decides whether the source
 * is read and whether the end of the stream may pass.
 */
#include "link.h"

#include <errno.h>

/* Splicing begins after this many reads in a row that filled the scratch buffer. */
#define SPLICE_AFTER_READS 4

/* The most pieces sent in one turn of the loop. They take less than a millisecond. */
#define PUMP_PIECES 64

/* Splicing stops after SPLICE_PATIENCE transfers in a row of less than SPLICE_MIN_BYTES. */
#define SPLICE_MIN_BYTES 16384
#define SPLICE_PATIENCE  4

static bool link_is_empty(const struct link *link)
{
        return (!link->shaper || !shaper_has_bytes(link->shaper)) && stream_queued(link->to) == 0;
}

static bool link_is_full(const struct link *link)
{
        return link->shaper ? shaper_is_full(link->shaper) : stream_queued(link->to) > 0;
}

uint64_t link_passed(const struct link *link)
{
        return stream_sent(link->to) + stream_queued(link->to) - link->before;
}

/* Sends a chunk that is due. Return: false: the link has failed. */
static bool link_deliver(struct link *link, struct share *share)
{
        uint64_t before = link_passed(link);
        int r;

        link->events->on_sending(link, share);
        r = stream_send_shared(link->to, share);
        if (r == 0)
                return true;
        link->lost += share->n - (link_passed(link) - before);
        link->events->on_error(link, r);
        return false;
}

/*
 * Sends pieces that are due while the destination takes them, but at most PUMP_PIECES, so that
 * other links are served in between. Return: false: the link has failed or reached its limit.
 */
static bool link_pump(struct link *link)
{
        uint8_t *scratch = loop_scratch_out(link->to->loop);

        for (int i = 0; link->shaper && stream_queued(link->to) == 0; i++) {
                struct share share;
                size_t n = 0;
                enum shaper_event event = SHAPER_NOTHING;
                bool alive;
                int r = i < PUMP_PIECES ? shaper_take(link->shaper, scratch, &n, &event)
                                        : shaper_yield(link->shaper);

                if (r < 0)
                        link->events->on_error(link, r);
                else if (event == SHAPER_END)
                        link->ending = true;
                if (r < 0 || event != SHAPER_BYTES)
                        return r == 0;
                share = share_of_memory(scratch, n);
                alive = link_deliver(link, &share);
                share_deinit(&share);
                if (!alive)
                        return false;
        }
        return true;
}

/* Whether the shaper may not hold more, because all links together have reached their bound. */
static bool link_waits_for_room(const struct link *link)
{
        return link->shaper && shaper_has_bytes(link->shaper) &&
               holders_are_full(loop_holders(link->to->loop));
}

static void link_throttle(struct link *link);

static void link_on_room(struct holder *holder)
{
        link_throttle(container_of(holder, struct link, holder));
}

/* Whether the source must be paused. */
static bool link_is_blocked(struct link *link)
{
        struct holders *holders = loop_holders(link->to->loop);

        if (link_waits_for_room(link) && holder_wait(&link->holder, holders, link_on_room) == 0)
                return true;
        holder_stop_waiting(&link->holder, holders);
        return link_is_full(link);
}

static void link_throttle(struct link *link)
{
        bool full = link->from && link_is_blocked(link);
        int r;

        if (full == link->paused || !link->from)
                return;
        if (full) {
                stream_pause(link->from);
        } else {
                r = stream_resume(link->from);
                if (r < 0) {
                        link->events->on_error(link, r);
                        return;
                }
        }
        link->paused = full;
}

static void link_drop_shaper(struct link *link)
{
        link->faults = link_faults(link);
        link->shaper = shaper_free(link->shaper);
}

/* Updates the counts of held bytes. */
static void link_count_held(struct link *link, uint64_t bytes)
{
        stream_count_held(link->to, link->holder.bytes, bytes);
        holder_count(&link->holder, loop_holders(link->to->loop), bytes);
}

static void link_settle(struct link *link)
{
        link_count_held(link, link_held(link));
        if (link->shaper && !link->shaped && shaper_is_empty(link->shaper))
                link_drop_shaper(link);

        if (link_is_empty(link)) {
                if (link->busy) {
                        link->busy = false;
                        link->events->on_empty(link);
                }
                if (link->ending && !link->stopped) {
                        link->ending = false;
                        link->events->on_done(link);
                        return;
                }
        }
        if (!link->stopped)
                link_throttle(link);
}

/*
 * Whether a group ends the connection now. A limit waits until the destination has taken all bytes
 * up to it. The other reasons do not wait.
 */
static bool link_is_over(const struct link *link, struct fate_end *end)
{
        return link->shaper && shaper_is_over(link->shaper, end) &&
               (end->why != FATE_LIMIT || stream_queued(link->to) == 0);
}

/* Reports new faults to the owner. */
static void tell_faults(struct link *link)
{
        unsigned faults = link_faults(link) & ~link->told;

        link->told |= faults;
        if (faults && link->events->on_fault)
                link->events->on_fault(link, faults);
}

/*
 * A chunk is due, the destination has taken everything, or a group ends the connection: there may
 * be more to do.
 */
static void link_on_progress(void *arg)
{
        struct link *link = arg;
        struct fate_end end;
        bool alive = link_pump(link), over = alive && link_is_over(link, &end);

        tell_faults(link);
        if (over)
                link->events->on_over(link, &end);
        else if (alive)
                link_settle(link);
}

void link_init(struct link *link, struct stream *from, struct stream *to,
               const struct link_events *events)
{
        *link = (struct link){ .from = from, .to = to, .events = events };
        link->before = link_passed(link);
        stream_set_on_drained(to, link_on_progress, link);
}

void link_stop(struct link *link)
{
        struct holders *holders = loop_holders(link->to->loop);

        if (link->stopped)
                return;
        link->stopped = true;
        link->lost += stream_queued(link->to) + (link->shaper ? shaper_bytes(link->shaper) : 0);
        link_count_held(link, 0);
        holder_stop_waiting(&link->holder, holders);
        link_drop_shaper(link);
        stream_stop_sending(link->to);
}

uint64_t link_sent(const struct link *link)
{
        return stream_sent(link->to) - link->before;
}

uint64_t link_lost(const struct link *link)
{
        return link->lost;
}

unsigned link_faults(const struct link *link)
{
        return link->faults | (link->shaper ? shaper_faults(link->shaper) : 0);
}

static void stop_splicing(struct link *link)
{
        link->full_reads = 0;
        if (link->from)
                stream_set_splicing(link->from, false);
}

int link_set_shaping(struct link *link, const struct shaping *shaping)
{
        struct shaping complete = *shaping;
        bool needed = shaping_is_needed(shaping);
        int r = 0;

        if (link->stopped)
                return 0;
        complete.out_bytes = link_passed(link);
        if (link->shaper)
                r = shaper_set(link->shaper, &complete);
        else if (needed && !link->ended) /* no bytes come after the end */
                r = shaper_new(link->to->loop, &complete, link_on_progress, link, &link->shaper);
        if (r < 0)
                return r;
        if (link->shaper)
                stop_splicing(link); /* a shaper needs the bytes in memory */
        link->shaped = needed;
        if (link->shaper)
                link_on_progress(link);
        return 0;
}

/*
 * Chooses whether the next bytes are spliced: they are if the last ones kept filling the buffer.
 * Splicing a few bytes costs more than copying them (measured).
 */
static void link_choose_splicing(struct link *link, size_t n)
{
        bool splicing = link->full_reads >= SPLICE_AFTER_READS;

        if (n >= (splicing ? SPLICE_MIN_BYTES : LOOP_SCRATCH_BYTES))
                link->full_reads =
                        splicing ? SPLICE_AFTER_READS + SPLICE_PATIENCE : link->full_reads + 1;
        else
                link->full_reads = splicing ? link->full_reads - 1 : 0;
        stream_set_splicing(link->from, link->full_reads >= SPLICE_AFTER_READS);
}

void link_allow_splicing(struct link *link, bool allowed)
{
        link->may_splice = allowed;
        stop_splicing(link);
}

void link_put_shared(struct link *link, struct share *share)
{
        int r;

        if (link->stopped) {
                link->lost += share->n;
                return;
        }
        link->busy = true;
        if (!link->shaper) {
                if (link->may_splice)
                        link_choose_splicing(link, share->n);
                if (link_deliver(link, share))
                        link_settle(link);
                return;
        }
        r = share->place == SHARE_MEMORY ? shaper_put(link->shaper, share->data, share->n) : -EIO;
        if (r == 0) {
                link_on_progress(link);
                return;
        }
        link->lost += share->n;
        link->events->on_error(link, r);
}

void link_put(struct link *link, const uint8_t *data, size_t n)
{
        struct share share = share_of_memory(data, n);

        link_put_shared(link, &share);
        share_deinit(&share);
}

void link_end(struct link *link)
{
        int r;

        if (link->stopped)
                return;
        link->ended = true;
        if (!link->shaper) {
                link->ending = true;
                link_settle(link);
                return;
        }
        r = shaper_put_end(link->shaper);
        if (r < 0)
                link->events->on_error(link, r);
        else
                link_on_progress(link);
}

size_t link_held(const struct link *link)
{
        return (link->shaper ? shaper_held(link->shaper) : 0) + stream_queued(link->to);
}

bool link_is_waiting(const struct link *link)
{
        return link->shaper && shaper_is_waiting(link->shaper) && stream_queued(link->to) == 0;
}
