/*
 * The shaper. Bytes and schedule wait in two evbuffers: @bytes is the stream, @chunks a row of
 * struct chunk, and the lengths of the second always add up to the length of the first.
 */
#include "shaper.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event_struct.h>

struct chunk {
        uint64_t arrived_usec;
        size_t n;
};

struct shaper {
        struct evbuffer *bytes, *chunks;
        struct event timer;
        uint64_t delay_usec;
        uint64_t left_usec; /* when the last chunk left */
        void (*on_due)(void *arg);
        void *arg;
};

static void shaper_on_timer(evutil_socket_t fd, short what, void *arg)
{
        struct shaper *shaper = arg;

        (void)fd;
        (void)what;
        shaper->on_due(shaper->arg);
}

static void shaper_freep(struct shaper **shaper)
{
        shaper_free(*shaper);
}

int shaper_new(struct loop *loop, void (*on_due)(void *arg), void *arg, struct shaper **out)
{
        _cleanup_(shaper_freep) struct shaper *shaper = calloc(1, sizeof(*shaper));

        if (!shaper)
                return -ENOMEM;
        evtimer_assign(&shaper->timer, loop_base(loop), shaper_on_timer, shaper);
        shaper->on_due = on_due;
        shaper->arg = arg;
        shaper->bytes = evbuffer_new();
        shaper->chunks = evbuffer_new();
        if (!shaper->bytes || !shaper->chunks)
                return -ENOMEM;
        *out = shaper;
        shaper = NULL;
        return 0;
}

struct shaper *shaper_free(struct shaper *shaper)
{
        if (!shaper)
                return NULL;
        (void)evtimer_del(&shaper->timer);
        if (shaper->bytes)
                evbuffer_free(shaper->bytes);
        if (shaper->chunks)
                evbuffer_free(shaper->chunks);
        free(shaper);
        return NULL;
}

void shaper_set_delay(struct shaper *shaper, uint64_t usec)
{
        shaper->delay_usec = usec;
}

int shaper_put(struct shaper *shaper, const void *data, size_t n)
{
        const struct chunk chunk = { .arrived_usec = loop_now_usec(), .n = n };

        /* Room for the bytes first, so that the two cannot come apart. */
        if (evbuffer_expand(shaper->bytes, n) < 0 ||
            evbuffer_add(shaper->chunks, &chunk, sizeof(chunk)) < 0 ||
            evbuffer_add(shaper->bytes, data, n) < 0)
                return -ENOMEM;
        return 0;
}

/*
 * How long to wait first when so much is left. Linux lets poll and select oversleep by 0.1 % of the
 * wait, by 0.5 % when niced (fs/select.c; measured: 5 ms at 5 s): so a long wait is ended early,
 * and the short rest is waited for once more.
 */
static uint64_t wait_usec(uint64_t left)
{
        return left < 20 * USEC_PER_MSEC ? left : left - left / 128;
}

int shaper_take(struct shaper *shaper, uint8_t *buffer, size_t *n)
{
        uint64_t now = loop_now_usec(), due;
        struct chunk first;

        *n = 0;
        if (evbuffer_copyout(shaper->chunks, &first, sizeof(first)) != sizeof(first))
                return 0;
        due = first.arrived_usec > shaper->left_usec ? first.arrived_usec : shaper->left_usec;
        due += shaper->delay_usec;
        if (now < due) {
                const struct timeval wait = loop_timeval(wait_usec(due - now));

                return evtimer_add(&shaper->timer, &wait) < 0 ? -ENOMEM : 0;
        }
        (void)evbuffer_drain(shaper->chunks, sizeof(first));
        (void)evbuffer_remove(shaper->bytes, buffer, first.n);
        shaper->left_usec = now;
        *n = first.n;
        return 0;
}

bool shaper_is_empty(const struct shaper *shaper)
{
        return evbuffer_get_length(shaper->chunks) == 0;
}

size_t shaper_held(const struct shaper *shaper)
{
        return evbuffer_get_length(shaper->bytes) + evbuffer_get_length(shaper->chunks);
}

bool shaper_is_full(const struct shaper *shaper)
{
        return shaper_held(shaper) >= SHAPER_HOLD_BYTES;
}
