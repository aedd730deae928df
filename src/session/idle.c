/* SPDX-License-Identifier: MIT */
#include "idle.h"
#include "connection.h"

#include <errno.h>

/* Return: the bytes that all sockets of a session have taken. */
static uint64_t total_sent(const struct connection *c)
{
        uint64_t sent = 0;

        for (unsigned i = 0; i < c->n_sides; i++)
                sent += stream_sent(&c->sides[i]->stream);
        return sent;
}

void idle_touch(struct connection *c)
{
        if (c->config->idle_timeout_usec == 0)
                return;
        c->idle.active_usec = now_usec();
        c->idle.sent = total_sent(c);
}

/* Sets the timer to the end of idle_timeout after the last byte. */
static int arm_idle(struct connection *c)
{
        return timer_set(&c->idle.timer, c->idle.active_usec + c->config->idle_timeout_usec);
}

/* Whether selectd itself delays bytes, or has not reached the upstream yet. */
static bool is_waiting(const struct connection *c)
{
        bool waiting = !c->started;

        for (unsigned i = 0; c->started && i < c->n_sides; i++)
                waiting |= link_is_waiting(&c->sides[i]->link);
        return waiting;
}

/*
 * The timer is not set for each byte. When it fires, it is set again if a byte has moved since. A
 * connection is not idle while selectd itself delays its bytes, or while its queue shrinks.
 */
static void on_idle(struct timer *timer)
{
        struct connection *c = container_of(timer, struct connection, idle.timer);

        if (is_waiting(c) || total_sent(c) != c->idle.sent)
                idle_touch(c);
        if (now_usec() - c->idle.active_usec >= c->config->idle_timeout_usec)
                connection_close(c, REASON_IDLE);
        else if (arm_idle(c) < 0)
                connection_close(c, REASON_NO_MEMORY);
}

int idle_set(struct connection *c)
{
        bool before = timer_is_set(&c->idle.timer);

        timer_stop(&c->idle.timer);
        if (c->config->idle_timeout_usec == 0)
                return 0;
        if (!before)
                idle_touch(c);
        return arm_idle(c);
}

void idle_init(struct connection *c)
{
        timer_init(&c->idle.timer, loop_timers(c->loop), on_idle);
}

void idle_stop(struct connection *c)
{
        timer_stop(&c->idle.timer);
}
