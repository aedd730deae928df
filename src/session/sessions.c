/* SPDX-License-Identifier: MIT */
/* A connection is on the list from its admission until it is about to be freed. */
#include "sessions.h"
#include "echo.h"
#include "hub.h"
#include "relay.h"

static const struct mode *const modes[] = {
        [SERVICE_ECHO] = &echo_mode,
        [SERVICE_RELAY] = &relay_mode,
        [SERVICE_HUB] = &hub_mode,
};

static void on_closed(struct connection_owner *owner, struct connection *connection)
{
        struct sessions *sessions = container_of(owner, struct sessions, owner);

        LIST_REMOVE(connection, entry);
        sessions->on_ended(sessions->arg);
}

void sessions_init(struct sessions *sessions, struct loop *loop, struct resolver *resolver,
                   size_t shard, void (*on_ended)(void *arg), void *arg)
{
        *sessions = (struct sessions){
                .shard = shard,
                .on_ended = on_ended,
                .arg = arg,
        };
        LIST_INIT(&sessions->connections);
        dialers_init(&sessions->dialers, loop, resolver);
        sessions->owner.on_closed = on_closed;
        sessions->owner.loop = loop;
        sessions->owner.dialers = &sessions->dialers;
}

int sessions_admit(struct sessions *sessions, const struct client *client)
{
        struct service_shard *shard = service_shard(client->service, sessions->shard);
        struct connection *connection;
        int r = connection_new(&sessions->owner, modes[client->config->mode], shard, client,
                               &connection);

        if (r < 0)
                return r;
        LIST_INSERT_HEAD(&sessions->connections, connection, entry);
        return 0;
}

void sessions_set(struct sessions *sessions, const struct session_settings *settings)
{
        bool changed = sessions->owner.log_payload != settings->log_payload;
        struct connection *connection;

        sessions->owner.log_payload = settings->log_payload;
        sessions->owner.seed = settings->seed;
        if (!changed)
                return;
        LIST_FOREACH(connection, &sessions->connections, entry)
                connection_update_log(connection);
}

void sessions_change_service(struct sessions *sessions, struct service *service,
                             struct service_config *config, uint64_t end_to_id)
{
        struct connection *connection;

        LIST_FOREACH(connection, &service_shard(service, sessions->shard)->connections, of_shard) {
                if (connection->id <= end_to_id)
                        connection_close(connection, REASON_DISABLED);
                else
                        connection_reconfigure(connection, config);
        }
}

void sessions_close_all(struct sessions *sessions)
{
        struct connection *connection;

        LIST_FOREACH(connection, &sessions->connections, entry)
                connection_close(connection, REASON_STOPPING);
}
