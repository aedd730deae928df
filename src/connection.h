/*
 * One session with a client: who, which service, how its streams are linked, when and why it ended.
 *
 * What differs between the modes is a table of four operations; half-close, back-pressure, idle
 * time and the log are the same for all and live here and in the link.
 *
 * Thread: the loop's.
 */
#pragma once

#include "config.h"
#include "link.h"
#include <sys/queue.h>

struct connection;

/* What a connection tells its owner. */
struct connection_owner {
        /* It has ended, its socket is closed, it is about to be freed: take it out of every list.
         */
        void (*on_closed)(struct connection_owner *owner, struct connection *connection);
};

/*
 * A mode: how streams are linked. One constant table each; see echo.h.
 *
 * Every operation may end the connection with connection_close().
 */
struct mode {
        const char *name;
        /* Makes the links, with connection_link_client() the one to the client. Return: 0 or
         * -errno. */
        int (*open)(struct connection *connection);
        /* @stream received bytes, or its end. */
        void (*receive)(struct connection *connection, struct stream *stream, const uint8_t *data,
                        size_t n);
        void (*end)(struct connection *connection, struct stream *stream);
        /* @link has passed on the end of its stream. */
        void (*done)(struct connection *connection, struct link *link);
};

/* The longest "[IPv6%scope]:port" and the NUL; a unix client is "unix:pid=…,uid=…". */
#define CONNECTION_CLIENT_SIZE 64

struct connection {
        LIST_ENTRY(connection) entry; /* the owner's */
        struct connection_owner *owner;
        const struct mode *mode;
        struct config *config; /* a reference */
        const struct service *service;
        struct stream client;
        struct link to_client;
        struct event *idle; /* NULL: no idle_timeout */
        struct loop_task release;
        uint64_t id;
        uint64_t began_usec;
        uint64_t active_usec; /* when a byte last moved; kept only with an idle_timeout */
        uint64_t idle_sent;   /* bytes sent when the idle timer last looked */
        const char *reason;   /* why it ended; NULL while it lives */
        char client_name[CONNECTION_CLIENT_SIZE];
};

/**
 * connection_new() - begin a session
 * @service: of @config, of which a reference is taken
 * @fd:      the client's socket: non-blocking, close-on-exec; consumed on success
 * @peer:    the client's address
 * @id:      unique in this process, from 1
 * @out:     set to the connection, which frees itself after on_closed
 *
 * Return: 0; -ENOMEM; what the mode's open fails with. Nothing has been logged then.
 */
_must_use_ int connection_new(struct loop *loop, struct config *config,
                              const struct service *service, int fd, const struct address *peer,
                              uint64_t id, struct connection_owner *owner, struct connection **out);

/**
 * connection_close() - end a session now; a second call does nothing
 * @reason: a few words for the log; must outlive the connection (a literal)
 *
 * Bytes not sent yet are dropped. The connection is freed between two turns of the loop.
 */
void connection_close(struct connection *connection, const char *reason);

/**
 * connection_reconfigure() - live on under a new configuration
 *
 * Takes over limits and shaping values of the service of the same name. When there is none, or of
 * another mode, the connection keeps what it has.
 */
void connection_reconfigure(struct connection *connection, struct config *config);

/* For a mode's open: what is received from @from goes to the client. */
void connection_link_client(struct connection *connection, struct stream *from);
