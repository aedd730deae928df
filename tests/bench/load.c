/*
 * The load: clients of an echo server on a port of this host, all on one epoll loop.
 *
 *     ping CONNECTIONS MESSAGES SIZE   round trips; each connection keeps one message under way
 *     bulk BYTES [CONNECTIONS]         as fast as it goes, both directions at once
 *     idle CONNECTIONS                 nothing, but the connections are open
 *
 * Opens its connections, each of which has got a first byte back by then, and says "ready". Then
 * does a round of its work for each line of standard input, and says "ready" after each: what the
 * server does between two of these is that work and nothing else. Ends with its input. Every byte
 * is accounted for: exit status 1 when one is missing, too many or, for ping, wrong.
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

#define BUFFER_BYTES  (256 * 1024)
#define MESSAGE_BYTES (64 * 1024) /* at most: the socket buffers hold it, so that send() ends */
#define EVENTS_MAX    256

struct connection {
        int fd;
        uint64_t to_send, to_receive; /* in this round, or of this message */
};

struct load;

struct mode {
        const char *name, *arguments;
        void (*begin)(struct load *load, struct connection *c); /* a round */
        void (*go_on)(struct load *load, struct connection *c, uint32_t ready);
};

struct load {
        const struct mode *mode;
        struct connection *connections;
        size_t n, busy;
        uint64_t messages, bytes, size; /* what a round is, and the size of a message */
        uint64_t messages_left;
        int epoll;
};

static uint8_t pattern[BUFFER_BYTES], received[BUFFER_BYTES];

static void fail(const char *what, const char *why)
{
        (void)fprintf(stderr, "bench-load: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

/* Return: how many bytes came; 0: none at this time. */
static size_t receive_some(const struct connection *c, size_t max, int flags)
{
        ssize_t n = recv(c->fd, received, max, flags);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                fail("recv", n < 0 ? strerror(errno) : "end of stream");
        return (size_t)n;
}

/* Return: how many bytes went; 0: none at this time. */
static size_t send_some(const struct connection *c, size_t max, int flags)
{
        ssize_t n = send(c->fd, pattern, max, flags | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                fail("send", strerror(errno));
        return n < 0 ? 0 : (size_t)n;
}

static void wait_for(const struct load *load, struct connection *c, uint32_t events, int operation)
{
        struct epoll_event event = { .events = events, .data.ptr = c };

        if (epoll_ctl(load->epoll, operation, c->fd, &event) < 0)
                fail("epoll_ctl", strerror(errno));
}

/* Ping */

static void ping_begin(struct load *load, struct connection *c)
{
        if (load->messages_left == 0) {
                load->busy--;
                return;
        }
        load->messages_left--;
        c->to_receive = load->size;
        if (send_some(c, load->size, 0) < load->size)
                fail("send", "interrupted");
}

static void ping_go_on(struct load *load, struct connection *c, uint32_t ready)
{
        size_t n = receive_some(c, sizeof(received), MSG_DONTWAIT);

        (void)ready;
        if (n > c->to_receive || memcmp(received, pattern + load->size - c->to_receive, n) != 0)
                fail("ping", "not what was sent");
        c->to_receive -= n;
        if (n > 0 && c->to_receive == 0)
                ping_begin(load, c);
}

/* Bulk: reading comes first, so that neither side ever waits for the other with full buffers. */

static void bulk_begin(struct load *load, struct connection *c)
{
        c->to_send = c->to_receive = load->bytes / load->n;
        wait_for(load, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void bulk_send(struct load *load, struct connection *c)
{
        size_t max = c->to_send < BUFFER_BYTES ? c->to_send : BUFFER_BYTES;

        c->to_send -= send_some(c, max, MSG_DONTWAIT);
        if (c->to_send == 0)
                wait_for(load, c, EPOLLIN, EPOLL_CTL_MOD);
}

static void bulk_go_on(struct load *load, struct connection *c, uint32_t ready)
{
        size_t n = ready & EPOLLIN ? receive_some(c, sizeof(received), MSG_DONTWAIT) : 0;

        if (n > c->to_receive - c->to_send)
                fail("bulk", "more than was sent");
        c->to_receive -= n;
        if (n > 0 && c->to_receive == 0)
                load->busy--;
        else if (ready & EPOLLOUT)
                bulk_send(load, c);
}

/* Idle */

static void idle_begin(struct load *load, struct connection *c)
{
        (void)c;
        load->busy--;
}

enum { PING, BULK, IDLE, MODES };

static const struct mode modes[MODES] = {
        [PING] = { "ping", "CONNECTIONS MESSAGES SIZE", ping_begin, ping_go_on },
        [BULK] = { "bulk", "BYTES [CONNECTIONS]", bulk_begin, bulk_go_on },
        [IDLE] = { "idle", "CONNECTIONS", idle_begin, NULL },
};

/* All modes */

static void connection_open(struct connection *c, uint16_t port)
{
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        /* Ends with a reset: thousands in TIME_WAIT would use up the ports of later runs. */
        const struct linger reset = { .l_onoff = 1 };
        const int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
                fail("connect", strerror(errno));
        if (send_some(c, 1, 0) != 1 || receive_some(c, sizeof(received), 0) != 1)
                fail("connect", "no first byte");
}

static void load_open(struct load *load, uint16_t port)
{
        load->epoll = epoll_create1(EPOLL_CLOEXEC);
        load->connections = calloc(load->n, sizeof(*load->connections));
        if (load->epoll < 0 || !load->connections)
                fail("start", strerror(errno));
        for (size_t i = 0; i < load->n; i++) {
                connection_open(&load->connections[i], port);
                wait_for(load, &load->connections[i], EPOLLIN, EPOLL_CTL_ADD);
        }
}

static void load_round(struct load *load)
{
        struct epoll_event events[EVENTS_MAX];

        load->busy = load->n;
        load->messages_left = load->messages;
        for (size_t i = 0; i < load->n; i++)
                load->mode->begin(load, &load->connections[i]);
        while (load->busy > 0) {
                int n = epoll_wait(load->epoll, events, EVENTS_MAX, -1);

                if (n < 0 && errno != EINTR)
                        fail("epoll_wait", strerror(errno));
                for (int i = 0; i < n; i++)
                        load->mode->go_on(load, events[i].data.ptr, events[i].events);
        }
}

static void usage(void)
{
        for (size_t i = 0; i < MODES; i++)
                (void)fprintf(stderr, "Usage: bench-load PORT %s %s\n", modes[i].name,
                              modes[i].arguments);
        exit(64);
}

static uint64_t number(const char *text, uint64_t max)
{
        char *end;
        unsigned long long value = strtoull(text, &end, 10);

        if (*end || value == 0 || value > max)
                usage();
        return value;
}

static void parse(struct load *load, int argc, char **argv)
{
        const struct mode *mode = modes;

        while (mode < modes + MODES && (argc < 4 || strcmp(mode->name, argv[2]) != 0))
                mode++;
        load->mode = mode;
        if (mode == &modes[PING] && argc == 6) {
                load->n = number(argv[3], UINT16_MAX);
                load->messages = number(argv[4], UINT64_MAX);
                load->size = number(argv[5], MESSAGE_BYTES);
        } else if (mode == &modes[BULK] && argc <= 5) {
                load->bytes = number(argv[3], UINT64_MAX);
                load->n = argc == 5 ? number(argv[4], UINT16_MAX) : 1;
        } else if (mode == &modes[IDLE] && argc == 4) {
                load->n = number(argv[3], UINT16_MAX);
        } else {
                usage();
        }
}

int main(int argc, char **argv)
{
        struct load load = { 0 };
        char line[16];

        parse(&load, argc, argv);
        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(i * 2654435761U >> 13);
        load_open(&load, (uint16_t)number(argv[1], UINT16_MAX));
        (void)puts("ready");
        while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
                load_round(&load);
                (void)puts("ready");
        }
        return 0;
}
