/* SPDX-License-Identifier: MIT */
/*
 * A session ends once: end() stops its links, counts lost bytes, writes the record, and decides
 * what the sides see. Memory and descriptors are freed when the loop has returned from all
 * callbacks.
 */
#include "ending.h"
#include "connection.h"
#include "counter.h"
#include "greeter.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>

/*
 * Polling whether bytes have arrived: first after 30 ms, then doubling to 1 s. LIMIT_POLLS take
 * about 1 s. The other two bounds are those of nginx's lingering close (lingering_time,
 * lingering_timeout).
 */
#define POLL_MIN_USEC  (30 * USEC_PER_MSEC)
#define POLL_MAX_USEC  USEC_PER_SEC
#define LIMIT_POLLS    5
#define WAIT_MAX_USEC  (30 * USEC_PER_SEC)
#define STALL_MAX_USEC (5 * USEC_PER_SEC)

/* Lost bytes */

/* The count of lost bytes that @side would have received. */
static uint64_t *lost_to(struct losses *lost, const struct side *side)
{
        return side == &side->connection->client ? &lost->to_client : &lost->to_other;
}

/* The count of lost bytes that @side has sent. */
static uint64_t *lost_from(struct losses *lost, const struct side *side)
{
        const struct connection *c = side->connection;

        return side == &c->client && c->mode->receiver ? &lost->to_other : &lost->to_client;
}

/* Whether everything that @side sends goes to @to. The bytes of a hub's member go to the others. */
static bool sends_to(const struct side *side, const struct side *to)
{
        return !side->connection->mode->put && connection_other(side) == to;
}

/*
 * Counts lost bytes. The links have been stopped; before there were any, bytes wait in the client's
 * socket. @cut: a side that a condition has cut off, so that unread bytes for it are not lost; or
 * NULL.
 */
static struct losses count_losses(const struct connection *c, const struct side *cut)
{
        struct losses lost = { 0 };

        for (unsigned i = 0; i < c->n_sides; i++) {
                const struct side *side = c->sides[i];

                if (c->opened && !sends_to(side, cut))
                        *lost_from(&lost, side) += stream_unread(&side->stream);
                if (c->started)
                        *lost_to(&lost, side) += link_lost(&side->link);
        }
        return lost;
}

/* The end */

/* Ends all callbacks, and frees the session after this turn of the loop. */
static void finish(struct connection *c)
{
        timer_stop(&c->ending.poll);
        c->ending.served = NULL;
        for (unsigned i = 0; i < c->n_sides; i++)
                stream_stop(&c->sides[i]->stream);
        loop_defer(c->loop, &c->release);
}

/*
 * Makes a side see a reset when its socket is closed. The reset discards bytes that the side's
 * system has not acknowledged, so they are lost too. Some of them may be acknowledged at this very
 * moment.
 */
static void reset_side(struct side *side, struct losses *lost)
{
        uint64_t unacknowledged = stream_unacknowledged(&side->stream), sent;

        stream_set_reset(&side->stream);
        stream_stop(&side->stream);
        if (!side->connection->started)
                return;
        sent = link_sent(&side->link); /* without a PROXY header */
        *lost_to(lost, side) += unacknowledged < sent ? unacknowledged : sent;
}

static void stop(struct connection *c)
{
        idle_stop(c);
        faults_stop(c);
        for (unsigned i = 0; c->started && i < c->n_sides; i++)
                link_stop(&c->sides[i]->link);
        c->greeter = greeter_free(c->greeter);
        if (c->mode->stop)
                c->mode->stop(c);
}

static void linger(struct connection *c, struct side *served);

/* Stops a session, which must not have ended yet. @cut: see count_losses(). Return: lost bytes. */
static struct losses stop_and_count(struct connection *c, const struct side *cut)
{
        c->closed = true;
        stop(c);
        return count_losses(c, cut);
}

static bool is_lossy(const struct losses *lost)
{
        return lost->to_client || lost->to_other;
}

/*
 * Ends a session that has been stopped. @served: a side that has time to read everything and sees
 * no reset; or NULL. @text: the reason in the log.
 */
static void conclude(struct connection *c, bool reset, struct side *served, struct losses *lost,
                     enum reason reason, const char *text)
{
        for (unsigned i = 0; reset && i < c->n_sides; i++)
                if (c->sides[i] != served)
                        reset_side(c->sides[i], lost);
        counter_add(&c->shard->counters.closed[reason], 1);
        record_end(c, text, lost);
        if (served)
                linger(c, served);
        else
                finish(c);
}

/* Ends a session, which must not have ended yet. @text: the reason in the log. */
static void end(struct connection *c, bool reset, enum reason reason, const char *text)
{
        struct losses lost = stop_and_count(c, NULL);

        conclude(c, reset || is_lossy(&lost), NULL, &lost, reason, text);
}

/* Whether the error is one of this process, not of a peer. */
static bool is_own(int error)
{
        return error == -ENOMEM || error == -ENOBUFS || error == -EMFILE || error == -ENFILE;
}

/* Ends a session with a failed side; the reason is like "upstream 127.0.0.1:5432: reset by peer".
 */
static void end_failed(struct connection *c)
{
        int error = c->ending.error;
        const char *name = c->ending.failed->name, *words = reason_error_text(error);
        char text[512];

        if (!name) {
                end(c, true, reason_of_error(error), words);
                return;
        }
        (void)snprintf(text, sizeof(text), "upstream %s: %s", name, words);
        end(c, true, is_own(error) ? reason_of_error(error) : REASON_UPSTREAM_FAILED, text);
}

void connection_close_for(struct connection *c, enum reason reason, const char *text)
{
        if (c->ending.served)
                finish(c);
        else if (!c->closed && c->ending.failed)
                end_failed(c);
        else if (!c->closed)
                end(c, false, reason, text);
}

void connection_close(struct connection *c, enum reason reason)
{
        connection_close_for(c, reason, reason_text(reason));
}

void connection_reset_for(struct connection *c, enum reason reason, const char *text)
{
        if (!c->closed && c->ending.failed)
                end_failed(c);
        else if (!c->closed)
                end(c, true, reason, text);
}

void connection_reset(struct connection *c, enum reason reason)
{
        connection_reset_for(c, reason, reason_text(reason));
}

void connection_reset_error(struct connection *c, int error)
{
        connection_reset_for(c, reason_of_error(error), reason_error_text(error));
}

/* Polling */

static int poll_later(struct connection *c)
{
        uint64_t usec = POLL_MIN_USEC << (c->ending.polls < 16 ? c->ending.polls : 16);

        c->ending.polls++;
        return timer_set(&c->ending.poll,
                         now_usec() + (usec < POLL_MAX_USEC ? usec : POLL_MAX_USEC));
}

static void on_poll(struct timer *timer);

static int start_polling(struct connection *c)
{
        timer_init(&c->ending.poll, loop_timers(c->loop), on_poll);
        c->ending.polls = 0;
        c->ending.began_usec = c->ending.moved_usec = now_usec();
        return poll_later(c);
}

/* The end at a limit: first, sent bytes must arrive */

/* Whether the peer has ended its stream too, or has left. */
static bool is_done(const struct side *side)
{
        return stream_is_stopped(&side->stream) || stream_has_ended(&side->stream);
}

static bool has_arrived(struct side *side)
{
        return is_done(side) || stream_unacknowledged(&side->stream) == 0;
}

/* Whether the served side has read everything, and everything has arrived at the other side. */
static bool is_served(const struct connection *c)
{
        return is_done(c->ending.served) && has_arrived(connection_other(c->ending.served));
}

static void on_late_data(struct stream *stream, struct share *share)
{
        (void)stream;
        (void)share;
}

static void on_late_end(struct stream *stream)
{
        struct connection *c = container_of(stream, struct side, stream)->connection;

        if (is_served(c))
                finish(c);
}

static void on_late_exception(struct stream *stream)
{
        stream_stop(stream);
        on_late_end(stream);
}

static void on_late_error(struct stream *stream, int error)
{
        (void)error;
        on_late_exception(stream);
}

static const struct stream_events late_stream_events = {
        .on_data = on_late_data,
        .on_end = on_late_end,
        .on_exception = on_late_exception,
        .on_error = on_late_error,
};

static void poll_served(struct connection *c)
{
        bool arrived = true;

        for (unsigned i = 0; i < c->n_sides; i++)
                arrived &= has_arrived(c->sides[i]);
        if (is_served(c) || now_usec() - c->ending.began_usec >= WAIT_MAX_USEC ||
            (arrived && c->ending.polls >= LIMIT_POLLS) || poll_later(c) < 0)
                finish(c);
}

static void linger(struct connection *c, struct side *served)
{
        c->ending.served = served;
        if (start_polling(c) < 0) {
                finish(c);
                return;
        }
        for (unsigned i = 0; i < c->n_sides; i++) {
                struct stream *stream = &c->sides[i]->stream;

                if (!stream_is_stopped(stream) && stream_linger(stream, &late_stream_events) < 0)
                        stream_stop(stream);
        }
        if (is_served(c))
                finish(c);
}

void connection_limit(struct side *side, const char *text)
{
        struct connection *c = side->connection;
        struct losses lost;

        if (c->closed)
                return;
        lost = stop_and_count(c, side);
        *lost_to(&lost, side) = 0; /* they are beyond the limit */
        conclude(c, is_lossy(&lost), side, &lost, REASON_LIMIT, text);
}

void connection_discard(struct side *side, const char *text)
{
        struct connection *c = side->connection;
        struct losses lost;

        if (c->closed)
                return;
        if (c->ending.failed) {
                end_failed(c);
                return;
        }
        lost = stop_and_count(c, side);
        conclude(c, is_lossy(&lost), is_lossy(&lost) ? NULL : side, &lost, REASON_DISCARD, text);
}

/* The end after a failure: first, bytes that had arrived are passed on */

/* Whether all bytes from the failed side have arrived at the other side. */
static bool is_passed_on(const struct connection *c)
{
        struct side *failed = c->ending.failed, *to = connection_other(failed);

        return stream_has_ended(&failed->stream) &&
               (to == failed ||
                (link_held(&to->link) == 0 && stream_unacknowledged(&to->stream) == 0));
}

void connection_advance(struct connection *c)
{
        if (!c->closed && c->ending.failed && is_passed_on(c))
                end_failed(c);
}

/* Return: a count that grows while bytes move from the failed side to the other side. */
static uint64_t count_moved(const struct connection *c)
{
        const struct side *failed = c->ending.failed;
        struct side *to = connection_other(failed);

        return failed->stream.in + stream_sent(&to->stream) - stream_unacknowledged(&to->stream);
}

static void poll_failed(struct connection *c)
{
        struct ending *e = &c->ending;
        uint64_t now = now_usec(), moved = count_moved(c);

        if (moved != e->moved)
                e->moved_usec = now;
        e->moved = moved;
        if (is_passed_on(c) || now - e->moved_usec >= STALL_MAX_USEC ||
            now - e->began_usec >= WAIT_MAX_USEC || poll_later(c) < 0)
                end_failed(c);
}

static void on_poll(struct timer *timer)
{
        struct connection *c = container_of(timer, struct connection, ending.poll);

        if (c->ending.served)
                poll_served(c);
        else
                poll_failed(c);
}

/*
 * Passes on bytes that have arrived on @side. Nothing more is sent to @side, which is read until
 * recv(2) reports an end or an error. The other side is read too, although its bytes are lost: a
 * client may want to send everything before it reads an answer.
 */
static void pass_on(struct side *side)
{
        struct connection *c = side->connection;
        struct side *to = connection_other(side);

        idle_stop(c);
        link_stop(&side->link);
        if (is_passed_on(c)) {
                end_failed(c);
                return;
        }
        c->ending.moved = count_moved(c);
        if (start_polling(c) < 0 || (to != side && stream_resume(&to->stream) < 0))
                end_failed(c);
}

void connection_fail(struct side *side, int error)
{
        struct connection *c = side->connection;
        bool first = !c->ending.failed, passes_on;

        if (c->closed)
                return;
        if (!first && side == c->ending.failed) {
                connection_advance(c);
                return;
        }
        if (first) {
                c->ending.failed = side;
                c->ending.error = error;
        }
        /* The bytes of an echo have nowhere else to go. */
        passes_on = first && !is_own(error) && c->started &&
                    (connection_other(side) != side || c->mode->put);
        if (passes_on)
                pass_on(side);
        else
                end_failed(c);
}
