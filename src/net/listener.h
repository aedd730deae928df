/* SPDX-License-Identifier: MIT */
/*
 * One listening socket, opened here or passed by systemd.
 *
 * Thread: the loop's.
 */
#pragma once

#include "address.h"
#include "loop.h"
#include "socket_file.h"
#include "sockopts.h"

struct listener;

/* Callbacks. They may pause any listener, but must not free one. */
struct listener_events {
        /* A client connected. @fd is non-blocking and close-on-exec; the callee closes it. */
        void (*on_accept)(struct listener *listener, int fd, const struct address *peer, void *arg);
        /* accept(2) failed, but not because of a client. The listener is paused. */
        void (*on_error)(struct listener *listener, int error, void *arg);
};

/**
 * listener_bind() - open a listening socket
 * @access: who may connect to a unix socket; see socket_file_listen()
 * @share: take an address over from a socket of this process that has SO_REUSEPORT set; see
 *         listener_offer()
 * @fd:    set to the socket, non-blocking and close-on-exec; the caller's
 *
 * "*" falls back to IPv4 where the system has no IPv6.
 *
 * Return: 0; what socket(2), bind(2) or listen(2) fails with: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL,
 * …; see socket_file_listen().
 */
_must_use_ int listener_bind(const struct address *address, const struct socket_access *access,
                             int backlog, bool share, int *fd);

/* Whether accept(2) failed because a resource is short that the end of a connection may free. */
bool listener_is_exhausted(int error);

/**
 * listener_new() - accept connections on a listening socket
 * @fd:     consumed on success
 * @remove: remove the file of a unix socket with the listener
 * @options: of the sockets it accepts, see listener_set_options()
 * @arg:    for the callbacks
 *
 * Return: 0; -ENOMEM; see loop_add_event().
 */
_must_use_ int listener_new(struct loop *loop, int fd, bool remove,
                            const struct socket_options *options,
                            const struct listener_events *events, void *arg, struct listener **out);

/**
 * listener_free() - stop listening
 * Return: NULL.
 */
struct listener *listener_free(struct listener *listener);

/* The address of the socket, with the port that the system chose. */
const struct address *listener_address(const struct listener *listener);

/* Whether clients can connect: the file of a unix socket that was made here must still exist. */
bool listener_is_found(const struct listener *listener);

/* Whether @address names the file of this unix socket, which was made here. Several paths may lead
 * to one file. */
bool listener_is_at(const struct listener *listener, const struct address *address);

/**
 * listener_set_access() - change who may connect to a unix socket that was made here
 * Return: 0, also for other sockets; see socket_file_set_access().
 */
_must_use_ int listener_set_access(struct listener *listener, const struct socket_access *access);

/* Changes the backlog. */
void listener_set_backlog(struct listener *listener, int backlog);

/*
 * Sets the options of the sockets that will be accepted. Sockets accepted before keep theirs. A
 * connection inherits the options of the listening socket when its handshake ends. Connections that
 * are in the backlog already have inherited the old ones. So until the backlog has been empty once,
 * the options are set on each accepted socket before on_accept.
 */
void listener_set_options(struct listener *listener, const struct socket_options *options);

/* Allows or forbids listener_bind() with @share to bind an address that overlaps with this one. */
void listener_offer(struct listener *listener, bool offer);

/*
 * How long a retired listener stays open. That is enough to finish connecting, which takes a round
 * trip and the 200 ms for which Linux may delay the last ACK (TCP_DELACK_MAX; measured).
 */
#define LISTENER_RETIRE_USEC (500 * USEC_PER_MSEC)

/*
 * Retires a listener: no new client can connect, but a client that is connecting may finish and is
 * accepted. Free the listener LISTENER_RETIRE_USEC later. Closing it at once would reset the
 * clients that are connecting.
 *
 * New clients get another listener of an overlapping address, or else are refused. This works by
 * binding the socket to an interface that does not exist: Linux looks for a listener only for the
 * first packet of a connection, and then does not find this one (inet_lookup_listener()).
 *
 * Return: 0; -EPERM: Linux before 5.7, or a socket of an IPv6 link-local address, which is bound to
 * its interface; what else setsockopt(2) fails with. Clients then still begin to connect.
 */
_must_use_ int listener_retire(struct listener *listener);

/* Stops accepting. Clients wait in the backlog. */
void listener_pause(struct listener *listener);

/* Accepts again. Return: 0; see loop_add_event(): the listener is still paused. */
_must_use_ int listener_resume(struct listener *listener);

/*
 * Accepts the clients in the backlog, and calls on_accept for each; at most some thousands. For a
 * listener that is about to be freed.
 */
void listener_accept_pending(struct listener *listener);
