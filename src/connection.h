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
#include "log.h"
#include "proxy.h"
#include <sys/queue.h>

struct connection;
struct dialers;
struct side;

LIST_HEAD(hub_list, hub);

/* What a connection tells its owner, and what the owner's connections have in common. */
struct connection_owner {
        /* It has ended, its socket is closed, it is about to be freed: take it out of every list.
         */
        void (*on_closed)(struct connection_owner *owner, struct connection *connection);
        struct hub_list hubs;
        struct dialers *dialers; /* of relays */
};

/*
 * A mode: what a client is linked to. One constant table each; see echo.h, relay.h and hub.h.
 */
struct mode {
        /*
         * Sets connection->peer and calls connection_start(), at once or later; until then nothing
         * is read from the client. May end the connection. @header: what a proxy said about the
         * client; NULL: nothing. Return: 0 or -errno.
         */
        int (*open)(struct connection *connection, const struct proxy_header *header);
        /* Bytes came in on a side; see on_data in stream.h. NULL: they go to the other side. */
        void (*put)(struct side *side, const uint8_t *data, size_t n);
        /* Stops every callback of what open made, but for the other side's; NULL: there is none. */
        void (*stop)(struct connection *connection);
        /* Frees it. */
        void (*free)(struct connection *connection);
};

/*
 * One end of a session: a socket, and the link that carries bytes into it. What is received on it
 * goes to the other side's link; the one side of an echo is its own other side.
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
        LIST_ENTRY(connection) entry; /* the owner's */
        struct connection_owner *owner;
        struct loop *loop;
        const struct mode *mode;
        struct config *config; /* a reference */
        const struct service *service;
        struct side client;
        struct side *peer; /* the client's other side; NULL: not started */
        union {            /* of the mode; NULL: not opened */
                struct relay *relay;
                struct member *member;
        };
        struct greeter *greeter; /* waits for a PROXY header; NULL: none, or no longer */
        struct event *idle;      /* NULL: no idle_timeout */
        struct event *reset;     /* reset_after has passed; NULL: never asked for */
        struct event *linger;    /* look again whether all has arrived; NULL: it does not linger */
        uint64_t reset_after_usec;
        unsigned faults; /* that are of neither way */
        struct loop_task release;
        uint64_t id;
        uint64_t seed; /* of what conditions draw; see random.h */
        uint64_t began_usec;
        uint64_t active_usec;     /* when a byte last moved; kept only with an idle_timeout */
        uint64_t idle_sent;       /* bytes sent by then */
        unsigned open_links;      /* whose end has not been passed on */
        unsigned looks;           /* that have been taken, of one that lingers */
        struct side *lingers_for; /* who is given the time to read what it was sent */
        bool closed;
        char client_name[CONNECTION_CLIENT_SIZE];
};

/**
 * connection_new() - begin a session
 * @mode:    the service's
 * @service: of @config, of which a reference is taken
 * @fd:      the client's socket: non-blocking, close-on-exec; consumed on success
 * @peer:    the client's address
 * @id:      unique in this process, from 1
 * @out:     set to the connection, which frees itself after on_closed
 *
 * May end the connection, but not free it. Return: 0; -ENOMEM, -ENOSPC: nothing has been logged.
 */
_must_use_ int connection_new(struct loop *loop, const struct mode *mode, struct config *config,
                              const struct service *service, int fd, const struct address *peer,
                              uint64_t id, struct connection_owner *owner, struct connection **out);

/**
 * connection_close() - end a session now; a second call does nothing, but for one that lingers
 * @reason: a few words for the log
 *
 * Bytes not sent yet are dropped. The connection is freed between two turns of the loop.
 */
void connection_close(struct connection *connection, const char *reason);

/* As connection_close(), but both peers see a reset instead of an end: something failed. */
void connection_reset(struct connection *connection, const char *reason);

/**
 * connection_reconfigure() - live on under a new configuration
 *
 * Takes over limits and shaping values of the service of the same name. When there is none, or of
 * another mode, the connection keeps what it has.
 */
void connection_reconfigure(struct connection *connection, struct config *config);

/**
 * side_init() - for a mode: take over a connected socket as the other side
 * Return: as stream_init(); @fd is consumed on success.
 */
_must_use_ int side_init(struct side *side, struct connection *connection, int fd,
                         const char *name);

/**
 * connection_start() - for a mode: link the client with connection->peer, and read both
 * Return: 0; -ENOMEM.
 */
_must_use_ int connection_start(struct connection *connection);

/* What the log calls an error of a socket. */
const char *connection_error_reason(int error);

/* What lines about it begin with. */
struct log_about connection_about(const struct connection *connection);
