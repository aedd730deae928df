/* SPDX-License-Identifier: MIT */
/*
 * Upstreams for the tests of the dialer: sockets on loopback addresses and in the test's directory,
 * and names. This file replaces getaddrinfo(3), so that it knows the names, and connect(2), so that
 * a socket can be connected to itself.
 */
#pragma once

#include "address.h"
#include "unit.h"

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

/* Replaced functions of the C library */

/* "two" has two addresses, 127.0.0.2 and 127.0.0.1; "own" has the latter. */
static struct sockaddr_in known[2] = {
        { .sin_family = AF_INET, .sin_addr = { 0x0200007f } },
        { .sin_family = AF_INET, .sin_addr = { 0x0100007f } },
};
static struct addrinfo both[2] = {
        { .ai_addr = (struct sockaddr *)&known[0],
          .ai_addrlen = sizeof(known[0]),
          .ai_next = &both[1] },
        { .ai_addr = (struct sockaddr *)&known[1], .ai_addrlen = sizeof(known[1]) },
};

/* Knows these two names only. The C library's function reads numeric addresses. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
        static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
        if (hints->ai_flags & AI_NUMERICHOST)
                return real(host, port, hints, out);
        if (strcmp(host, "two") != 0 && strcmp(host, "own") != 0)
                return EAI_NONAME;
        *out = &both[strcmp(host, "own") == 0];
        return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
        static void (*real)(struct addrinfo *);

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "freeaddrinfo");
        if (found != &both[0] && found != &both[1])
                real(found);
}

/* Whether the next socket is connected to itself. By chance, Linux does so now and then. */
static bool to_itself;

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
        int on = 1;

        if (to_itself) {
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
                assert_int_equal(bind(fd, address.__sockaddr__, length), 0);
        }
        to_itself = false;
        return (int)syscall(SYS_connect, fd, address.__sockaddr__, length);
}

/* Upstreams */

/* An upstream: its text in the configuration, and the socket that has its address. */
struct target {
        char name[128];
        int fd;
};

/* A port of 127.0.0.1 on which nobody listens, and which no other process can get. */
static inline struct target refusing(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct target target = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        socklen_t length = sizeof(address);
        int on = 1; /* for connect() above */

        assert_int_equal(setsockopt(target.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        assert_int_equal(bind(target.fd, (struct sockaddr *)&address, length), 0);
        assert_int_equal(getsockname(target.fd, (struct sockaddr *)&address, &length), 0);
        (void)snprintf(target.name, sizeof(target.name), "127.0.0.1:%u", ntohs(address.sin_port));
        return target;
}

static inline struct target listening(void)
{
        struct target target = refusing();

        assert_int_equal(listen(target.fd, 16), 0);
        return target;
}

/* Keeps the port, and replaces the host. */
static inline void rename_host(struct target *target, const char *host)
{
        char name[sizeof(target->name)];

        (void)snprintf(name, sizeof(name), "%s:%s", host, strrchr(target->name, ':') + 1);
        memcpy(target->name, name, sizeof(name));
}

/* A unix socket that listens in the test's directory. Its backlog holds @backlog + 1 clients. */
static inline struct target at_path(int backlog)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "sock" };
        struct target target = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };

        (void)unlink("sock");
        assert_int_equal(bind(target.fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(target.fd, backlog), 0);
        (void)snprintf(target.name, sizeof(target.name), "unix:%.100s/sock", test_directory);
        return target;
}

/* Fills a backlog of 0. */
static inline void fill_backlog(const struct target *target, int fillers[4])
{
        struct pollfd first = { .fd = target->fd, .events = POLLIN };
        struct address address;

        assert_int_equal(address_parse(target->name, &address), 0);
        for (int i = 0; i < 4; i++) {
                fillers[i] =
                        socket(address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)connect(fillers[i], &address.sa, address.length);
        }
        assert_int_equal(poll(&first, 1, (int)(DEADLINE_USEC / USEC_PER_MSEC)), 1);
}

static inline void close_all(const int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                assert_int_equal(close(fds[i]), 0);
}
