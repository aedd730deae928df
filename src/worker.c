/*
 * The worker. A connection is on its list from admission until it is about to be freed.
 *
 * With a thread of its own, what home asks for is added to @orders under the lock, and one task
 * posted that takes them all; what it has to tell goes home in @news the same way. Without one, the
 * same orders are carried out and the same news delivered on the spot.
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

/* A client under way from home to the worker. */
struct client {
        STAILQ_ENTRY(client) entry;
        struct config *config; /* a reference */
        const struct service *service;
        struct address peer;
        uint64_t id;
        int fd;
        int error; /* why it could not be served, in which case @fd is closed */
        char name[CONNECTION_CLIENT_SIZE]; /* set with @error */
};

STAILQ_HEAD(client_list, client);

/* What the worker is to do. */
struct orders {
        struct client_list clients;
        struct config *reconfigure; /* a reference; NULL: no */
        uint64_t generation;        /* of it: how many there have been */
        const char *close_all;      /* the reason; NULL: no */
        bool answer, stop;
};

/* What home is to know. */
struct news {
        size_t ended;
        uint64_t generation; /* that is in force; 0: no news */
        bool answered, failed;
};

struct worker {
        struct connection_owner owner;
        LIST_HEAD(, connection) connections;
        struct loop *loop;
        struct dialers dialers;
        bool stopping;

        struct loop *home; /* from here on home's: */
        const struct worker_events *events;
        void *arg;
        size_t count;
        uint64_t asked, current; /* generations */
        bool answered;

        bool threaded; /* from here on shared: */
        pthread_t thread;
        pthread_mutex_t lock; /* of the next four */
        struct orders orders;
        struct news news;
        struct client_list refused; /* who could not be served, for @home to hear of */
        bool ended;                 /* nothing but the thread's return is left */
        pthread_cond_t on_ended;    /* signalled once @ended is true */
        struct loop_task on_orders, on_news;
};

static const struct mode *const modes[] = {
        [SERVICE_ECHO] = &echo_mode,
        [SERVICE_RELAY] = &relay_mode,
        [SERVICE_HUB] = &hub_mode,
};

/* Clients under way */

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

/* News */

static void deliver(struct worker *worker, const struct news *news)
{
        worker->count -= news->ended;
        worker->answered |= news->answered;
        if (news->generation) {
                worker->current = news->generation;
                worker->events->on_current(worker->arg);
        }
        if (news->ended)
                worker->events->on_ended(worker->arg);
        if (news->failed)
                worker->events->on_failed(worker->arg);
}

/* Tells home of a client that could not be served. */
static void deliver_refused(struct worker *worker, const struct client *client)
{
        worker->count--;
        worker->events->on_refused(worker->arg, client->service->name, client->name, client->error);
}

static void on_news(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_news);
        struct client_list refused = STAILQ_HEAD_INITIALIZER(refused);
        struct news news;

        (void)pthread_mutex_lock(&worker->lock);
        news = worker->news;
        worker->news = (struct news){ 0 };
        STAILQ_CONCAT(&refused, &worker->refused);
        (void)pthread_mutex_unlock(&worker->lock);
        for (struct client *client; (client = take_client(&refused));) {
                deliver_refused(worker, client);
                client_free(client);
        }
        deliver(worker, &news);
}

static void tell(struct worker *worker, const struct news *news)
{
        if (!worker->threaded) {
                deliver(worker, news);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->news.ended += news->ended;
        worker->news.generation = news->generation ? news->generation : worker->news.generation;
        worker->news.answered |= news->answered;
        worker->news.failed |= news->failed;
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->home, &worker->on_news);
}

static void worker_on_closed(struct connection_owner *owner, struct connection *connection)
{
        struct worker *worker = container_of(owner, struct worker, owner);

        LIST_REMOVE(connection, entry);
        tell(worker, &(struct news){ .ended = 1 });
}

/* Orders */

/* Notes why a client can't be served, and closes its socket. */
static void refuse(struct client *client, int error)
{
        char name[ADDRESS_TEXT_SIZE];

        (void)snprintf(client->name, sizeof(client->name), "%.*s", CONNECTION_CLIENT_SIZE - 1,
                       address_format_client(client->fd, &client->peer, name));
        client->error = error;
        (void)close(client->fd);
}

/* Return: whether a connection began; else the client is refused. */
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

/* Hands a refused client back to home. */
static void give_back(struct worker *worker, struct client *client)
{
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_INSERT_TAIL(&worker->refused, client, entry);
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->home, &worker->on_news);
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

static struct orders take_orders(struct worker *worker)
{
        struct orders orders;

        STAILQ_INIT(&orders.clients);
        (void)pthread_mutex_lock(&worker->lock);
        STAILQ_CONCAT(&orders.clients, &worker->orders.clients);
        orders.reconfigure = worker->orders.reconfigure;
        orders.generation = worker->orders.generation;
        orders.close_all = worker->orders.close_all;
        orders.answer = worker->orders.answer;
        orders.stop = worker->orders.stop;
        worker->orders.reconfigure = NULL;
        worker->orders.close_all = NULL;
        worker->orders.answer = false;
        (void)pthread_mutex_unlock(&worker->lock);
        return orders;
}

static void on_orders(struct loop_task *task)
{
        struct worker *worker = container_of(task, struct worker, on_orders);
        struct orders orders = take_orders(worker);

        for (struct client *client; (client = take_client(&orders.clients));) {
                if (admit(worker, client))
                        client_free(client);
                else
                        give_back(worker, client);
        }
        if (orders.reconfigure) {
                reconfigure(worker, orders.reconfigure);
                tell(worker, &(struct news){ .generation = orders.generation });
        }
        config_unref(orders.reconfigure);
        if (orders.close_all)
                close_all(worker, orders.close_all);
        if (orders.answer)
                tell(worker, &(struct news){ .answered = true });
        worker->stopping = orders.stop;
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
                tell(worker, &(struct news){ .failed = true });
        (void)pthread_mutex_lock(&worker->lock);
        worker->ended = true;
        (void)pthread_cond_signal(&worker->on_ended);
        (void)pthread_mutex_unlock(&worker->lock);
        return NULL;
}

/* Signals are the main thread's. */
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

int worker_new(const char *backend, struct loop *home, struct resolver *resolver,
               const struct worker_events *events, void *arg, struct worker **out)
{
        _cleanup_(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));
        int r = 0;

        if (!worker)
                return -ENOMEM;
        LIST_INIT(&worker->connections);
        LIST_INIT(&worker->owner.hubs);
        STAILQ_INIT(&worker->orders.clients);
        STAILQ_INIT(&worker->refused);
        init_lock(worker);
        worker->owner.on_closed = worker_on_closed;
        worker->on_orders.run = on_orders;
        worker->on_news.run = on_news;
        worker->home = home;
        worker->events = events;
        worker->arg = arg;
        worker->answered = true;
        if (!backend)
                worker->loop = home;
        else
                r = loop_new(backend, &worker->loop);
        if (r == 0 && backend) {
                loop_set_budget(worker->loop, loop_budget(home));
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

/* Gives the worker's thread what was put into @orders under the lock, which is let go. */
static void send_orders(struct worker *worker)
{
        (void)pthread_mutex_unlock(&worker->lock);
        loop_post(worker->loop, &worker->on_orders);
}

void worker_begin_stop(struct worker *worker)
{
        if (!worker->threaded) {
                close_all(worker, "stopping");
                loop_run_deferred(worker->loop);
                return;
        }
        (void)pthread_mutex_lock(&worker->lock);
        worker->orders.stop = true;
        send_orders(worker);
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
        struct orders orders;
        int r;

        if (!worker->threaded)
                return 0;
        r = wait_for_end(worker, until_usec);
        if (r < 0)
                return r;
        (void)pthread_join(worker->thread, NULL);
        /* What came too late, when the loop had failed. */
        orders = take_orders(worker);
        for (struct client *client; (client = take_client(&orders.clients));) {
                (void)close(client->fd);
                client_free(client);
        }
        config_unref(orders.reconfigure);
        return 0;
}

struct worker *worker_free(struct worker *worker)
{
        if (!worker)
                return NULL;
        if (worker->loop != worker->home)
                loop_free(worker->loop);
        for (struct client *client; (client = take_client(&worker->refused));)
                client_free(client);
        (void)pthread_cond_destroy(&worker->on_ended);
        (void)pthread_mutex_destroy(&worker->lock);
        free(worker);
        return NULL;
}

/* What home asks for */

void worker_admit(struct worker *worker, struct config *config, const struct service *service,
                  int fd, const struct address *peer, uint64_t id)
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
        STAILQ_INSERT_TAIL(&worker->orders.clients, queued, entry);
        send_orders(worker);
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
        config_unref(worker->orders.reconfigure);
        worker->orders.reconfigure = config_ref(config);
        worker->orders.generation = worker->asked;
        send_orders(worker);
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
        worker->orders.close_all = reason;
        send_orders(worker);
}

bool worker_answers(struct worker *worker)
{
        bool answered = worker->answered;

        if (!answered || !worker->threaded)
                return answered;
        worker->answered = false;
        (void)pthread_mutex_lock(&worker->lock);
        worker->orders.answer = true;
        send_orders(worker);
        return true;
}
