/* SPDX-License-Identifier: MIT */
/* Common parts of the servers for comparison: a listening socket on a free port, and errors. */
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static inline void fail(const char *what)
{
        perror(what);
        exit(EXIT_FAILURE);
}

/*
 * Listens on a free port of 127.0.0.1, which is printed.
 * @flags: SOCK_NONBLOCK, or 0
 * Return: the socket. Accepted ones inherit TCP_NODELAY.
 */
static inline int listen_somewhere(int flags, int backlog)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;

        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, backlog) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                fail("listen");
        (void)printf("%d\n", ntohs(address.sin_port));
        (void)fflush(stdout);
        return fd;
}
