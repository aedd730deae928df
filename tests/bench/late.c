/*
 * How late a server with a latency is: clients of an echo on a port of this host, each with one
 * message under way at any time.
 *
 *     late PORT CONNECTIONS MESSAGES LATENCY_USEC
 *
 * Opens its connections and says "ready". For a line of standard input sends MESSAGES on each, the
 * next one when the one before it is back, and says "P50 P99 MAX EARLIEST", in microseconds: how
 * much longer than the latency the round trips took. The connections begin one after the other
 * within one latency, so that messages are spread as from clients that know nothing of each other.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define EVENTS_MAX    256

struct connection {
        int fd;
        unsigned left; /* messages to send */
        size_t got;    /* bytes of the one under way */
        int64_t sent_usec;
};

static struct connection *connections;
static size_t n_connections, busy;
static int64_t *errors;
static size_t n_errors;
static int64_t latency_usec;
static int epoll;

static void fail(const char *what)
{
        (void)fprintf(stderr, "bench-late: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static int64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void open_one(struct connection *c, uint16_t port)
{
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const struct linger reset = { .l_onoff = 1 };
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        const int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
                fail("connect");
}

static void send_one(struct connection *c)
{
        static const uint8_t message[MESSAGE_BYTES];

        c->left--;
        c->got = 0;
        c->sent_usec = now_usec();
        if (send(c->fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
                fail("send");
}

static void receive(struct connection *c)
{
        uint8_t buffer[MESSAGE_BYTES];
        ssize_t n = recv(c->fd, buffer, sizeof(buffer) - c->got, MSG_DONTWAIT);

        if (n <= 0)
                fail("recv");
        c->got += (size_t)n;
        if (c->got < MESSAGE_BYTES)
                return;
        errors[n_errors++] = now_usec() - c->sent_usec - latency_usec;
        if (c->left)
                send_one(c);
        else
                busy--;
}

static void receive_all(int timeout_msec)
{
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, timeout_msec);

        if (n < 0 && errno != EINTR)
                fail("epoll_wait");
        for (int i = 0; i < n; i++)
                receive(events[i].data.ptr);
}

static void do_round(unsigned messages)
{
        int64_t began = now_usec();

        n_errors = 0;
        busy = n_connections;
        for (size_t i = 0; i < n_connections; i++) {
                int64_t start = began + latency_usec * (int64_t)i / (int64_t)n_connections;

                while (now_usec() < start)
                        receive_all(0);
                connections[i].left = messages;
                send_one(&connections[i]);
        }
        while (busy > 0)
                receive_all(-1);
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
        unsigned messages;
        char line[16];

        if (argc != 5) {
                (void)fprintf(stderr, "usage: late PORT CONNECTIONS MESSAGES LATENCY_USEC\n");
                return EXIT_FAILURE;
        }
        n_connections = strtoul(argv[2], NULL, 10);
        messages = (unsigned)strtoul(argv[3], NULL, 10);
        latency_usec = strtoll(argv[4], NULL, 10);
        connections = calloc(n_connections, sizeof(*connections));
        errors = calloc(n_connections * messages, sizeof(*errors));
        epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!connections || !errors || epoll < 0)
                fail("set-up");
        for (size_t i = 0; i < n_connections; i++)
                open_one(&connections[i], (uint16_t)strtoul(argv[1], NULL, 10));
        (void)puts("ready");
        (void)fflush(stdout);
        while (fgets(line, sizeof(line), stdin)) {
                do_round(messages);
                qsort(errors, n_errors, sizeof(*errors), compare);
                (void)printf("%lld %lld %lld %lld\n", (long long)errors[n_errors / 2],
                             (long long)errors[n_errors * 99 / 100],
                             (long long)errors[n_errors - 1], (long long)errors[0]);
                (void)fflush(stdout);
        }
        return EXIT_SUCCESS;
}
