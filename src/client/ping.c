/* SPDX-License-Identifier: MIT */
/*
 * A stream keeps the order of bytes. So an answer belongs to the oldest message without one, unless
 * the number in the answer says otherwise. An evbuffer holds the departure times of the messages
 * without an answer, the oldest first.
 */
#include "ping.h"
#include "channel.h"
#include "rtt.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <signal.h>
#include <sysexits.h>

/* No message is added while more than this is unsent: the server does not keep up. */
#define UNSENT_BYTES ((size_t)1024 * 1024)

/* A message without an answer is reported after this time, or after wait_usec if that is less. */
#define REPORT_USEC USEC_PER_SEC

/* Why a run ended. */
enum end {
        RUNNING,
        ALL_ANSWERED,
        INTERRUPTED,
        DEADLINE,
        NO_ANSWER,
        SERVER_GONE,
        OUTPUT_FAILED,
        OUT_OF_MEMORY,
};

struct ping {
        const struct client *client;
        const struct ping_server *server;
        const struct ping_options *options;
        struct channel *channel;
        struct event *interrupt, *quit;
        struct timer next, report, wait, deadline;
        struct evbuffer *departures; /* of messages without an answer: uint64_t, in usec */
        struct evbuffer *received;   /* a part of a message */
        uint64_t began_usec;
        uint64_t due_usec; /* when the next message is to be sent */
        uint64_t sent;
        uint64_t answered; /* the newest message that has an answer or whose answer was skipped */
        uint64_t reported; /* the newest message that was reported as late */
        uint64_t corrupted, duplicates;
        struct rtt rtt; /* of uncorrupted answers */
        enum end end;
};

static void end(struct ping *ping, enum end reason)
{
        if (ping->end == RUNNING)
                ping->end = reason;
}

static uint64_t unanswered(const struct ping *ping)
{
        return ping->sent - ping->answered;
}

static bool all_sent(const struct ping *ping)
{
        return ping->options->count && ping->sent == ping->options->count;
}

static void set_timer(struct ping *ping, struct timer *timer, uint64_t until)
{
        if (timer_set(timer, until) < 0)
                end(ping, OUT_OF_MEMORY);
}

/* Messages without an answer */

static uint64_t report_after_usec(const struct ping *ping)
{
        uint64_t wait = ping->options->wait_usec;

        return wait && wait < REPORT_USEC ? wait : REPORT_USEC;
}

/* When message @number was sent. It must have no answer yet. */
static uint64_t departure_usec(const struct ping *ping, uint64_t number)
{
        struct evbuffer_ptr place;
        uint64_t usec = 0;

        (void)evbuffer_ptr_set(ping->departures, &place,
                               (number - ping->answered - 1) * sizeof(usec), EVBUFFER_PTR_SET);
        (void)evbuffer_copyout_from(ping->departures, &place, &usec, sizeof(usec));
        return usec;
}

/* The newest message that has an answer or was reported. */
static uint64_t settled(const struct ping *ping)
{
        return ping->answered > ping->reported ? ping->answered : ping->reported;
}

/* Sets the timer that reports the oldest message that is not settled. */
static void plan_report(struct ping *ping)
{
        if (!timer_is_set(&ping->report) && settled(ping) < ping->sent)
                set_timer(ping, &ping->report,
                          departure_usec(ping, settled(ping) + 1) + report_after_usec(ping));
}

/* Reports messages whose answers are late. */
static void report(struct ping *ping)
{
        uint64_t sent_before_usec = now_usec() - report_after_usec(ping);

        while (settled(ping) < ping->sent &&
               departure_usec(ping, settled(ping) + 1) <= sent_before_usec) {
                ping->reported = settled(ping) + 1;
                if (!ping->options->quiet)
                        output_printf(ping->client->out, "no answer yet for seq=%" PRIu64 "\n",
                                      ping->reported);
        }
}

static void on_report(struct timer *timer)
{
        struct ping *ping = container_of(timer, struct ping, report);

        report(ping);
        plan_report(ping);
}

/* Sets the timer that ends the run when no answer arrives after the last message. */
static void plan_wait(struct ping *ping)
{
        if (ping->options->wait_usec && all_sent(ping))
                set_timer(ping, &ping->wait, now_usec() + ping->options->wait_usec);
}

static void on_wait_over(struct timer *timer)
{
        struct ping *ping = container_of(timer, struct ping, wait);

        report(ping); /* both timers may be due in this turn of the loop */
        end(ping, NO_ANSWER);
}

/* Statistics */

/* Messages that may still get an answer: the connection is open, and they are not late. */
static uint64_t under_way(const struct ping *ping)
{
        bool lives = ping->end == RUNNING || ping->end == INTERRUPTED || ping->end == DEADLINE;

        return lives ? ping->sent - settled(ping) : 0;
}

static double lost_percent(const struct ping *ping)
{
        uint64_t lost = ping->sent - ping->rtt.n - under_way(ping);

        return ping->sent ? 100 * (double)lost / (double)ping->sent : 0;
}

static void print_statistics(const struct ping *ping)
{
        struct output *out = ping->client->out;
        const struct rtt *rtt = &ping->rtt;

        output_printf(out, "\n--- %s ping statistics ---\n", ping->server->name);
        output_printf(out, "%" PRIu64 " messages sent, %" PRIu64 " received, ", ping->sent, rtt->n);
        if (ping->duplicates)
                output_printf(out, "+%" PRIu64 " duplicates, ", ping->duplicates);
        if (ping->corrupted)
                output_printf(out, "+%" PRIu64 " corrupted, ", ping->corrupted);
        if (under_way(ping))
                output_printf(out, "%" PRIu64 " under way, ", under_way(ping));
        output_printf(out, "%.4g%% lost, time %" PRIu64 " ms\n", lost_percent(ping),
                      (now_usec() - ping->began_usec) / USEC_PER_MSEC);
        if (rtt->n)
                output_printf(out, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", rtt->min_ms,
                              rtt_average_ms(rtt), rtt->max_ms, rtt_deviation_ms(rtt));
}

/* Prints one line of statistics so far, as ping(8) does. */
static void on_quit(evutil_socket_t fd, short what, void *arg)
{
        const struct ping *ping = arg;
        struct output *err = ping->client->err;
        const struct rtt *rtt = &ping->rtt;

        (void)fd;
        (void)what;
        if (output_is_full(err))
                return;
        output_printf(err, "%" PRIu64 "/%" PRIu64 " messages, %.4g%% lost", rtt->n, ping->sent,
                      lost_percent(ping));
        if (rtt->n)
                output_printf(err, ", min/avg/max = %.3f/%.3f/%.3f ms", rtt->min_ms,
                              rtt_average_ms(rtt), rtt->max_ms);
        output_write(err, "\n", 1);
}

/* Answers */

/* Begins a line about received bytes, unless quiet. Return: whether it was begun. */
static bool print_arrival(const struct ping *ping, size_t n)
{
        if (!ping->options->quiet)
                output_printf(ping->client->out, "%zu bytes from %s", n, ping->server->source);
        return !ping->options->quiet;
}

/* Settles all messages up to @number. Return: when message @number was sent. */
static uint64_t settle(struct ping *ping, uint64_t number)
{
        uint64_t sent_usec = 0;

        while (ping->answered < number) {
                (void)evbuffer_remove(ping->departures, &sent_usec, sizeof(sent_usec));
                ping->answered++;
        }
        return sent_usec;
}

static void take_answer(struct ping *ping, uint64_t number)
{
        double ms = (double)(now_usec() - settle(ping, number)) / (double)USEC_PER_MSEC;

        rtt_add(&ping->rtt, ms);
        if (print_arrival(ping, ping->options->size_bytes))
                output_printf(ping->client->out, ": seq=%" PRIu64 " time=%.3f ms\n", number, ms);
}

static void take_duplicate(struct ping *ping, uint64_t number)
{
        ping->duplicates++;
        if (print_arrival(ping, ping->options->size_bytes))
                output_printf(ping->client->out, ": seq=%" PRIu64 " (DUP!)\n", number);
}

static void take_corrupted(struct ping *ping)
{
        (void)settle(ping, ping->answered + 1);
        ping->corrupted++;
        if (print_arrival(ping, ping->options->size_bytes))
                output_printf(ping->client->out, ": seq=%" PRIu64 " other bytes than were sent\n",
                              ping->answered);
}

/* Takes a message out of what was received. Return: the number of unsolicited bytes, all or none.
 */
static size_t take_message(struct ping *ping)
{
        size_t size = ping->options->size_bytes;
        uint8_t message[PROBE_SIZE_MAX];
        uint64_t number = 0;
        bool is_probe;

        (void)evbuffer_remove(ping->received, message, size);
        is_probe = probe_recognize(message, size, ping->answered + 1, &number) && number >= 1 &&
                   number <= ping->sent;
        if (is_probe && number > ping->answered)
                take_answer(ping, number);
        else if (is_probe)
                take_duplicate(ping, number);
        else if (unanswered(ping))
                take_corrupted(ping);
        else
                return size;
        return 0;
}

static void print_unsolicited(const struct ping *ping, size_t n)
{
        if (n > 0 && print_arrival(ping, n))
                output_printf(ping->client->out, " that nobody asked for\n");
}

/* Drops what was received while every message had an answer. */
static void drop_unsolicited(struct ping *ping)
{
        size_t n = evbuffer_get_length(ping->received);

        if (unanswered(ping))
                return;
        print_unsolicited(ping, n);
        (void)evbuffer_drain(ping->received, n);
}

static void on_data(void *arg, const uint8_t *data, size_t n)
{
        struct ping *ping = arg;
        uint64_t answered = ping->answered;
        size_t unsolicited = 0;

        if (evbuffer_add(ping->received, data, n) < 0)
                end(ping, OUT_OF_MEMORY);
        while (evbuffer_get_length(ping->received) >= ping->options->size_bytes)
                unsolicited += take_message(ping);
        print_unsolicited(ping, unsolicited);
        if (output_is_full(ping->client->out))
                channel_pause(ping->channel);
        if (ping->answered == answered)
                return;
        if (all_sent(ping) && !unanswered(ping))
                end(ping, ALL_ANSWERED);
        plan_wait(ping);
}

static void on_end(void *arg, int error)
{
        struct ping *ping = arg;

        (void)error;
        output_printf(ping->client->err, CLIENT_SERVER_DOWN);
        end(ping, SERVER_GONE);
}

/* Sending */

static void send_one(struct ping *ping)
{
        uint8_t message[PROBE_SIZE_MAX];
        size_t size = ping->options->size_bytes;
        uint64_t now = now_usec();

        if (channel_unsent_bytes(ping->channel) > UNSENT_BYTES || output_is_full(ping->client->out))
                return;
        drop_unsolicited(ping); /* it cannot be the answer to a message that is sent only now */
        probe_fill(message, size, ping->sent + 1);
        if (evbuffer_add(ping->departures, &now, sizeof(now)) < 0 ||
            channel_send(ping->channel, message, size) < 0) {
                end(ping, OUT_OF_MEMORY);
                return;
        }
        ping->sent++;
        plan_report(ping);
        plan_wait(ping);
}

static void on_next(struct timer *timer)
{
        struct ping *ping = container_of(timer, struct ping, next);
        uint64_t now = now_usec();

        send_one(ping);
        if (all_sent(ping))
                return;
        /* Messages leave at fixed times, but those missed while the machine slept are skipped. */
        ping->due_usec += ping->options->interval_usec;
        if (ping->due_usec < now)
                ping->due_usec = now;
        set_timer(ping, &ping->next, ping->due_usec);
}

/* The run */

static void on_deadline(struct timer *timer)
{
        end(container_of(timer, struct ping, deadline), DEADLINE);
}

static void on_interrupt(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        end(arg, INTERRUPTED);
}

static void on_room(void *arg)
{
        struct ping *ping = arg;

        if (channel_resume(ping->channel) < 0)
                end(ping, OUT_OF_MEMORY);
}

static void on_output_failed(void *arg, int error)
{
        (void)error; /* output_finish() returns it again */
        end(arg, OUTPUT_FAILED);
}

static void init_timers(struct ping *ping)
{
        struct timers *timers = loop_timers(ping->client->loop);

        timer_init(&ping->next, timers, on_next);
        timer_init(&ping->report, timers, on_report);
        timer_init(&ping->wait, timers, on_wait_over);
        timer_init(&ping->deadline, timers, on_deadline);
}

static int start(struct ping *ping)
{
        static const struct channel_events events = { .on_data = on_data, .on_end = on_end };
        const struct client *client = ping->client;
        struct event_base *base = loop_base(client->loop);

        ping->departures = evbuffer_new();
        ping->received = evbuffer_new();
        ping->interrupt = evsignal_new(base, SIGINT, on_interrupt, ping);
        ping->quit = evsignal_new(base, SIGQUIT, on_quit, ping);
        if (!ping->departures || !ping->received || !ping->interrupt || !ping->quit ||
            event_add(ping->interrupt, NULL) < 0 || event_add(ping->quit, NULL) < 0 ||
            channel_new(client->loop, client->fd, &events, ping, &ping->channel) < 0)
                return -ENOMEM;
        if (ping->options->deadline_usec)
                set_timer(ping, &ping->deadline, ping->began_usec + ping->options->deadline_usec);
        set_timer(ping, &ping->next, ping->due_usec);
        output_printf(client->out, "PING %s %" PRIu64 " bytes of data.\n", ping->server->source,
                      ping->options->size_bytes);
        return 0;
}

static void stop(struct ping *ping)
{
        timer_stop(&ping->next);
        timer_stop(&ping->report);
        timer_stop(&ping->wait);
        timer_stop(&ping->deadline);
        channel_free(ping->channel);
        if (ping->interrupt)
                event_free(ping->interrupt);
        if (ping->quit)
                event_free(ping->quit);
        if (ping->departures)
                evbuffer_free(ping->departures);
        if (ping->received)
                evbuffer_free(ping->received);
}

static int exit_status(const struct ping *ping)
{
        bool whole = ping->rtt.n > 0 && ping->rtt.n + under_way(ping) == ping->sent;

        switch (ping->end) {
        case OUT_OF_MEMORY:
                return EX_OSERR;
        case DEADLINE:
                if (ping->rtt.n < ping->options->count)
                        return EXIT_FAILURE;
                /* fall through */
        case ALL_ANSWERED:
        case INTERRUPTED:
                return whole ? EXIT_SUCCESS : EXIT_FAILURE;
        default:
                return EXIT_FAILURE;
        }
}

int ping_run(const struct client *client, const struct ping_server *server,
             const struct ping_options *options)
{
        static const struct output_events events = { on_room, on_output_failed };
        uint64_t now = now_usec();
        struct ping ping = {
                .client = client,
                .server = server,
                .options = options,
                .began_usec = now,
                .due_usec = now,
        };

        init_timers(&ping);
        if (start(&ping) < 0)
                end(&ping, OUT_OF_MEMORY);
        output_set_events(client->out, &events, &ping);
        while (ping.end == RUNNING)
                if (loop_turn(client->loop) < 0)
                        end(&ping, OUT_OF_MEMORY);
        output_set_events(client->out, NULL, NULL);
        drop_unsolicited(&ping);
        print_statistics(&ping);
        stop(&ping);
        return exit_status(&ping);
}
