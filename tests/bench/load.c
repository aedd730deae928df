/* SPDX-License-Identifier: MIT */
/*
 * The load: clients of an echo server, or of a relay to one, on a port of this host, all on one
 * epoll loop.
 *
 *     ping CONNECTIONS MESSAGES SIZE   round trips; each connection keeps one message under way
 *     bulk BYTES [CONNECTIONS]         as fast as it goes, both directions at once
 *     upload BYTES LISTENER            as fast as it goes, one way: the load is the upstream too,
 *     download BYTES LISTENER          and accepts the relay on this inherited descriptor
 *     connect CONNECTIONS TOTAL        new connections, a byte forth and back on each
 *     fan MEMBERS MESSAGES SIZE        of a hub: one member sends, the next message when all have
 * it idle CONNECTIONS                 nothing, but the connections are open
 *
 * Opens its connections, each of which has got a first byte across by then, and says "ready". Then
 * does a round of its work for each line of standard input, and says "ready" after each: what the
 * server does between two of these is that work and nothing else. Ends with its input. Every byte
 * is accounted for: exit status 1 when one is missing, too many or, for ping, wrong.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define MESSAGE_BYTES \
        (64 * 1024) /* the most that the socket buffers hold, so that send() does not block */
#define EVENTS_MAX 256

struct connection {
        int fd;
        uint64_t to_send, to_receive; /* of this round, or of this message */
};

struct load;

struct mode {
        const char *name, *arguments;
        void (*open)(struct load *load);
        void (*begin)(struct load *load, struct connection *c); /* begins a round */
        void (*go_on)(struct load *load, struct connection *c, uint32_t ready);
};

struct load {
        const struct mode *mode;
        struct connection *connections;
        size_t n, busy;
        uint64_t messages, bytes, size; /* the extent of a round, and the size of a message */
        uint64_t messages_left;
        size_t waiting; /* members of a hub that have not received the whole message */
        int epoll, listener;
        uint16_t port;
};

static uint8_t pattern[BUFFER_BYTES], received[BUFFER_BYTES];

static void fail(const char *what, const char *why)
{
        (void)fprintf(stderr, "bench-load: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

/* Return: how many bytes were received; 0: none at present. */
static size_t receive_some(const struct connection *c, size_t max, int flags)
{
        ssize_t n = recv(c->fd, received, max, flags);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                fail("recv", n < 0 ? strerror(errno) : "end of stream");
        return (size_t)n;
}

/* Return: how many bytes were sent; 0: none at present. */
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

/* Opening */

static void connection_open(const struct load *load, struct connection *c)
{
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(load->port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        /*
         * Closes with a reset: thousands of sockets in TIME_WAIT would use up the ports of later
         * runs.
         */
        const struct linger reset = { .l_onoff = 1 };
        const int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
                fail("connect", strerror(errno));
        wait_for(load, c, EPOLLIN, EPOLL_CTL_ADD);
}

/* Exchanges a first byte, so that everything in between has been opened. */
static void greet(const struct connection *from, const struct connection *to)
{
        if (send_some(from, 1, 0) != 1 || receive_some(to, sizeof(received), 0) != 1)
                fail("connect", "no first byte");
}

static void echo_open(struct load *load)
{
        for (size_t i = 0; i < load->n; i++) {
                connection_open(load, &load->connections[i]);
                greet(&load->connections[i], &load->connections[i]);
        }
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

/* Bulk. Reading comes first, so that the two sides never wait for each other with full buffers. */

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

        if (n > 0 && c->to_send + n > c->to_receive)
                fail("bulk", "more than was sent");
        c->to_receive -= n;
        if (n > 0 && c->to_receive == 0)
                load->busy--;
        else if (ready & EPOLLOUT)
                bulk_send(load, c);
}

/* One way: one end of a relayed connection sends, and the other receives. */

enum { CLIENT, UPSTREAM, ENDS };

static void ends_open(struct load *load)
{
        struct connection *c = load->connections;

        connection_open(load, &c[CLIENT]);
        c[UPSTREAM].fd = accept4(load->listener, NULL, NULL, SOCK_CLOEXEC);
        if (c[UPSTREAM].fd < 0)
                fail("accept", strerror(errno));
        wait_for(load, &c[UPSTREAM], EPOLLIN, EPOLL_CTL_ADD);
        greet(&c[CLIENT], &c[UPSTREAM]);
}

static void end_begin(struct load *load, struct connection *c, bool sends)
{
        c->to_send = sends ? load->bytes : 0;
        c->to_receive = sends ? 0 : load->bytes;
        load->busy -= sends; /* the round ends when everything has been received */
        wait_for(load, c, sends ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static void upload_begin(struct load *load, struct connection *c)
{
        end_begin(load, c, c == &load->connections[CLIENT]);
}

static void download_begin(struct load *load, struct connection *c)
{
        end_begin(load, c, c == &load->connections[UPSTREAM]);
}

/* Connect */

static void connect_open(struct load *load)
{
        (void)load; /* a round opens the connections */
}

static void connect_begin(struct load *load, struct connection *c)
{
        if (load->messages_left == 0) {
                load->busy--;
                return;
        }
        load->messages_left--;
        connection_open(load, c);
        if (send_some(c, 1, 0) != 1)
                fail("send", "interrupted");
}

static void connect_go_on(struct load *load, struct connection *c, uint32_t ready)
{
        (void)ready;
        if (receive_some(c, sizeof(received), 0) != 1)
                fail("connect", "not what was sent");
        (void)close(c->fd);
        connect_begin(load, c);
}

/* Fan */

/* Each member sends one byte, so that all members have joined when the last byte has arrived. */
static void fan_open(struct load *load)
{
        for (size_t i = 0; i < load->n; i++) {
                connection_open(load, &load->connections[i]);
                if (i > 0 && send_some(&load->connections[i], 1, 0) != 1)
                        fail("send", "interrupted");
                for (size_t j = 0; j < i; j++)
                        if (receive_some(&load->connections[j], 1, 0) != 1)
                                fail("connect", "no first byte");
        }
}

static void fan_send(struct load *load)
{
        if (load->messages_left == 0) {
                load->busy = 0;
                return;
        }
        load->messages_left--;
        load->waiting = load->n - 1;
        for (size_t i = 1; i < load->n; i++)
                load->connections[i].to_receive = load->size;
        if (send_some(&load->connections[0], load->size, 0) < load->size)
                fail("send", "interrupted");
}

static void fan_begin(struct load *load, struct connection *c)
{
        if (c == &load->connections[load->n - 1])
                fan_send(load);
}

static void fan_go_on(struct load *load, struct connection *c, uint32_t ready)
{
        size_t n = receive_some(c, sizeof(received), MSG_DONTWAIT);

        (void)ready;
        if (n > c->to_receive || memcmp(received, pattern + load->size - c->to_receive, n) != 0)
                fail("fan", "not what was sent");
        c->to_receive -= n;
        if (n > 0 && c->to_receive == 0 && --load->waiting == 0)
                fan_send(load);
}

/* Idle */

static void idle_begin(struct load *load, struct connection *c)
{
        (void)c;
        load->busy--;
}

enum { PING, BULK, UPLOAD, DOWNLOAD, CONNECT, FAN, IDLE, MODES };

static const struct mode modes[MODES] = {
        [PING] = { "ping", "CONNECTIONS MESSAGES SIZE", echo_open, ping_begin, ping_go_on },
        [BULK] = { "bulk", "BYTES [CONNECTIONS]", echo_open, bulk_begin, bulk_go_on },
        [UPLOAD] = { "upload", "BYTES LISTENER", ends_open, upload_begin, bulk_go_on },
        [DOWNLOAD] = { "download", "BYTES LISTENER", ends_open, download_begin, bulk_go_on },
        [CONNECT] = { "connect", "CONNECTIONS TOTAL", connect_open, connect_begin, connect_go_on },
        [FAN] = { "fan", "MEMBERS MESSAGES SIZE", fan_open, fan_begin, fan_go_on },
        [IDLE] = { "idle", "CONNECTIONS", echo_open, idle_begin, NULL },
};

/* All modes */

static void load_open(struct load *load)
{
        load->epoll = epoll_create1(EPOLL_CLOEXEC);
        load->connections = calloc(load->n, sizeof(*load->connections));
        if (load->epoll < 0 || !load->connections)
                fail("start", strerror(errno));
        load->mode->open(load);
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
        if ((mode == &modes[PING] || mode == &modes[FAN]) && argc == 6) {
                load->n = number(argv[3], UINT16_MAX);
                load->messages = number(argv[4], UINT64_MAX);
                load->size = number(argv[5], MESSAGE_BYTES);
        } else if (mode == &modes[BULK] && argc <= 5) {
                load->bytes = number(argv[3], UINT64_MAX);
                load->n = argc == 5 ? number(argv[4], UINT16_MAX) : 1;
        } else if ((mode == &modes[UPLOAD] || mode == &modes[DOWNLOAD]) && argc == 5) {
                load->bytes = number(argv[3], UINT64_MAX);
                load->listener = (int)number(argv[4], INT_MAX);
                load->n = ENDS;
        } else if (mode == &modes[CONNECT] && argc == 5) {
                load->n = number(argv[3], UINT16_MAX);
                load->messages = number(argv[4], UINT64_MAX);
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
        load.port = (uint16_t)number(argv[1], UINT16_MAX);
        load_open(&load);
        (void)puts("ready");
        while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
                load_round(&load);
                (void)puts("ready");
        }
        return 0;
}
