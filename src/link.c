/*
 * The link. Everything that happens to it ends in link_settle(), which alone decides whether the
 * source is read and whether the end of the stream may pass.
 */
#include "link.h"

#include <errno.h>

static bool link_is_empty(const struct link *link)
{
        return (!link->shaper || shaper_is_empty(link->shaper)) && stream_queued(link->to) == 0;
}

static bool link_is_full(const struct link *link)
{
        return link->shaper ? shaper_is_full(link->shaper) : stream_queued(link->to) > 0;
}

/* Sends a chunk that is due. Return: whether the link lives on. */
static bool link_deliver(struct link *link, const uint8_t *data, size_t n)
{
        int r;

        link->events->on_sending(link, data, n);
        r = stream_send(link->to, data, n);
        if (r < 0)
                link->events->on_error(link, r);
        return r == 0;
}

/* Sends all that is due while the destination takes it. Return: whether the link lives on. */
static bool link_pump(struct link *link)
{
        uint8_t *scratch = loop_scratch(link->to->loop);

        while (link->shaper && stream_queued(link->to) == 0) {
                size_t n;
                int r = shaper_take(link->shaper, scratch, &n);

                if (r < 0)
                        link->events->on_error(link, r);
                if (r < 0 || n == 0)
                        return r == 0;
                if (!link_deliver(link, scratch, n))
                        return false;
        }
        return true;
}

static void link_throttle(struct link *link)
{
        bool full = link_is_full(link);
        int r;

        if (full == link->paused)
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

static void link_settle(struct link *link)
{
        int r;

        if (link->shaper && link->delay_usec == 0 && shaper_is_empty(link->shaper))
                link->shaper = shaper_free(link->shaper);

        if (link_is_empty(link)) {
                if (link->busy) {
                        link->busy = false;
                        link->events->on_empty(link);
                }
                if (link->ending) {
                        link->ending = false;
                        r = stream_shutdown(link->to);
                        if (r < 0)
                                link->events->on_error(link, r);
                        else
                                link->events->on_done(link);
                        return;
                }
        }
        link_throttle(link);
}

/* A chunk fell due, or the destination has taken all it was sent: there may be more to do. */
static void link_on_progress(void *arg)
{
        struct link *link = arg;

        if (link_pump(link))
                link_settle(link);
}

void link_init(struct link *link, struct stream *from, struct stream *to,
               const struct link_events *events)
{
        *link = (struct link){ .from = from, .to = to, .events = events };
        stream_set_on_drained(to, link_on_progress, link);
}

void link_stop(struct link *link)
{
        link->shaper = shaper_free(link->shaper);
}

int link_set_delay(struct link *link, uint64_t send_delay_usec, size_t message_bytes)
{
        int r;

        if (send_delay_usec && !link->shaper) {
                r = shaper_new(link->to->loop, link_on_progress, link, &link->shaper);
                if (r < 0)
                        return r;
        }
        link->delay_usec = send_delay_usec;
        stream_set_read_max(link->from, send_delay_usec ? message_bytes : LOOP_SCRATCH_BYTES);
        if (link->shaper) {
                shaper_set_delay(link->shaper, send_delay_usec);
                link_on_progress(link);
        }
        return 0;
}

void link_put(struct link *link, const uint8_t *data, size_t n)
{
        int r;

        link->busy = true;
        if (!link->shaper) {
                if (link_deliver(link, data, n))
                        link_settle(link);
                return;
        }
        r = shaper_put(link->shaper, data, n);
        if (r < 0)
                link->events->on_error(link, r);
        else
                link_on_progress(link);
}

void link_end(struct link *link)
{
        link->ending = true;
        link_settle(link);
}

bool link_is_waiting(const struct link *link)
{
        return link->shaper && !shaper_is_empty(link->shaper) && stream_queued(link->to) == 0;
}
