/* SPDX-License-Identifier: MIT */
/*
 * The server acts on clients that come and go, on signals and on timers. After each change,
 * server_update() sets the idle timer and the status.
 */
#include "server.h"
#include "capacity.h"
#include "controlled.h"
#include "gate.h"
#include "log_retry.h"
#include "notify.h"
#include "quantity.h"
#include "reload.h"
#include "restart.h"
#include "serving.h"
#include "signals.h"
#include "stopping.h"
#include "watchdog.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

/* The service manager gets a new status at most this often. */
#define STATUS_USEC USEC_PER_SEC

struct server {
        struct loop *loop;
        struct budget budget; /* for all loops */
        struct workers workers;
        uint64_t last_id; /* of a connection */
        struct gate *gate;
        struct notify *notify;
        struct serving serving;
        struct controlled controlled;
        const struct server_options *options;
        struct config *started; /* what was read at the start; a reference */
        struct signals *signals;
        struct event *log;   /* readable: write the waiting log lines again */
        struct timer idle;   /* exit_on_idle has passed without a connection */
        struct timer status; /* send the status */
        struct watchdog watchdog;
        const char *limited_by; /* what sets the descriptor limit, for the log */
        struct reload reload;
        struct stopping stopping;
        bool worker_failed;
};

/* Return: whether the timer was set; false: out of memory. */
static bool start_timer(struct timer *timer, uint64_t usec)
{
        return timer_set(timer, now_usec() + usec) == 0;
}

static const char *plural(size_t n)
{
        return n == 1 ? "" : "s";
}

/* Status and idle time */

static void describe(const struct server *s, char *out, size_t size)
{
        size_t n = workers_count_connections(&s->workers), services = s->serving.config->n_services;

        (void)snprintf(out, size, "%s%zu connection%s, %zu service%s%s",
                       s->stopping.begun ? "stopping: " : "", n, plural(n), services,
                       plural(services), s->reload.failed ? "; the last reload failed" : "");
}

static void on_status(struct timer *timer)
{
        struct server *s = container_of(timer, struct server, status);
        char status[128];

        describe(s, status, sizeof(status));
        notify_status(s->notify, status);
}

/* Sets the idle timer and the status. To be called after every change of connections or settings.
 */
static void server_update(struct server *s)
{
        bool idle = workers_count_connections(&s->workers) == 0 &&
                    s->serving.config->exit_on_idle_usec && !s->stopping.begun;

        if (!idle)
                timer_stop(&s->idle);
        else if (!timer_is_set(&s->idle))
                (void)start_timer(&s->idle, s->serving.config->exit_on_idle_usec);
        if (!timer_is_set(&s->status))
                (void)start_timer(&s->status, STATUS_USEC);
}

static void server_stop(struct server *s)
{
        uint64_t timeout = s->serving.config->drain_timeout_usec;

        notify_stopping(s->notify, timeout);
        reload_cancel(&s->reload);
        stopping_begin(&s->stopping, timeout);
        server_update(s);
}

static void on_idle(struct timer *timer)
{
        char duration[QUANTITY_TEXT_SIZE];
        struct server *s = container_of(timer, struct server, idle);

        listeners_accept_pending(s->serving.listeners);
        if (workers_count_connections(&s->workers) > 0)
                return;
        log_write(LOG_IDLE_EXIT, NULL, "idle for %s, exiting",
                  quantity_format_usec(s->serving.config->exit_on_idle_usec, duration));
        server_stop(s);
}

/* Clients */

static void turn_away(struct server *s, struct service *service, int fd, const struct address *peer,
                      enum turned_away kind, const char *reason)
{
        char client[ADDRESS_TEXT_SIZE];

        gate_turn_away(s->gate, service_name(service), address_format_client(fd, peer, client),
                       reason);
        service_count_turned_away(service, kind);
        (void)close(fd);
}

/* Resets a client of a disabled service, whose socket systemd passed and keeps open. */
static void turn_away_disabled(struct server *s, struct service *service, int fd,
                               const struct address *peer)
{
        const struct linger none = { .l_onoff = 1 };

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        turn_away(s, service, fd, peer, TURNED_AWAY_DISABLED, "the service is disabled");
}

static void on_accept(void *arg, struct service *service, struct service_config *config, int fd,
                      const struct address *peer)
{
        char reason[GATE_REASON_SIZE];
        struct server *s = arg;
        struct client client = {
                .service = service,
                .config = config,
                .peer = *peer,
                .fd = fd,
        };

        if (!config->enabled) {
                turn_away_disabled(s, service, fd, peer);
                return;
        }
        if (!gate_admits(s->gate, workers_count_connections(&s->workers))) {
                turn_away(s, service, fd, peer, TURNED_AWAY_LIMIT, gate_reason(s->gate, reason));
                return;
        }
        client.id = ++s->last_id;
        worker_admit(workers_choose(&s->workers, config), &client);
        server_update(s);
}

static void on_refused(void *arg, struct service *service, const char *client, int error)
{
        struct server *s = arg;

        service_count_turned_away(service, TURNED_AWAY_ERROR);
        gate_turn_away(s->gate, service_name(service), client, loop_strerror(error));
        server_update(s);
}

static void on_ended(void *arg)
{
        struct server *s = arg;

        if (s->serving.listeners)
                listeners_resume(s->serving.listeners);
        server_update(s);
}

static void on_worker_failed(void *arg)
{
        struct server *s = arg;

        s->worker_failed = true;
}

/* Configuration */

static void set_connection_limit(struct server *s, const struct config *config)
{
        size_t most = capacity_max_connections(config,
                                               listeners_count(s->serving.listeners) +
                                                       controlled_descriptors(&s->controlled),
                                               workers_count_loops(&s->workers));

        if (config->max_connections && config->max_connections <= most)
                gate_set_limit(s->gate, config->max_connections, "max_connections");
        else
                gate_set_limit(s->gate, most, s->limited_by);
}

static void on_listeners_retired(void *arg)
{
        struct server *s = arg;

        set_connection_limit(s, s->serving.config);
}

int server_apply(struct server *s, struct config *config, struct apply_wait *wait, char *why)
{
        const struct config *old = s->serving.config;
        bool new_idle = old && config->exit_on_idle_usec != old->exit_on_idle_usec;
        int r;

        if (s->stopping.begun) {
                (void)snprintf(why, SERVING_WHY_SIZE, "selectd is stopping");
                return -ESHUTDOWN;
        }
        r = serving_apply(&s->serving, config, wait, why);
        if (r < 0)
                return r;
        log_set_level(config->log_level);
        budget_set_max(&s->budget, capacity_max_held_bytes(config));
        set_connection_limit(s, config);
        if (new_idle)
                timer_stop(&s->idle);
        server_update(s);
        return 0;
}

static int apply_reloaded(void *arg, struct config *config, struct apply_wait *wait, char *why)
{
        _cleanup_(config_unrefp) struct config *merged = NULL;
        struct server *s = arg;
        int r = controlled_merge(&s->controlled, config, &merged);

        if (r < 0) {
                (void)snprintf(why, SERVING_WHY_SIZE, "%s", strerrordesc_np(-r));
                return r;
        }
        r = server_apply(s, merged, wait, why);
        if (r == 0)
                restart_log_needed(s->started, s->workers.n, config);
        return r;
}

static void send_ready(const struct server *s)
{
        char status[128];

        describe(s, status, sizeof(status));
        notify_ready(s->notify, status);
}

static void on_reload_begin(void *arg)
{
        const struct server *s = arg;

        notify_reloading(s->notify);
}

static void on_reload_end(void *arg)
{
        send_ready(arg);
}

static void on_applied(void *arg)
{
        struct server *s = arg;

        serving_check(&s->serving);
}

void server_count_reloads(const struct server *s, uint64_t *applied, uint64_t *failed)
{
        *applied = s->reload.n_applied;
        *failed = s->reload.n_failed;
}

static void on_reload_signal(void *arg)
{
        struct server *s = arg;

        reload_request(&s->reload);
}

/* Stopping */

static void on_stop_signal(void *arg)
{
        struct server *s = arg;

        if (s->stopping.begun)
                stopping_hurry(&s->stopping);
        else
                server_stop(s);
}

/* Starting */

static const struct reload_events reload_events = {
        .on_begin = on_reload_begin,
        .apply = apply_reloaded,
        .on_end = on_reload_end,
};

static const struct signals_events signals_events = {
        .on_reload = on_reload_signal,
        .on_stop = on_stop_signal,
};

static const struct listeners_events listeners_events = {
        .on_accept = on_accept,
        .on_retired = on_listeners_retired,
};

static const struct worker_events worker_events = {
        .on_ended = on_ended,
        .on_refused = on_refused,
        .on_applied = on_applied,
        .on_failed = on_worker_failed,
};

static int make_timers(struct server *s)
{
        timer_init(&s->idle, loop_timers(s->loop), on_idle);
        timer_init(&s->status, loop_timers(s->loop), on_status);
        stopping_init(&s->stopping, s->loop, &s->serving, &s->workers);
        return watchdog_start(&s->watchdog, s->loop, &s->workers, s->notify);
}

/* Makes everything but the listeners. */
static int server_prepare(struct server *s, const struct config *config)
{
        int r;

        s->limited_by = capacity_raise_descriptors(config->backend);
        r = loop_new(config->backend, &s->loop);
        if (r == 0) {
                loop_set_budget(s->loop, &s->budget);
                reload_init(&s->reload, s->loop, config->path, &reload_events, s);
                r = loop_open_posts(s->loop);
        }
        if (r == 0)
                r = gate_new(s->loop, &s->gate);
        if (r == 0)
                r = notify_new(s->loop, &s->notify);
        if (r == 0)
                r = log_retry_start(s->loop, &s->log);
        if (r == 0)
                r = signals_new(s->loop, &signals_events, s, &s->signals);
        if (r == 0)
                r = make_timers(s);
        if (r == 0)
                r = workers_start(&s->workers, config, s->loop, &worker_events, s);
        if (r < 0)
                log_write(LOG_START_FAILED, NULL, "cannot start on backend \"%s\": %s",
                          config->backend, strerrordesc_np(-r));
        return r;
}

/* Makes the control interface, if there is to be one. Return: 0; -ENOMEM. */
static int start_control(struct server *s, const struct config *config, char *why)
{
        int r;

        if (!config->n_control && !s->options->n_control && !s->options->populate)
                return 0;
        r = controlled_init(&s->controlled, s->loop, s, &s->serving);
        if (r < 0)
                (void)snprintf(why, SERVING_WHY_SIZE, "%s", strerrordesc_np(-r));
        return r;
}

/* Adds the proxies that the command line asks for to a configuration that is not in force yet.
 * Return: 0; see control_load(). */
static int add_proxies(struct server *s, struct config *config, struct config **out, char *why)
{
        if (s->options->populate)
                return control_load(s->controlled.control, s->options->populate, config, out, why);
        *out = config_ref(config);
        return 0;
}

/* Opens the sockets of the services and of the control interface. */
static int open_sockets(struct server *s, struct config *config, char *why)
{
        const struct server_options *options = s->options;
        int r = server_apply(s, config, NULL, why);

        if (r == 0)
                r = controlled_listen(&s->controlled, config->control, config->n_control,
                                      &config->control_access, why);
        if (r == 0)
                r = controlled_listen(&s->controlled, options->control, options->n_control,
                                      &config->control_access, why);
        if (r == 0)
                set_connection_limit(s, config); /* there are more descriptors in use now */
        return r;
}

/* Return: an exit status. */
static int server_listen(struct server *s, struct config *file)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        char why[SERVING_WHY_SIZE];
        int status = EX_OSERR, r;

        r = serving_init(&s->serving, s->loop, &s->workers, &listeners_events, s, why);
        if (r == 0)
                r = start_control(s, file, why);
        if (r == 0) {
                r = add_proxies(s, file, &config, why);
                status = r == -EINVAL || r == -ENOENT ? EX_CONFIG : EX_OSERR;
        }
        if (r == 0) {
                r = listeners_match(s->serving.listeners, config, why);
                status = r < 0 ? EX_CONFIG : EX_OSERR;
        }
        if (r == 0)
                r = open_sockets(s, config, why);
        if (r == 0)
                return EX_OK;
        log_write(LOG_START_FAILED, NULL, "%s", why);
        return status;
}

static int server_serve(struct server *s)
{
        char where[LISTENERS_TEXT_SIZE];
        size_t n = s->serving.config->n_services;

        listeners_describe(s->serving.listeners, where);
        log_write(LOG_READY, NULL, "ready: %zu service%s, %s, %zu worker%s%s%s", n, plural(n),
                  loop_backend(s->loop), s->workers.n, plural(s->workers.n), *where ? "; " : "",
                  where);
        send_ready(s);

        while (!stopping_is_over(&s->stopping)) {
                log_write(LOG_WAITING, NULL, "waiting for the next event");
                if (loop_turn(s->loop) < 0 || s->worker_failed) {
                        log_write(LOG_LIBRARY, NULL, "the event loop failed, exiting");
                        return EX_OSERR;
                }
        }
        reload_deinit(&s->reload);
        gate_report(s->gate);
        if (!s->stopping.gave_up)
                log_write(LOG_STOPPED, NULL, "stopped");
        return EX_OK;
}

static void server_deinit(struct server *s)
{
        reload_deinit(&s->reload);
        s->serving.listeners = listeners_free(s->serving.listeners);
        controlled_deinit(&s->controlled);
        stopping_end_workers(&s->workers);
        serving_deinit(&s->serving);
        workers_free(&s->workers);
        if (s->log)
                event_free(s->log);
        signals_free(s->signals);
        gate_free(s->gate);
        notify_free(s->notify);
        loop_free(s->loop);
        config_unref(s->started);
}

int server_run(struct config *config, const struct server_options *options)
{
        struct server s = {
                .options = options,
                .started = config_ref(config),
        };
        int status = EX_OSERR;

        log_set_level(config->log_level);
        if (server_prepare(&s, config) == 0)
                status = server_listen(&s, config);
        if (status == EX_OK)
                status = server_serve(&s);
        server_deinit(&s);
        return status;
}
