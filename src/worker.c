/* The worker. A connection is on its list from admission until it is about to be freed. */
#include "worker.h"
#include "echo.h"
#include "relay.h"

#include <errno.h>

struct worker {
        struct connection_owner owner;
        LIST_HEAD(, connection) connections;
        size_t count;
        uint64_t last_id;
        struct loop *loop;
        void (*on_ended)(void *arg);
        void *arg;
};

static const struct mode *const modes[] = {
        [SERVICE_ECHO] = &echo_mode,
        [SERVICE_RELAY] = &relay_mode,
};

static void worker_on_closed(struct connection_owner *owner, struct connection *connection)
{
        struct worker *worker = container_of(owner, struct worker, owner);

        LIST_REMOVE(connection, entry);
        worker->count--;
        worker->on_ended(worker->arg);
}

int worker_new(struct loop *loop, void (*on_ended)(void *arg), void *arg, struct worker **out)
{
        struct worker *worker = calloc(1, sizeof(*worker));

        if (!worker)
                return -ENOMEM;
        LIST_INIT(&worker->connections);
        worker->owner.on_closed = worker_on_closed;
        worker->loop = loop;
        worker->on_ended = on_ended;
        worker->arg = arg;
        *out = worker;
        return 0;
}

struct worker *worker_free(struct worker *worker)
{
        free(worker);
        return NULL;
}

int worker_admit(struct worker *worker, struct config *config, const struct service *service,
                 int fd, const struct address *peer)
{
        struct connection *connection;
        int r = connection_new(worker->loop, modes[service->mode], config, service, fd, peer,
                               worker->last_id + 1, &worker->owner, &connection);

        if (r < 0)
                return r;
        worker->last_id++;
        LIST_INSERT_HEAD(&worker->connections, connection, entry);
        worker->count++;
        return 0;
}

size_t worker_count(const struct worker *worker)
{
        return worker->count;
}

void worker_reconfigure(struct worker *worker, struct config *config)
{
        struct connection *connection;

        LIST_FOREACH(connection, &worker->connections, entry)
                connection_reconfigure(connection, config);
}

void worker_close_all(struct worker *worker, const char *reason)
{
        struct connection *connection;

        LIST_FOREACH(connection, &worker->connections, entry)
                connection_close(connection, reason);
}
