/* SPDX-License-Identifier: MIT */
/*
 * The listener: binding for each kind of address, and accepting. libevent's evconnlistener accepts
 * as long as clients come: a client that connected in a tight loop delayed all others by more than
 * a second (measured). Here one turn of the loop accepts at most ACCEPT_BATCH clients.
 */
#include "listener.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>

/* The most clients that one turn of the loop accepts. */
#define ACCEPT_BATCH 64

/* The most clients that listener_accept_pending() accepts: more than most backlogs hold. */
#define ACCEPT_PENDING_MAX 8192

struct listener {
        struct event accept;
        int fd;
        struct address address;
        const struct listener_events *events;
        void *arg;
        struct socket_options options;
        bool inherited; /* every connection in the backlog was made under these options */
        bool has_file;  /* of a unix socket made here; removed with the listener */
        struct socket_file file;
};

static void set_option(int fd, int level, int option, int value)
{
        /* The socket works without these options too. */
        (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static int bind_inet(int fd, const struct address *address, int backlog, bool share)
{
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, share);
        if (address->sa.sa_family == AF_INET6)
                set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !address->any);
        if (bind(fd, &address->sa, address->length) < 0 ||
            listen(fd, backlog) < 0) /* checks for conflicts once more */
                return -errno;
        if (share)
                set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
        return 0;
}

int listener_bind(const struct address *address, const struct socket_access *access, int backlog,
                  bool share, int *out)
{
        _cleanup_(closep) int fd =
                socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0 && errno == EAFNOSUPPORT && address->any) {
                const struct address any = {
                        .length = sizeof(any.in),
                        .in = { .sin_family = AF_INET, .sin_port = address->in6.sin6_port },
                };

                return listener_bind(&any, access, backlog, share, out);
        }
        if (fd < 0)
                return -errno;
        if (address->sa.sa_family == AF_UNIX)
                r = socket_file_listen(fd, address, access, backlog);
        else
                r = bind_inet(fd, address, backlog, share);
        if (r < 0)
                return r;
        *out = fd;
        fd = -1;
        return 0;
}

bool listener_is_exhausted(int error)
{
        return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

/* Whether accept(2) failed because of one client that is gone (accept(2), "Error handling"). */
static bool is_client_error(int error)
{
        static const int errors[] = { ECONNABORTED, EINTR,  EPROTO,       ENETDOWN,   ENOPROTOOPT,
                                      EHOSTDOWN,    ENONET, EHOSTUNREACH, ENETUNREACH };

        for (size_t i = 0; i < ELEMENTS(errors); i++)
                if (errors[i] == error)
                        return true;
        return false;
}

/* Accepts at most @max clients. Return: 0; what accept4(2) fails with, if no client is the cause.
 */
static int accept_some(struct listener *listener, int max)
{
        for (int i = 0; i < max; i++) {
                struct address peer = { .length = sizeof(peer.storage) };
                int fd =
                        accept4(listener->fd, &peer.sa, &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0 && errno == EAGAIN) {
                        listener->inherited = true;
                        return 0;
                }
                if (fd < 0 && !is_client_error(errno))
                        return -errno;
                if (fd < 0)
                        continue;
                /* Of unix sockets nothing is inherited. */
                if (!listener->inherited || listener->address.sa.sa_family == AF_UNIX)
                        socket_options_set(&listener->options, fd, listener->address.sa.sa_family);
                listener->events->on_accept(listener, fd, &peer, listener->arg);
        }
        return 0;
}

static void listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
        struct listener *listener = arg;
        int r = accept_some(listener, ACCEPT_BATCH);

        (void)fd;
        (void)what;
        if (r == 0)
                return;
        listener_pause(listener);
        listener->events->on_error(listener, r, listener->arg);
}

int listener_new(struct loop *loop, int fd, bool remove, const struct socket_options *options,
                 const struct listener_events *events, void *arg, struct listener **out)
{
        _cleanup_(freep) struct listener *listener = calloc(1, sizeof(*listener));
        int r;

        if (!listener)
                return -ENOMEM;
        r = address_of_socket(fd, &listener->address);
        if (r < 0)
                return r;
        if (listener->address.sa.sa_family == AF_UNIX && remove) {
                listener->has_file = socket_file_of(&listener->address, &listener->file) == 0;
        }
        if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
                return -errno;
        listener->events = events;
        listener->arg = arg;
        event_assign(&listener->accept, loop_base(loop), fd, EV_READ | EV_PERSIST,
                     listener_on_readable, listener);
        r = loop_add_event(&listener->accept);
        if (r < 0)
                return r;
        listener->fd = fd;
        listener_set_options(listener, options);
        *out = listener;
        listener = NULL;
        return 0;
}

bool listener_is_found(const struct listener *listener)
{
        return !listener->has_file || socket_file_is_at(&listener->file, &listener->address);
}

bool listener_is_at(const struct listener *listener, const struct address *address)
{
        return listener->has_file && address->sa.sa_family == AF_UNIX &&
               socket_file_is_at(&listener->file, address);
}

int listener_set_access(struct listener *listener, const struct socket_access *access)
{
        if (!listener->has_file)
                return 0;
        return socket_file_set_access(&listener->file, &listener->address, access);
}

static void remove_file(struct listener *listener)
{
        if (listener->has_file)
                socket_file_remove(&listener->file, &listener->address);
        listener->has_file = false;
}

struct listener *listener_free(struct listener *listener)
{
        if (!listener)
                return NULL;
        remove_file(listener);
        (void)event_del(&listener->accept);
        closep(&listener->fd);
        free(listener);
        return NULL;
}

const struct address *listener_address(const struct listener *listener)
{
        return &listener->address;
}

void listener_set_backlog(struct listener *listener, int backlog)
{
        (void)listen(listener->fd, backlog);
}

void listener_set_options(struct listener *listener, const struct socket_options *options)
{
        listener->options = *options;
        listener->inherited = false;
        socket_options_set(options, listener->fd, listener->address.sa.sa_family);
}

void listener_offer(struct listener *listener, bool offer)
{
        if (listener->address.sa.sa_family != AF_UNIX)
                set_option(listener->fd, SOL_SOCKET, SO_REUSEPORT, offer);
}

/* An interface that does not exist. */
#define NO_INTERFACE INT_MAX

int listener_retire(struct listener *listener)
{
        const int interface = NO_INTERFACE;

        if (listener->address.sa.sa_family == AF_UNIX)
                remove_file(listener);
        else if (setsockopt(listener->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &interface,
                            sizeof(interface)) < 0)
                return -errno;
        return 0;
}

void listener_pause(struct listener *listener)
{
        (void)event_del(&listener->accept);
}

int listener_resume(struct listener *listener)
{
        return loop_add_event(&listener->accept);
}

void listener_accept_pending(struct listener *listener)
{
        (void)accept_some(listener, ACCEPT_PENDING_MAX);
}
