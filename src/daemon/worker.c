/* SPDX-License-Identifier: MIT */
/*
 * The worker. A connection is on the worker's list from admission until it is about to be freed.
 *
 * With a thread of its own, a worker is given commands under the lock, and one posted task carries
 * out all of them. The worker's events reach the main loop in the same way. Without a thread the
 * commands are carried out, and the events delivered, within the call.
 */
#include "worker.h"
#include "connection.h"
#include "dialer.h"
#include "echo.h"
#include "hub.h"
#include "log.h"
#include "relay.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A client that the main loop hands to the worker. */
struct client {
        STAILQ_ENTRY(client) entry;
        struct config *config; /* a reference */
        const struct service_config *service;
        struct address peer;
        uint64_t id;
        int fd;
        int error; /* why the client could not be served; @fd is then closed */
        char name[CONNECTION_CLIENT_SIZE]; /* set with @error */
};

STAILQ_HEAD(client_list, client);

/* What the worker is to do. */
struct commands {
        struct client_list clients;
        struct config *reconfigure; /* a reference; NULL: no such command */
        uint64_t generation;        /* of @reconfigure: the number of commands of that kind */
        const char *close_all;      /* the reason; NULL: no such command */
        bool answer, stop;
};

/* What the owner is to be told. */
struct events {
        size_t ended;
        uint64_t generation; /* of the configuration that has been applied; 0: none */
        bool answered, failed;
};

struct worker {
        struct connection_owner owner;
        LIST_HEAD(, connection) connections;
        struct loop *loop;
        struct dialers dialers;
        bool stopping;

        /* For the main thread: */
        struct loop *main_loop;
        const struct worker_events *callbacks;
        void *arg;
        size_t count;
        uint64_t asked, current; /* generations: the newest command, the newest event */
        bool answered;

        /* For both threads: */
        bool threaded;
        pthread_t thread;
        pthread_mutex_t lock; /* protects the next four members */
        struct commands commands;
        struct events events;
        struct client_list refused; /* clients that could not be served */
        bool ended;                 /* the thread has nothing left to do but return */
        pthread_cond_t on_ended;    /* signalled once @ended is true */
        struct loop_task on_commands, on_events;
};

static const struct mode *const modes[] = {
        [SERVICE_ECHO] = &echo_mode,
        [SERVICE_RELAY] = &relay_mode,
        [SERVICE_HUB] = &hub_mode,
};

/* Clients */

static struct client *client_free(struct client *client)
{
        config_unref(client->config);
        free(client);
        return NULL;
}

/* Takes the first client off the list; NULL: it is empty. */
static struct client *take_client(struct client_list *list)
{
        struct client *client = STAILQ_FIRST(list);

        if (client)
                STAILQ_REMOVE_HEAD(list, entry);
        return client;
}

/* Events */

static void deliver(struct worker *worker, const struct events *events)
{
        worker->count -= events->ended;
        worker->answered |= events->answered;
        if (events->generation) {
                worker->current = events->generation;
                worker->callbacks->on_current(worker->arg);
        }
        if (events->ended)
                worker->callbacks->on_ended(worker->arg);
        if (events->failed)
                worker->callbacks->on_failed(worker->arg);
}

/* Tells the owner of a client that could not be served. */
static void deliver_refused(struct worker *worker, const struct client *client)
{
        worker->count--;
        worker->callbacks->on_refused(worker->arg, client->service->name, client->name,
                                      client->error);
}

static void on_events(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_events);
        struct client_list refused = STAILQ_HEAD_INITIALIZER(refused);
        struct events events;

        (void)pthread_mutex_lock(&worker->lock);
        events = worker->events;
        worker->events = (struct events){ 0 };
        STAILQ_CONCAT(&refused, &worker->refused);
        (void)pthread_mutex_unlock(&worker->lock);
        for (struct client *client; (client = take_client(&refused));) {
                deliver_refused(worker, client);
                client_free(client);
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

static void worker_on_closed(struct connection_owner *owner, struct connection *connection)
{
        struct worker *worker = container_of(owner, struct worker, owner);

        LIST_REMOVE(connection, entry);
        send_events(worker, &(struct events){ .ended = 1 });
}

/* Commands */

/* Records why a client cannot be served, and closes its socket. */
static void refuse(struct client *client, int error)
{
        char name[ADDRESS_TEXT_SIZE];

        (void)snprintf(client->name, sizeof(client->name), "%.*s", CONNECTION_CLIENT_SIZE - 1,
                       address_format_client(client->fd, &client->peer, name));
        client->error = error;
        (void)close(client->fd);
}

/* Return: whether a connection began. If not, the client has been refused. */
static bool admit(struct worker *worker, struct client *client)
{
        struct connection *connection;
        int r = connection_new(worker->loop, modes[client->service->mode], client->config,
                               client->service, client->fd, &client->peer, client->id,
                               &worker->owner, &connection);

        if (r < 0) {
                refuse(client, r);
                return false;
        }
        LIST_INSERT_HEAD(&worker->connections, connection, entry);
        return true;
}

/* Hands a refused client back to the main loop. */
static void give_back(struct worker *worker, struct client *client)
{
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_INSERT_TAIL(&worker->refused, client, entry);
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->main_loop, &worker->on_events);
}

static void reconfigure(struct worker *worker, struct config *config)
{
        struct connection *connection;

        LIST_FOREACH(connection, &worker->connections, entry)
                connection_reconfigure(connection, config);
}

static void close_all(struct worker *worker, const char *reason)
{
        struct connection *connection;

        LIST_FOREACH(connection, &worker->connections, entry)
                connection_close(connection, reason);
}

static struct commands take_commands(struct worker *worker)
{
        struct commands commands;

        STAILQ_INIT(&commands.clients);
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_CONCAT(&commands.clients, &worker->commands.clients);
        commands.reconfigure = worker->commands.reconfigure;
        commands.generation = worker->commands.generation;
        commands.close_all = worker->commands.close_all;
        commands.answer = worker->commands.answer;
        commands.stop = worker->commands.stop;
        worker->commands.reconfigure = NULL;
        worker->commands.close_all = NULL;
        worker->commands.answer = false;
        (void)pthread_mutex_unlock(&worker->lock);
        return commands;
}

static void on_commands(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_commands);
        struct commands commands = take_commands(worker);

        for (struct client *client; (client = take_client(&commands.clients));) {
                if (admit(worker, client))
                        client_free(client);
                else
                        give_back(worker, client);
        }
        if (commands.reconfigure) {
                reconfigure(worker, commands.reconfigure);
                send_events(worker, &(struct events){ .generation = commands.generation });
        }
        config_unref(commands.reconfigure);
        if (commands.close_all)
                close_all(worker, commands.close_all);
        if (commands.answer)
                send_events(worker, &(struct events){ .answered = true });
        worker->stopping = commands.stop;
}

/* The thread */

static void *run(void *arg)
{
        struct worker *worker = arg;
        int r = 0;

        while (r == 0 && !worker->stopping) {
                log_write(LOG_WAITING, NULL, "waiting for the next event");
                r = loop_turn(worker->loop);
        }
        close_all(worker, "stopping");
        loop_run_deferred(worker->loop);
        if (r < 0)
                send_events(worker, &(struct events){ .failed = true });
        (void)pthread_mutex_lock(&worker->lock);
        worker->ended = true;
        (void)pthread_cond_signal(&worker->on_ended);
        (void)pthread_mutex_unlock(&worker->lock);
        return NULL;
}

/* The thread blocks all signals, because the main thread reads them. */
static int start_thread(struct worker *worker)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        worker->threaded = true;
        r = -pthread_create(&worker->thread, NULL, run, worker);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                worker->threaded = false;
        else
                (void)pthread_setname_np(worker->thread, "selectd-worker");
        return r;
}

/* Neither call fails on Linux. */
static void init_lock(struct worker *worker)
{
        pthread_condattr_t attr;

        (void)pthread_mutex_init(&worker->lock, NULL);
        (void)pthread_condattr_init(&attr);
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&worker->on_ended, &attr);
        (void)pthread_condattr_destroy(&attr);
}

static void worker_freep(struct worker **worker)
{
        worker_free(*worker);
}

int worker_new(const char *backend, struct loop *main_loop, struct resolver *resolver,
               const struct worker_events *events, void *arg, struct worker **out)
{
        _cleanup_(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));
        int r = 0;

        if (!worker)
                return -ENOMEM;
        LIST_INIT(&worker->connections);
        LIST_INIT(&worker->owner.hubs);
        STAILQ_INIT(&worker->commands.clients);
        STAILQ_INIT(&worker->refused);
        init_lock(worker);
        worker->owner.on_closed = worker_on_closed;
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
        if (r == 0) {
                dialers_init(&worker->dialers, worker->loop, resolver);
                worker->owner.dialers = &worker->dialers;
        }
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
                close_all(worker, "stopping");
                loop_run_deferred(worker->loop);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.stop = true;
        send_commands(worker);
}

/* Return: 0; -ETIMEDOUT. */
static int wait_for_end(struct worker *worker, uint64_t until_usec)
{
        const struct timespec until = {
                .tv_sec = (time_t)(until_usec / USEC_PER_SEC),
                .tv_nsec = (long)(until_usec % USEC_PER_SEC) * 1000,
        };
        int r = 0;

        (void)pthread_mutex_lock(&worker->lock);
        while (r == 0 && !worker->ended)
                r = -pthread_cond_timedwait(&worker->on_ended, &worker->lock, &until);
        if (worker->ended)
                r = 0;
        (void)pthread_mutex_unlock(&worker->lock);
        return r;
}

int worker_stop(struct worker *worker, uint64_t until_usec)
{
        struct commands commands;
        int r;

        if (!worker->threaded)
                return 0;
        r = wait_for_end(worker, until_usec);
        if (r < 0)
                return r;
        (void)pthread_join(worker->thread, NULL);
        /* Commands that came too late, after the loop had failed. */
        commands = take_commands(worker);
        for (struct client *client; (client = take_client(&commands.clients));) {
                (void)close(client->fd);
                client_free(client);
        }
        config_unref(commands.reconfigure);
        return 0;
}

struct worker *worker_free(struct worker *worker)
{
        if (!worker)
                return NULL;
        if (worker->loop != worker->main_loop)
                loop_free(worker->loop);
        for (struct client *client; (client = take_client(&worker->refused));)
                client_free(client);
        (void)pthread_cond_destroy(&worker->on_ended);
        (void)pthread_mutex_destroy(&worker->lock);
        free(worker);
        return NULL;
}

/* Giving commands */

void worker_admit(struct worker *worker, struct config *config,
                  const struct service_config *service, int fd, const struct address *peer,
                  uint64_t id)
{
        struct client *queued, client = {
                .config = config,
                .service = service,
                .peer = *peer,
                .id = id,
                .fd = fd,
        };

        worker->count++;
        if (!worker->threaded) {
                if (!admit(worker, &client))
                        deliver_refused(worker, &client);
                return;
        }
        queued = malloc(sizeof(*queued));
        if (!queued) {
                refuse(&client, -ENOMEM);
                deliver_refused(worker, &client);
                return;
        }
        *queued = client;
        config_ref(config);
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_INSERT_TAIL(&worker->commands.clients, queued, entry);
        send_commands(worker);
}

size_t worker_count(const struct worker *worker)
{
        return worker->count;
}

void worker_reconfigure(struct worker *worker, struct config *config)
{
        if (!worker->threaded) {
                reconfigure(worker, config);
                return;
        }
        worker->asked++;
        (void)pthread_mutex_lock(&worker->lock);
        config_unref(worker->commands.reconfigure);
        worker->commands.reconfigure = config_ref(config);
        worker->commands.generation = worker->asked;
        send_commands(worker);
}

bool worker_is_current(const struct worker *worker)
{
        return worker->current == worker->asked;
}

void worker_close_all(struct worker *worker, const char *reason)
{
        if (!worker->threaded) {
                close_all(worker, reason);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->commands.close_all = reason;
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
