/* SPDX-License-Identifier: MIT */
/*
 * A connection: a session with a client, its service, and its sides.
 *
 * A mode is a table of four operations. Half-close, back-pressure, idle time and the log are the
 * same for all modes; they are here and in the link.
 *
 * Thread: the loop's.
 */
#pragma once

#include "ending.h"
#include "faults.h"
#include "idle.h"
#include "link.h"
#include "proxy.h"
#include "service.h"

struct connection;
struct dialers;
struct side;

/* The owner of connections: its callback, and what they have in common. */
struct connection_owner {
        /* The connection has ended and its sockets are closed. It is freed after this call, so the
         * owner must take it out of every list. */
        void (*on_closed)(struct connection_owner *owner, struct connection *connection);
        struct loop *loop;
        struct dialers *dialers; /* for relays */
        bool log_payload;        /* log the bytes received and sent */
        uint64_t seed;           /* for the conditions of new connections */
};

/* A client that has been accepted. */
struct client {
        struct service *service;
        struct service_config *config;
        struct address peer;
        uint64_t id; /* unique in this process, from 1 */
        int fd;      /* non-blocking, close-on-exec */
};

/*
 * A mode: a constant table, which decides what a client is linked to; see echo.h, relay.h, hub.h.
 */
struct mode {
        /* Names the receiver of a client's bytes for the log: "upstream". NULL: the client itself;
         * then an urgent byte ends the connection, as in the article's server. Other modes pass
         * urgent bytes on. */
        const char *receiver;
        /*
         * Makes the other side, if there is one, and calls connection_start(), at once or later.
         * Until then nothing is read from the client. May end the connection. @header: the PROXY
         * header of the client; NULL: none. Return: 0 or -errno.
         */
        int (*open)(struct connection *connection, const struct proxy_header *header);
        /* Passes on bytes that were read on a side. NULL: they go to the other side. */
        void (*put)(struct side *side, struct share *share);
        /* Ends all callbacks of objects that open made, except the sides'. May be NULL. */
        void (*stop)(struct connection *connection);
        /* Frees the objects that open made, after the sides' sockets were closed. May be NULL. */
        void (*free)(struct connection *connection);
};

/*
 * A side of a session: a socket, and the link that carries bytes into it. Bytes received on the
 * socket go to the other side's link. An echo and a member of a hub have only one side, which is
 * its own other side.
 */
struct side {
        struct connection *connection;
        struct stream stream;
        struct link link;
        const char *name; /* for the log; NULL: the client, whose name begins the lines anyway */
};

/* The longest "[IPv6%scope]:port" with the NUL. A unix client is "unix:pid=…,uid=…". */
#define CONNECTION_CLIENT_SIZE 64

struct connection {
        LIST_ENTRY(connection) entry;    /* the owner's */
        LIST_ENTRY(connection) of_shard; /* in its list */
        struct connection_owner *owner;
        struct loop *loop;
        const struct mode *mode;
        struct service_shard *shard;   /* with a reference to its service */
        struct service_config *config; /* a reference */
        struct side client;
        struct side *sides[2]; /* the client, and the upstream when it is connected */
        unsigned n_sides;
        union { /* the mode's; NULL: not opened */
                struct relay *relay;
                struct member *member;
        };
        struct greeter *greeter; /* waits for a PROXY header; NULL: none */
        struct idle idle;
        struct ending ending;
        struct faults faults;
        struct loop_task release;
        uint64_t id;
        uint64_t seed; /* for the random choices of conditions; see random.h */
        uint64_t began_usec;
        unsigned open_links; /* links whose end has not been passed on */
        bool opened;         /* the client is known, and its bytes count */
        bool started;        /* the sides are linked */
        bool closed;         /* the record of its end is written, and no byte passes any more */
        char client_name[CONNECTION_CLIENT_SIZE];
};

/**
 * connection_new() - begin a session
 * @mode:   of the client's service
 * @shard:  the owner's, of that service; references to service and settings are taken
 * @client: its socket is consumed on success
 * @out:    set to the connection, which frees itself after on_closed
 *
 * May end the connection, but not free it. Return: 0; -ENOMEM, -ENOSPC: nothing has been logged.
 */
_must_use_ int connection_new(struct connection_owner *owner, const struct mode *mode,
                              struct service_shard *shard, const struct client *client,
                              struct connection **out);

/**
 * connection_reconfigure() - apply a new configuration of the service
 *
 * Applies limits and shaping values, unless the mode has changed. Has no effect if the connection
 * has this configuration already.
 */
void connection_reconfigure(struct connection *connection, struct service_config *config);

/* Applies a change of the owner's @log_payload. */
void connection_update_log(struct connection *connection);

/**
 * side_init() - take over a connected socket as the next side of a connection
 * @side: all zero
 * @name: for the log; see struct side
 *
 * Return: as stream_init(); @fd is consumed on success.
 */
_must_use_ int side_init(struct side *side, struct connection *connection, int fd,
                         const char *name);

/**
 * side_send_header() - send bytes that are not a client's to a side, before all others
 *
 * Called before connection_start(). Conditions do not apply to these bytes, and no counter includes
 * them. May end the connection.
 */
void side_send_header(struct side *side, const uint8_t *data, size_t n);

/**
 * connection_start() - for modes: link the sides, and begin to read from them
 * Return: 0; -ENOMEM.
 */
_must_use_ int connection_start(struct connection *connection);

/* The side that receives what @side sends. */
struct side *connection_other(const struct side *side);
