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

/* What the listener's user is told. Both may pause any listener, but free none. */
struct listener_events {
        /* A client connected; @fd is non-blocking, close-on-exec, and the callee's to close. */
        void (*on_accept)(struct listener *listener, int fd, const struct address *peer, void *arg);
        /* accept(2) failed, not for the client's sake; the listener is paused. */
        void (*on_error)(struct listener *listener, int error, void *arg);
};

/**
 * listener_bind() - open a socket that listens
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

/* Whether accept(2) failed for want of something, which the end of a connection may free. */
bool listener_is_exhausted(int error);

/**
 * listener_new() - accept connections on a listening socket
 * @fd:     consumed on success
 * @remove: the socket is ours: a unix socket's file goes with it
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

/* Where it listens, with the port the system chose. */
const struct address *listener_address(const struct listener *listener);

/* Whether clients can find it: of a unix socket of ours, whether its file is still there. */
bool listener_is_found(const struct listener *listener);

/* Whether @address names the file of this unix socket, which was made here: there may be several
 * paths to it. */
bool listener_is_at(const struct listener *listener, const struct address *address);

/**
 * listener_set_access() - change who may connect to a unix socket that was made here
 * Return: 0, also for other sockets; see socket_file_set_access().
 */
_must_use_ int listener_set_access(struct listener *listener, const struct socket_access *access);

/* Sets the backlog anew. */
void listener_set_backlog(struct listener *listener, int backlog);

/*
 * Sets the options of the sockets that will be accepted; those accepted before keep theirs. The
 * system hands the options on to each connection as its handshake ends. A connection that waits in
 * the backlog by now has missed them, so on_accept is preceded by setting them once more until the
 * backlog has been empty.
 */
void listener_set_options(struct listener *listener, const struct socket_options *options);

/* Lets listener_bind() with @share bind an address that overlaps with this one, or no longer. */
void listener_offer(struct listener *listener, bool offer);

/*
 * How long a retired listener stays open: as long as it takes to finish connecting, which is a
 * round trip and the 200 ms for which Linux may hold back its last ACK (TCP_DELACK_MAX; measured).
 */
#define LISTENER_RETIRE_USEC (500 * USEC_PER_MSEC)

/*
 * No client begins to connect here any more; whoever has begun may finish and is accepted. For a
 * listener that is freed LISTENER_RETIRE_USEC later: to close a socket resets clients that are in
 * the middle of connecting.
 *
 * New clients go to another listener of an overlapping address, if there is one, else they are
 * refused. For that the socket is bound to an interface that does not exist: packets of connections
 * that have begun do not look for a listener, others do not find this one (inet_lookup_listener()
 * of Linux).
 *
 * Return: 0; -EPERM: Linux before 5.7, or a socket of an IPv6 link-local address, which is bound to
 * its interface; what else setsockopt(2) fails with. Clients then still begin to connect.
 */
_must_use_ int listener_retire(struct listener *listener);

/* Clients wait in the backlog meanwhile. */
void listener_pause(struct listener *listener);

/* Return: 0; an error of loop_add_event(): it is still paused. */
_must_use_ int listener_resume(struct listener *listener);

/*
 * Accepts all who wait in the backlog, within reason: on_accept for each. For a listener about to
 * be freed.
 */
void listener_accept_pending(struct listener *listener);
