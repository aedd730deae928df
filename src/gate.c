/*
 * The gate. The first client turned away starts a timer, and when that fires all since are reported
 * together: a flood costs one line every few seconds.
 */
#include "gate.h"
#include "log.h"

#include <errno.h>

#define REPORT_USEC (5 * USEC_PER_SEC)

struct gate {
        struct event *timer;
        size_t limit;
        const char *set_by;
        const char *reason; /* of the last one turned away; NULL: the limit */
        uint64_t turned_away;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        gate_report(arg);
}

int gate_new(struct loop *loop, struct gate **out)
{
        struct gate *gate = calloc(1, sizeof(*gate));

        if (!gate)
                return -ENOMEM;
        gate->limit = SIZE_MAX;
        gate->timer = evtimer_new(loop_base(loop), on_timer, gate);
        if (!gate->timer) {
                free(gate);
                return -ENOMEM;
        }
        *out = gate;
        return 0;
}

struct gate *gate_free(struct gate *gate)
{
        if (!gate)
                return NULL;
        event_free(gate->timer);
        free(gate);
        return NULL;
}

void gate_set_limit(struct gate *gate, size_t limit, const char *set_by)
{
        gate->limit = limit;
        gate->set_by = set_by;
}

static void turn_away(struct gate *gate, const char *reason)
{
        const struct timeval wait = loop_timeval(REPORT_USEC);

        gate->reason = reason;
        if (gate->turned_away++ == 0 && evtimer_add(gate->timer, &wait) < 0)
                gate_report(gate);
}

bool gate_admits(struct gate *gate, size_t count)
{
        if (count < gate->limit)
                return true;
        turn_away(gate, NULL);
        return false;
}

void gate_refuse(struct gate *gate, const char *reason)
{
        turn_away(gate, reason);
}

void gate_report(struct gate *gate)
{
        uint64_t n = gate->turned_away;

        if (n == 0)
                return;
        if (gate->reason)
                log_write(LOG_TURNED_AWAY, NULL, "turned away %llu connection%s: %s",
                          (unsigned long long)n, n == 1 ? "" : "s", gate->reason);
        else
                log_write(LOG_TURNED_AWAY, NULL,
                          "turned away %llu connection%s: the limit is %zu, set by %s",
                          (unsigned long long)n, n == 1 ? "" : "s", gate->limit, gate->set_by);
        gate->turned_away = 0;
        (void)evtimer_del(gate->timer);
}
