/* The listener: evconnlistener, and what binding takes for each kind of address. */
#include "listener.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>

struct listener {
        struct evconnlistener *accept;
        struct address address;
        const struct listener_events *events;
        void *arg;
        bool remove; /* the unix socket's file, if it is still this one: */
        dev_t device;
        ino_t inode;
};

static void set_option(int fd, int level, int option, int value)
{
        /* Options that make a socket better; it works without them. */
        (void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* Removes a unix socket's file if nobody listens on it. */
static void remove_stale(const struct address *address)
{
        _cleanup_(closep) int fd = -1;
        struct stat st;

        if (lstat(address->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, &address->sa, address->length) < 0 && errno == ECONNREFUSED)
                (void)unlink(address->un.sun_path);
}

static int bind_and_listen(int fd, const struct address *address, int backlog, bool share)
{
        if (address->sa.sa_family == AF_UNIX) {
                remove_stale(address);
        } else {
                set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
                set_option(fd, SOL_SOCKET, SO_REUSEPORT, share);
        }
        if (address->sa.sa_family == AF_INET6)
                set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !address->any);
        if (bind(fd, &address->sa, address->length) < 0)
                return -errno;
        if (address->sa.sa_family == AF_UNIX && chmod(address->un.sun_path, 0666) < 0)
                return -errno;
        if (listen(fd, backlog) < 0) /* which looks for conflicts once more */
                return -errno;
        if (share)
                set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
        return 0;
}

int listener_bind(const struct address *address, int backlog, bool share, int *out)
{
        _cleanup_(closep) int fd =
                socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0 && errno == EAFNOSUPPORT && address->any) {
                const struct address any = {
                        .length = sizeof(any.in),
                        .in = { .sin_family = AF_INET, .sin_port = address->in6.sin6_port },
                };

                return listener_bind(&any, backlog, share, out);
        }
        if (fd < 0)
                return -errno;
        r = bind_and_listen(fd, address, backlog, share);
        if (r < 0)
                return r;
        *out = fd;
        fd = -1;
        return 0;
}

static int get_address(int fd, struct address *address)
{
        struct address a = { .length = sizeof(a.storage) };
        int v6only = 1;
        socklen_t length = sizeof(v6only);

        if (getsockname(fd, &a.sa, &a.length) < 0)
                return -errno;
        if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr) &&
            getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &length) == 0)
                a.any = !v6only;
        *address = a;
        return 0;
}

static void hand_over(struct listener *listener, int fd, const struct sockaddr *peer, int length)
{
        struct address address = { .length = (socklen_t)length };

        memcpy(&address.storage, peer, (size_t)length);
        listener->events->on_accept(listener, fd, &address, listener->arg);
}

static void listener_on_accept(struct evconnlistener *accept, evutil_socket_t fd,
                               struct sockaddr *peer, int length, void *arg)
{
        (void)accept;
        hand_over(arg, fd, peer, length);
}

static void listener_on_error(struct evconnlistener *accept, void *arg)
{
        struct listener *listener = arg;

        (void)accept;
        listener->events->on_error(listener, -EVUTIL_SOCKET_ERROR(), listener->arg);
}

int listener_new(struct loop *loop, int fd, bool remove, const struct listener_events *events,
                 void *arg, struct listener **out)
{
        _cleanup_(freep) struct listener *listener = calloc(1, sizeof(*listener));
        struct stat st;
        int r;

        if (!listener)
                return -ENOMEM;
        r = get_address(fd, &listener->address);
        if (r < 0)
                return r;
        if (listener->address.sa.sa_family != AF_UNIX) {
                set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
                set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        } else if (remove && stat(listener->address.un.sun_path, &st) == 0) {
                listener->remove = true;
                listener->device = st.st_dev;
                listener->inode = st.st_ino;
        }
        if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
                return -errno;
        listener->events = events;
        listener->arg = arg;
        listener->accept = evconnlistener_new(loop_base(loop), listener_on_accept, listener,
                                              LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        if (!listener->accept)
                return -ENOMEM;
        evconnlistener_set_error_cb(listener->accept, listener_on_error);
        *out = listener;
        listener = NULL;
        return 0;
}

struct listener *listener_free(struct listener *listener)
{
        struct stat st;

        if (!listener)
                return NULL;
        if (listener->remove && stat(listener->address.un.sun_path, &st) == 0 &&
            st.st_dev == listener->device && st.st_ino == listener->inode)
                (void)unlink(listener->address.un.sun_path);
        evconnlistener_free(listener->accept);
        free(listener);
        return NULL;
}

const struct address *listener_address(const struct listener *listener)
{
        return &listener->address;
}

void listener_set_backlog(struct listener *listener, int backlog)
{
        (void)listen(evconnlistener_get_fd(listener->accept), backlog);
}

void listener_offer(struct listener *listener, bool offer)
{
        if (listener->address.sa.sa_family != AF_UNIX)
                set_option(evconnlistener_get_fd(listener->accept), SOL_SOCKET, SO_REUSEPORT,
                           offer);
}

void listener_pause(struct listener *listener)
{
        (void)evconnlistener_disable(listener->accept);
}

void listener_resume(struct listener *listener)
{
        (void)evconnlistener_enable(listener->accept);
}

void listener_accept_pending(struct listener *listener)
{
        int fd = evconnlistener_get_fd(listener->accept);

        for (;;) {
                struct sockaddr_storage peer;
                socklen_t length = sizeof(peer);
                int client = accept4(fd, (struct sockaddr *)&peer, &length,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (client >= 0)
                        hand_over(listener, client, (struct sockaddr *)&peer, (int)length);
                else if (errno != ECONNABORTED && errno != EINTR)
                        return;
        }
}
