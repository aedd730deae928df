/* SPDX-License-Identifier: MIT */
/*
 * One session with a client: who, which service, how its streams are linked, when and why it ended.
 *
 * What differs between the modes is a table of four operations; half-close, back-pressure, idle
 * time and the log are the same for all and live here and in the link.
 *
 * Thread: the loop's.
 */
#pragma once

#include "ending.h"
#include "idle.h"
#include "link.h"
#include "proxy.h"
#include "service.h"

struct connection;
struct dialers;
struct side;

/* What a connection tells its owner, and what the owner's connections have in common. */
struct connection_owner {
        /* It has ended, its socket is closed, it is about to be freed: take it out of every list.
         */
        void (*on_closed)(struct connection_owner *owner, struct connection *connection);
        struct loop *loop;
        struct dialers *dialers; /* of relays */
        bool log_payload;        /* the log shows what is received and sent */
        uint64_t seed;           /* of the conditions of connections that begin from now on */
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
 * A mode: what a client is linked to. One constant table each; see echo.h, relay.h and hub.h.
 */
struct mode {
        /* Of what a client sends: "upstream". NULL: the client itself, which ends with the first
         * urgent byte, as the article has it; to others urgent bytes are carried. */
        const char *receiver;
        /*
         * Makes the other side, if there is one, and calls connection_start(), at once or later.
         * Until then nothing is read from the client. May end the connection. @header: what a proxy
         * said about the client; NULL: nothing. Return: 0 or -errno.
         */
        int (*open)(struct connection *connection, const struct proxy_header *header);
        /* Bytes came in on a side. NULL: they go to the other side. */
        void (*put)(struct side *side, struct share *share);
        /* Stops every callback of what open made, but for the sides'; NULL: there is none. */
        void (*stop)(struct connection *connection);
        /* Frees what open made; the sides' sockets are closed by then. NULL: there is nothing. */
        void (*free)(struct connection *connection);
};

/*
 * One side of a session: a socket, and the link that carries bytes into it. What is received on the
 * socket goes to the other side's link; the only side of an echo or of a hub's member is its own
 * other side.
 */
struct side {
        struct connection *connection;
        struct stream stream;
        struct link link;
        const char
                *name; /* for the log: where to, or from; NULL: the client, whom lines begin with */
};

/* The longest "[IPv6%scope]:port" and the NUL; a unix client is "unix:pid=…,uid=…". */
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
        struct side *sides[2]; /* the client, and what it is relayed to once that is connected */
        unsigned n_sides;
        union { /* of the mode; NULL: not opened */
                struct relay *relay;
                struct member *member;
        };
        struct greeter *greeter; /* waits for a PROXY header; NULL: none, or no longer */
        struct idle idle;
        struct timer reset; /* fires when reset_after has passed */
        struct ending ending;
        uint64_t reset_after_usec;
        unsigned faults; /* that are of neither way */
        struct loop_task release;
        uint64_t id;
        uint64_t seed; /* of what conditions draw; see random.h */
        uint64_t began_usec;
        unsigned open_links; /* whose end has not been passed on */
        bool opened;         /* the client is known, and what it sends counts */
        bool started;        /* the sides are linked */
        bool closed;         /* the record of its end is written, and nothing passes any more */
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
 * connection_reconfigure() - live on with new settings of the service
 *
 * Takes over limits and shaping values, unless the mode is another one. Does nothing if @config is
 * what the connection has.
 */
void connection_reconfigure(struct connection *connection, struct service_config *config);

/* Takes note that the owner's @log_payload has changed. */
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
 * side_send_header() - send what is no client's to a side, ahead of everything
 *
 * Before connection_start(): no condition touches it, and no count has it. May end the connection.
 */
void side_send_header(struct side *side, const uint8_t *data, size_t n);

/**
 * connection_start() - for a mode: link the sides there are, and read them
 * Return: 0; -ENOMEM.
 */
_must_use_ int connection_start(struct connection *connection);

/* The side that receives what @side sends. */
struct side *connection_other(const struct side *side);
