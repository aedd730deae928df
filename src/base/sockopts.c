/* SPDX-License-Identifier: MIT */
#include "sockopts.h"
#include "util.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Unanswered probes that end a connection; fewer if the idle time is less than five seconds. */
#define KEEPALIVE_PROBES 5

static void set_option(int fd, int level, int option, uint64_t value)
{
        const int number = (int)value;

        (void)setsockopt(fd, level, option, &number, sizeof(number));
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
        return (a + b - 1) / b;
}

static void set_keepalive(int fd, uint64_t idle_usec)
{
        uint64_t idle = divide_up(idle_usec, USEC_PER_SEC);
        uint64_t probes = idle < KEEPALIVE_PROBES ? idle : KEEPALIVE_PROBES;

        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, idle > 0);
        if (idle == 0)
                return;
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle / probes);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
}

static void set_user_timeout(int fd, uint64_t usec)
{
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, divide_up(usec, USEC_PER_MSEC));
}

void socket_options_set(const struct socket_options *options, int fd, int family)
{
        set_option(fd, SOL_SOCKET, SO_OOBINLINE, options->urgent_inline);
        if (family == AF_UNIX)
                return;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        set_user_timeout(fd, options->user_timeout_usec);
        set_keepalive(fd, options->keepalive_usec);
        set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options->send_buffer_bytes);
}

void socket_options_prepare(const struct socket_options *options, int fd, int family)
{
        if (options->urgent_inline)
                set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
        if (family == AF_UNIX)
                return;
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (options->user_timeout_usec)
                set_user_timeout(fd, options->user_timeout_usec);
}

void socket_options_complete(const struct socket_options *options, int fd)
{
        if (options->keepalive_usec)
                set_keepalive(fd, options->keepalive_usec);
        if (options->send_buffer_bytes)
                set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options->send_buffer_bytes);
}

bool socket_options_equal(const struct socket_options *a, const struct socket_options *b)
{
        return a->keepalive_usec == b->keepalive_usec &&
               a->user_timeout_usec == b->user_timeout_usec &&
               a->receive_buffer_bytes == b->receive_buffer_bytes &&
               a->send_buffer_bytes == b->send_buffer_bytes && a->urgent_inline == b->urgent_inline;
}
