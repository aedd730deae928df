/* SPDX-License-Identifier: MIT */
/*
 * If a worker has a thread, commands are recorded under a lock, and one posted task carries out all
 * of them. Its events reach the main loop in the same way. Without a thread, commands are carried
 * out and events are delivered within the call.
 */
#include "worker.h"
#include "log.h"
#include "thread.h"

#include <errno.h>
#include <pthread.h>

/* A client that the main loop hands to the worker, or that the worker hands back. */
struct handover {
        STAILQ_ENTRY(handover) entry;
        struct client client; /* with references */
        int error;            /* why the client could not be served; its socket is then closed */
        char name[CONNECTION_CLIENT_SIZE]; /* set with @error */
};

STAILQ_HEAD(handover_list, handover);
STAILQ_HEAD(shard_list, service_shard);

/* Commands for the worker, in this order. */
struct commands {
        struct handover_list clients;
        struct shard_list changes; /* pending; of those taken: current */
        uint64_t generation;       /* of @settings; 0: no such command */
        struct session_settings settings;
        bool close_all, answer, stop;
};

/* Events for the owner. */
struct events {
        size_t ended;
        uint64_t generation; /* the one that has been applied; 0: none */
        bool answered, failed;
};

struct worker {
        struct sessions sessions;
        struct loop *loop;
        bool stopping;

        /* For the main thread: */
        struct loop *main_loop;
        const struct worker_events *callbacks;
        void *arg;
        size_t count;
        uint64_t last_id; /* of the clients that have been admitted */
        uint64_t applied; /* the newest generation that the worker has applied */
        bool answered;

        /* For both threads: */
        bool threaded;
        struct thread thread;
        pthread_mutex_t lock; /* protects the next three members */
        struct commands commands;
        struct events events;
        struct handover_list refused; /* clients that could not be served */
        struct loop_task on_commands, on_events;
};

/* Clients */

static struct handover *handover_free(struct handover *handover)
{
        service_unref(handover->client.service);
        service_config_unref(handover->client.config);
        free(handover);
        return NULL;
}

/* Takes the first client off the list; NULL: it is empty. */
static struct handover *take_client(struct handover_list *list)
{
        struct handover *handover = STAILQ_FIRST(list);

        if (handover)
                STAILQ_REMOVE_HEAD(list, entry);
        return handover;
}

/* Events */

static void deliver(struct worker *worker, const struct events *events)
{
        worker->count -= events->ended;
        worker->answered |= events->answered;
        if (events->generation) {
                worker->applied = events->generation;
                worker->callbacks->on_applied(worker->arg);
        }
        if (events->ended)
                worker->callbacks->on_ended(worker->arg);
        if (events->failed)
                worker->callbacks->on_failed(worker->arg);
}

/* Tells the owner of a client that could not be served. */
static void deliver_refused(struct worker *worker, const struct handover *handover)
{
        worker->count--;
        worker->callbacks->on_refused(worker->arg, handover->client.service, handover->name,
                                      handover->error);
}

static void on_events(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_events);
        struct handover_list refused = STAILQ_HEAD_INITIALIZER(refused);
        struct events events;

        (void)pthread_mutex_lock(&worker->lock);
        events = worker->events;
        worker->events = (struct events){ 0 };
        STAILQ_CONCAT(&refused, &worker->refused);
        (void)pthread_mutex_unlock(&worker->lock);
        for (struct handover *handover; (handover = take_client(&refused));) {
                deliver_refused(worker, handover);
                handover_free(handover);
        }
        deliver(worker, &events);
}

static void send_events(struct worker *worker, const struct events *events)
{
        if (!worker->threaded) {
                deliver(worker, events);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->events.ended += events->ended;
        worker->events.generation =
                events->generation ? events->generation : worker->events.generation;
        worker->events.answered |= events->answered;
        worker->events.failed |= events->failed;
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->main_loop, &worker->on_events);
}

static void on_ended(void *arg)
{
        send_events(arg, &(struct events){ .ended = 1 });
}

/* Hands a refused client back to the main loop. */
static void give_back(struct worker *worker, struct handover *handover)
{
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_INSERT_TAIL(&worker->refused, handover, entry);
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->main_loop, &worker->on_events);
}

/* Commands */

/* Records why a client cannot be served, and closes its socket. */
static void refuse(struct handover *handover, int error)
{
        const struct client *client = &handover->client;
        char name[ADDRESS_TEXT_SIZE];

        (void)snprintf(handover->name, sizeof(handover->name), "%.*s", CONNECTION_CLIENT_SIZE - 1,
                       address_format_client(client->fd, &client->peer, name));
        handover->error = error;
        (void)close(client->fd);
}

/* Return: whether a connection began. If not, the client has been refused. */
static bool admit(struct worker *worker, struct handover *handover)
{
        int r = sessions_admit(&worker->sessions, &handover->client);

        if (r < 0)
                refuse(handover, r);
        return r == 0;
}

/*
 * Takes all changes; the lock is held. They are taken together with the clients, so that commands
 * keep their order: a later client has newer settings, and a later change is applied after it.
 */
static void take_changes(struct worker *worker, struct shard_list *out)
{
        struct service_shard *shard;

        STAILQ_INIT(out);
        while ((shard = STAILQ_FIRST(&worker->commands.changes))) {
                STAILQ_REMOVE_HEAD(&worker->commands.changes, pending.entry);
                shard->current = shard->pending;
                shard->pending.config = NULL;
                shard->pending.end_to_id = 0;
                STAILQ_INSERT_TAIL(out, shard, current.entry);
        }
}

static struct commands take_commands(struct worker *worker)
{
        struct commands commands;

        (void)pthread_mutex_lock(&worker->lock);
        commands = worker->commands;
        STAILQ_INIT(&commands.clients);
        STAILQ_CONCAT(&commands.clients, &worker->commands.clients);
        take_changes(worker, &commands.changes);
        worker->commands.generation = 0;
        worker->commands.close_all = false;
        worker->commands.answer = false;
        (void)pthread_mutex_unlock(&worker->lock);
        return commands;
}

/* Gives back the references of a change that has been taken. */
static void end_change(struct service_shard *shard)
{
        shard->current.config = service_config_unref(shard->current.config);
        service_unref(shard->service);
}

static void change_services(struct worker *worker, struct shard_list *changes)
{
        struct service_shard *shard;

        while ((shard = STAILQ_FIRST(changes))) {
                STAILQ_REMOVE_HEAD(changes, current.entry);
                sessions_change_service(&worker->sessions, shard->service, shard->current.config,
                                        shard->current.end_to_id);
                end_change(shard);
        }
}

static void on_commands(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_commands);
        struct commands commands = take_commands(worker);

        if (commands.generation)
                sessions_set(&worker->sessions, &commands.settings);
        for (struct handover *handover; (handover = take_client(&commands.clients));) {
                if (admit(worker, handover))
                        handover_free(handover);
                else
                        give_back(worker, handover);
        }
        change_services(worker, &commands.changes);
        if (commands.generation)
                send_events(worker, &(struct events){ .generation = commands.generation });
        if (commands.close_all)
                sessions_close_all(&worker->sessions);
        if (commands.answer)
                send_events(worker, &(struct events){ .answered = true });
        worker->stopping = commands.stop;
}

/* The thread */

static void run(void *arg)
{
        struct worker *worker = arg;
        int r = 0;

        while (r == 0 && !worker->stopping) {
                log_write(LOG_WAITING, NULL, "waiting for the next event");
                r = loop_turn(worker->loop);
        }
        sessions_close_all(&worker->sessions);
        loop_run_deferred(worker->loop);
        if (r < 0)
                send_events(worker, &(struct events){ .failed = true });
}

static int start_thread(struct worker *worker)
{
        int r;

        worker->threaded = true;
        r = thread_start(&worker->thread, "selectd-worker", run, worker);
        if (r < 0)
                worker->threaded = false;
        return r;
}

static void worker_freep(struct worker **worker)
{
        worker_free(*worker);
}

int worker_new(const char *backend, struct loop *main_loop, struct resolver *resolver, size_t shard,
               const struct worker_events *events, void *arg, struct worker **out)
{
        _cleanup_(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));
        int r = 0;

        if (!worker)
                return -ENOMEM;
        STAILQ_INIT(&worker->commands.clients);
        STAILQ_INIT(&worker->commands.changes);
        STAILQ_INIT(&worker->refused);
        (void)pthread_mutex_init(&worker->lock, NULL);
        worker->on_commands.run = on_commands;
        worker->on_events.run = on_events;
        worker->main_loop = main_loop;
        worker->callbacks = events;
        worker->arg = arg;
        worker->answered = true;
        if (!backend)
                worker->loop = main_loop;
        else
                r = loop_new(backend, &worker->loop);
        if (r == 0 && backend) {
                loop_set_budget(worker->loop, loop_budget(main_loop));
                r = loop_open_posts(worker->loop);
        }
        if (r == 0)
                sessions_init(&worker->sessions, worker->loop, resolver, shard, on_ended, worker);
        if (r == 0 && backend)
                r = start_thread(worker);
        if (r < 0)
                return r;
        *out = worker;
        worker = NULL;
        return 0;
}

/* Releases the lock and makes the worker's thread carry out the commands. */
static void send_commands(struct worker *worker)
{
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->loop, &worker->on_commands);
}

void worker_begin_stop(struct worker *worker)
{
        if (!worker->threaded) {
                sessions_close_all(&worker->sessions);
                loop_run_deferred(worker->loop);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.stop = true;
        send_commands(worker);
}

int worker_stop(struct worker *worker, uint64_t until_usec)
{
        struct service_shard *shard;
        struct commands commands;
        int r;

        if (!worker->threaded)
                return 0;
        r = thread_join(&worker->thread, until_usec);
        if (r < 0)
                return r;
        /* Commands that were given after the loop had failed. */
        commands = take_commands(worker);
        for (struct handover *handover; (handover = take_client(&commands.clients));) {
                (void)close(handover->client.fd);
                handover_free(handover);
        }
        while ((shard = STAILQ_FIRST(&commands.changes))) {
                STAILQ_REMOVE_HEAD(&commands.changes, current.entry);
                end_change(shard);
        }
        return 0;
}

struct worker *worker_free(struct worker *worker)
{
        if (!worker)
                return NULL;
        if (worker->loop != worker->main_loop)
                loop_free(worker->loop);
        for (struct handover *handover; (handover = take_client(&worker->refused));)
                handover_free(handover);
        (void)pthread_mutex_destroy(&worker->lock);
        free(worker);
        return NULL;
}

/* Giving commands */

void worker_admit(struct worker *worker, const struct client *client)
{
        struct handover *queued, handover = { .client = *client };

        worker->count++;
        worker->last_id = client->id;
        if (!worker->threaded) {
                if (!admit(worker, &handover))
                        deliver_refused(worker, &handover);
                return;
        }
        queued = malloc(sizeof(*queued));
        if (!queued) {
                refuse(&handover, -ENOMEM);
                deliver_refused(worker, &handover);
                return;
        }
        *queued = handover;
        service_ref(client->service);
        service_config_ref(client->config);
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_INSERT_TAIL(&worker->commands.clients, queued, entry);
        send_commands(worker);
}

size_t worker_count(const struct worker *worker)
{
        return worker->count;
}

void worker_change_service(struct worker *worker, struct service *service,
                           struct service_config *config)
{
        struct service_shard *shard = service_shard(service, worker->sessions.shard);
        uint64_t end_to_id = config->enabled ? 0 : worker->last_id;

        if (!worker->threaded) {
                sessions_change_service(&worker->sessions, service, config, end_to_id);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        if (!shard->pending.config) {
                service_ref(service);
                STAILQ_INSERT_TAIL(&worker->commands.changes, shard, pending.entry);
        }
        service_config_unref(shard->pending.config);
        shard->pending.config = service_config_ref(config);
        if (end_to_id)
                shard->pending.end_to_id = end_to_id;
        (void)pthread_mutex_unlock(&worker->lock);
}

void worker_apply(struct worker *worker, const struct session_settings *settings,
                  uint64_t generation)
{
        if (!worker->threaded) {
                sessions_set(&worker->sessions, settings);
                worker->applied = generation;
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.settings = *settings;
        worker->commands.generation = generation;
        send_commands(worker);
}

uint64_t worker_applied(const struct worker *worker)
{
        return worker->applied;
}

void worker_close_all(struct worker *worker)
{
        if (!worker->threaded) {
                sessions_close_all(&worker->sessions);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.close_all = true;
        send_commands(worker);
}

bool worker_answers(struct worker *worker)
{
        bool answered = worker->answered;

        if (!answered || !worker->threaded)
                return answered;
        worker->answered = false;
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.answer = true;
        send_commands(worker);
        return true;
}
