/* SPDX-License-Identifier: MIT */
/*
 * A load on a schedule: clients of an echo on a port of this host, which send at fixed moments,
 * whether or not answers have come. So a server that stalls can't hide it by slowing the load down.
 *
 *     bench-paced PORT CONNECTIONS MESSAGES INTERVAL_USEC LATENCY_USEC
 *
 * Opens its connections and says "ready". For each line of standard input it sends MESSAGES of 64
 * bytes on each connection, one every INTERVAL_USEC, the connections spread evenly over the
 * interval. Then it says "P50 P99 P99.9 MAX MIN", in microseconds: how much later than LATENCY_USEC
 * after its moment each message was back. Every byte that comes back is compared; exit status 1
 * when one is wrong or a connection ends.
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
#define PATTERN_BYTES 4096 /* a multiple of MESSAGE_BYTES */
#define EVENTS_MAX    256

struct connection {
        int fd;
        uint64_t sent, received; /* bytes, in all rounds */
};

static struct connection *connections;
static size_t n_connections, n_messages;
static int64_t interval_usec, latency_usec;
static int64_t *late_usec;
static size_t n_late;
static uint64_t first_byte; /* in this round, for each connection */
static uint8_t pattern[2 * PATTERN_BYTES];
static int epoll;

static void fail(const char *what, const char *why)
{
        (void)fprintf(stderr, "bench-paced: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

static int64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* When this connection sends this message. */
static int64_t moment(int64_t began_usec, size_t index, uint64_t message)
{
        return began_usec + (int64_t)message * interval_usec +
               (int64_t)index * interval_usec / (int64_t)n_connections;
}

static void open_one(struct connection *c, uint16_t port)
{
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        /*
         * Closes with a reset: thousands of sockets in TIME_WAIT would use up the ports of later
         * runs.
         */
        const struct linger reset = { .l_onoff = 1 };
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        const int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
                fail("connect", strerror(errno));
}

static void send_one(struct connection *c)
{
        if (send(c->fd, pattern + c->sent % PATTERN_BYTES, MESSAGE_BYTES,
                 MSG_NOSIGNAL | MSG_DONTWAIT) != MESSAGE_BYTES)
                fail("send", "the server has stopped reading");
        c->sent += MESSAGE_BYTES;
}

static void receive(struct connection *c, int64_t began_usec)
{
        uint8_t buffer[PATTERN_BYTES];
        ssize_t n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        int64_t now = now_usec();
        uint64_t message = (c->received - first_byte) / MESSAGE_BYTES;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                fail("recv", n < 0 ? strerror(errno) : "end of stream");
        if (memcmp(buffer, pattern + c->received % PATTERN_BYTES, (size_t)n) != 0)
                fail("recv", "other bytes than were sent");
        c->received += (uint64_t)n;
        for (; (message + 1) * MESSAGE_BYTES <= c->received - first_byte; message++)
                late_usec[n_late++] =
                        now - moment(began_usec, (size_t)(c - connections), message) - latency_usec;
}

static void receive_all(int64_t began_usec)
{
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, 0);

        if (n < 0 && errno != EINTR)
                fail("epoll_wait", strerror(errno));
        for (int i = 0; i < n; i++)
                receive(events[i].data.ptr, began_usec);
}

static void do_round(void)
{
        int64_t began = now_usec();

        n_late = 0;
        first_byte = connections[0].sent;
        for (uint64_t message = 0; message < n_messages; message++)
                for (size_t i = 0; i < n_connections; i++) {
                        while (now_usec() < moment(began, i, message))
                                receive_all(began);
                        send_one(&connections[i]);
                }
        while (n_late < n_messages * n_connections)
                receive_all(began);
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void report(void)
{
        qsort(late_usec, n_late, sizeof(*late_usec), compare);
        (void)printf("%lld %lld %lld %lld %lld\n", (long long)late_usec[n_late / 2],
                     (long long)late_usec[n_late * 99 / 100],
                     (long long)late_usec[n_late * 999 / 1000], (long long)late_usec[n_late - 1],
                     (long long)late_usec[0]);
        (void)fflush(stdout);
}

int main(int argc, char **argv)
{
        char line[16];

        if (argc != 6) {
                (void)fprintf(stderr, "usage: bench-paced PORT CONNECTIONS MESSAGES INTERVAL_USEC "
                                      "LATENCY_USEC\n");
                return 64;
        }
        n_connections = strtoul(argv[2], NULL, 10);
        n_messages = strtoul(argv[3], NULL, 10);
        interval_usec = strtoll(argv[4], NULL, 10);
        latency_usec = strtoll(argv[5], NULL, 10);
        connections = calloc(n_connections, sizeof(*connections));
        late_usec = calloc(n_connections * n_messages, sizeof(*late_usec));
        epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!connections || !late_usec || epoll < 0)
                fail("start", strerror(errno));
        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(i % PATTERN_BYTES * 2654435761U >> 13);
        for (size_t i = 0; i < n_connections; i++)
                open_one(&connections[i], (uint16_t)strtoul(argv[1], NULL, 10));
        (void)puts("ready");
        (void)fflush(stdout);
        while (fgets(line, sizeof(line), stdin)) {
                do_round();
                report();
        }
        return EXIT_SUCCESS;
}
