/* SPDX-License-Identifier: MIT */
/*
 * The gate. The first client that is turned away starts a timer. When the timer fires, all counts
 * are logged and reset.
 */
#include "gate.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define REPORT_USEC (5 * USEC_PER_SEC)

/* The number of separate counts. One more counts all other services and reasons. */
#define COUNTS_MAX 8

/* Clients that one service turned away for one reason. */
struct count {
        uint64_t n;
        char service[64];
        char client[64]; /* the last one */
        char reason[GATE_REASON_SIZE];
};

struct gate {
        struct timer timer;
        size_t limit;
        const char *set_by;
        struct count counts[COUNTS_MAX];
        size_t n_counts;
        struct count others;
};

static void on_time(struct timer *timer)
{
        gate_report(container_of(timer, struct gate, timer));
}

int gate_new(struct loop *loop, struct gate **out)
{
        struct gate *gate = calloc(1, sizeof(*gate));

        if (!gate)
                return -ENOMEM;
        gate->limit = SIZE_MAX;
        timer_init(&gate->timer, loop_timers(loop), on_time);
        *out = gate;
        return 0;
}

struct gate *gate_free(struct gate *gate)
{
        if (gate)
                timer_stop(&gate->timer);
        free(gate);
        return NULL;
}

void gate_set_limit(struct gate *gate, size_t limit, const char *set_by)
{
        gate->limit = limit;
        gate->set_by = set_by;
}

bool gate_admits(const struct gate *gate, size_t count)
{
        return count < gate->limit;
}

const char *gate_reason(const struct gate *gate, char *out)
{
        (void)snprintf(out, GATE_REASON_SIZE, "the limit is %zu, set by %s", gate->limit,
                       gate->set_by);
        return out;
}

static struct count *find_count(struct gate *gate, const char *service, const char *reason)
{
        for (size_t i = 0; i < gate->n_counts; i++)
                if (strncmp(gate->counts[i].service, service,
                            sizeof(gate->counts[i].service) - 1) == 0 &&
                    strcmp(gate->counts[i].reason, reason) == 0)
                        return &gate->counts[i];
        return NULL;
}

/* Return: the count for a service and a reason; "others" if there is no room for a new count. */
static struct count *get_count(struct gate *gate, const char *service, const char *reason)
{
        struct count *count = find_count(gate, service, reason);

        if (count)
                return count;
        if (gate->n_counts == COUNTS_MAX)
                return &gate->others;
        count = &gate->counts[gate->n_counts++];
        (void)snprintf(count->service, sizeof(count->service), "%s", service);
        (void)snprintf(count->reason, sizeof(count->reason), "%s", reason);
        return count;
}

void gate_turn_away(struct gate *gate, const char *service, const char *client, const char *reason)
{
        struct count *count = get_count(gate, service, reason);

        count->n++;
        (void)snprintf(count->client, sizeof(count->client), "%s", client);
        if (!timer_is_set(&gate->timer) && timer_set(&gate->timer, now_usec() + REPORT_USEC) < 0)
                gate_report(gate);
}

static void report(const struct count *count)
{
        const struct log_about about = { .service = count->service, .client = count->client };
        uint64_t others = count->n - 1;

        if (others == 0)
                log_write(LOG_TURNED_AWAY, &about, "turned away: %s", count->reason);
        else
                log_write(LOG_TURNED_AWAY, &about,
                          "and %" PRIu64 " other connection%s turned away: %s", others,
                          others == 1 ? "" : "s", count->reason);
}

void gate_report(struct gate *gate)
{
        for (size_t i = 0; i < gate->n_counts; i++)
                report(&gate->counts[i]);
        if (gate->others.n)
                log_write(LOG_TURNED_AWAY, NULL,
                          "turned away %" PRIu64 " connection%s more, of other services or for "
                          "other reasons, the last one from %s",
                          gate->others.n, gate->others.n == 1 ? "" : "s", gate->others.client);
        gate->n_counts = 0;
        memset(gate->counts, 0, sizeof(gate->counts));
        memset(&gate->others, 0, sizeof(gate->others));
        timer_stop(&gate->timer);
}
