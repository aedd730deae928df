/* SPDX-License-Identifier: MIT */
/*
 * All connections on one loop.
 *
 * Thread: the loop's.
 */
#pragma once

#include "connection.h"
#include "dialer.h"

/* Settings of all connections, whatever their service. */
struct session_settings {
        bool log_payload;
        uint64_t seed;
};

/* Embedded in its owner. The members are private. */
struct sessions {
        struct connection_owner owner;
        LIST_HEAD(, connection) connections;
        struct dialers dialers;
        size_t shard;
        void (*on_ended)(void *arg);
        void *arg;
};

/**
 * sessions_init() - prepare for connections
 * @loop, @resolver: outlive the set
 * @shard:    the index of this set's shards of services
 * @on_ended: called with @arg when a connection has ended and its descriptors are closed
 */
void sessions_init(struct sessions *sessions, struct loop *loop, struct resolver *resolver,
                   size_t shard, void (*on_ended)(void *arg), void *arg);

/**
 * sessions_admit() - begin a connection
 * @client: its socket is consumed on success
 *
 * Return: 0; see connection_new().
 */
_must_use_ int sessions_admit(struct sessions *sessions, const struct client *client);

/* Sets the settings of all connections. The seed applies to new connections. */
void sessions_set(struct sessions *sessions, const struct session_settings *settings);

/**
 * sessions_change_service() - give the connections of a service its new settings
 * @end_to_id: connections of this id and older ones end, because the service has been disabled; 0:
 *             none
 */
void sessions_change_service(struct sessions *sessions, struct service *service,
                             struct service_config *config, uint64_t end_to_id);

/* Closes every connection, because the process stops. */
void sessions_close_all(struct sessions *sessions);
