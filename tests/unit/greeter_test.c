/* SPDX-License-Identifier: MIT */
/*
 * The greeter takes a header off the front of a client's stream, however the header arrives, and
 * not a byte more. It reports to its owner what comes instead of a header.
 */
#include "greeter.h"
#include "turning.h"

#include <errno.h>
#include <sys/ioctl.h>

#define HEADER  "PROXY TCP4 192.0.2.1 192.0.2.2 4242 443\r\n"
#define PAYLOAD "what the client says"

/* A client, its greeter, and what the greeter has reported. */
struct greeted {
        struct greeter *greeter;
        int client, server; /* the two ends of the connection */
        unsigned told;
        int error;
        struct proxy_header header;
        bool frees; /* whether on_done() frees the greeter */
};

static void on_done(void *arg, int error, const struct proxy_header *header)
{
        struct greeted *g = arg;

        g->told++;
        g->error = error;
        if (error == 0)
                g->header = *header;
        if (g->frees)
                g->greeter = greeter_free(g->greeter);
}

static void open_connection(struct greeted *g)
{
        int pair[2];

        tcp_pair(pair);
        *g = (struct greeted){ .server = pair[0], .client = pair[1] };
}

static void greet(struct greeted *g)
{
        assert_int_equal(greeter_new(loop, g->server, on_done, g, &g->greeter), 0);
}

static void say(const struct greeted *g, const void *data, size_t n)
{
        assert_int_equal(send(g->client, data, n, MSG_NOSIGNAL), n);
}

/* Return: how many bytes the server's socket has received that nobody has read. */
static size_t untaken(const struct greeted *g)
{
        int n = 0;

        assert_int_equal(ioctl(g->server, FIONREAD, &n), 0);
        return (size_t)n;
}

/* Frees the greeter, which leaves the socket open, and closes both ends. */
static void close_connection(struct greeted *g)
{
        g->greeter = greeter_free(g->greeter);
        assert_int_equal(close(g->server), 0);
        if (g->client >= 0)
                assert_int_equal(close(g->client), 0);
}

static void expect_header(const struct greeted *g)
{
        struct address source, destination;

        assert_int_equal(g->told, 1);
        assert_int_equal(g->error, 0);
        assert_int_equal(address_parse("192.0.2.1:4242", &source), 0);
        assert_int_equal(address_parse("192.0.2.2:443", &destination), 0);
        assert_int_equal(g->header.length, strlen(HEADER));
        assert_true(address_equal(&g->header.source, &source));
        assert_true(address_equal(&g->header.destination, &destination));
}

/* The stream behind the header is untouched. */
static void expect_payload(const struct greeted *g)
{
        char data[sizeof(PAYLOAD)];

        assert_int_equal(untaken(g), strlen(PAYLOAD));
        assert_int_equal(recv(g->server, data, sizeof(data), 0), strlen(PAYLOAD));
        assert_memory_equal(data, PAYLOAD, strlen(PAYLOAD));
}

/* A greeter calls its owner once, whatever the client does later. */
static void expect_silence(struct greeted *g)
{
        (void)send(g->client, "x", 1, MSG_NOSIGNAL);
        turn_a_while();
        assert_int_equal(g->told, 1);
}

/* The header has arrived before the greeter is made. on_done() is not called within greeter_new().
 */
static void header_and_payload_at_once(void **state)
{
        struct greeted g;

        (void)state;
        open_connection(&g);
        say(&g, HEADER PAYLOAD, strlen(HEADER PAYLOAD));
        greet(&g);
        assert_int_equal(g.told, 0);
        g.frees = true;
        turn_until(g.told);
        expect_header(&g);
        assert_null(g.greeter);
        expect_payload(&g);
        expect_silence(&g);
        close_connection(&g);
}

/* Each byte of the header arrives alone, the last one with the payload. */
static void byte_by_byte(void **state)
{
        size_t last = strlen(HEADER) - 1;
        struct greeted g;

        (void)state;
        open_connection(&g);
        g.frees = true;
        greet(&g);
        for (size_t i = 0; i < last; i++) {
                say(&g, &HEADER[i], 1);
                turn_until(untaken(&g) == 0); /* otherwise the loop would spin */
                assert_int_equal(g.told, 0);
        }
        say(&g, &(HEADER PAYLOAD)[last], 1 + strlen(PAYLOAD));
        turn_until(g.told);
        expect_header(&g);
        expect_payload(&g);
        close_connection(&g);
}

/* The longest header that is accepted. A TLV fills it up. */
static void longest_header(void **state)
{
        static uint8_t data[PROXY_PARSE_MAX + sizeof(PAYLOAD)] =
                "\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf0" /* 4080 bytes follow */
                "\xc0\0\2\1\xc0\0\2\2\x10\x92\x01\xbb" /* HEADER's addresses and ports */
                "\xe0\x0f\xe1";                        /* a TLV of 4065 bytes */
        struct greeted g;

        (void)state;
        memcpy(data + PROXY_PARSE_MAX, PAYLOAD, sizeof(PAYLOAD));
        open_connection(&g);
        g.frees = true;
        greet(&g);
        say(&g, data, PROXY_PARSE_MAX + strlen(PAYLOAD));
        turn_until(g.told);
        assert_int_equal(g.error, 0);
        assert_int_equal(g.header.length, PROXY_PARSE_MAX);
        assert_int_equal(address_port(&g.header.source), 4242);
        expect_payload(&g);
        close_connection(&g);
}

static void no_header(void **state)
{
        static const struct {
                const char *data;
                size_t n;
                int error;
        } cases[] = {
                { "GET / HTTP/1.1\r\n", 16, -EPROTO },
                { "x", 1, -EPROTO },
                { "PROXY TCP4 192.0.2.1 192.0.2.2 4242 65536\r\n", 43, -EPROTO },
                /* 4081 bytes follow, one too many. */
                { "\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf1", 16, -EMSGSIZE },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct greeted g;

                open_connection(&g);
                g.frees = true;
                greet(&g);
                say(&g, cases[i].data, cases[i].n);
                turn_until(g.told);
                assert_int_equal(g.error, cases[i].error);
                expect_silence(&g);
                close_connection(&g);
        }
}

/* The client ends or resets its stream, before the header or within it. */
static void client_leaves(void **state)
{
        static const struct linger reset = { .l_onoff = 1 };

        (void)state;
        for (size_t n = 0; n < strlen(HEADER); n += strlen(HEADER) - 1) {
                struct greeted ends, resets;

                open_connection(&ends);
                open_connection(&resets);
                ends.frees = resets.frees = true;
                greet(&ends);
                greet(&resets);
                if (n) {
                        say(&ends, HEADER, n);
                        say(&resets, HEADER, n);
                        turn_until(untaken(&ends) == 0 && untaken(&resets) == 0);
                }
                assert_int_equal(ends.told + resets.told, 0);
                assert_int_equal(shutdown(ends.client, SHUT_WR), 0);
                assert_int_equal(setsockopt(resets.client, SOL_SOCKET, SO_LINGER, &reset,
                                            sizeof(reset)),
                                 0);
                assert_int_equal(close(resets.client), 0);
                resets.client = -1;
                turn_until(ends.told && resets.told);
                assert_int_equal(ends.error, -ENODATA);
                assert_int_equal(resets.error, -ECONNRESET);
                close_connection(&ends);
                close_connection(&resets);
        }
}

/* A greeter that is freed calls nobody, and unread bytes stay in the socket. */
static void freed_before_the_header(void **state)
{
        struct greeted g;

        (void)state;
        open_connection(&g);
        greet(&g);
        turn();
        say(&g, HEADER PAYLOAD, strlen(HEADER PAYLOAD));
        g.greeter = greeter_free(g.greeter);
        turn_a_while();
        assert_int_equal(g.told, 0);
        assert_int_equal(untaken(&g), strlen(HEADER PAYLOAD));
        close_connection(&g);
        assert_null(greeter_free(NULL));
}

/* Fires GREETER_TIMEOUT_USEC after the slow client's byte. */
static struct timer marker;
static const struct greeted *slow_client;
static bool marked, told_before;

static void on_marker(struct timer *timer)
{
        (void)timer;
        marked = true;
        told_before = slow_client->told;
}

/*
 * The time-out covers the whole header: a byte does not extend it. A header that arrived in time is
 * accepted, even if the loop reads it late.
 */
static void too_slow(void **state)
{
        uint64_t began = now_usec();
        struct greeted silent, slow, punctual;

        (void)state;
        open_connection(&silent);
        open_connection(&slow);
        open_connection(&punctual);
        silent.frees = slow.frees = punctual.frees = true;
        greet(&silent);
        greet(&slow);
        greet(&punctual);
        turn_until(now_usec() > began + USEC_PER_SEC / 2);
        slow_client = &slow;
        timer_init(&marker, loop_timers(loop), on_marker);
        assert_int_equal(timer_set(&marker, now_usec() + GREETER_TIMEOUT_USEC), 0);
        say(&slow, HEADER, 1);

        turn_until(now_usec() > began + GREETER_TIMEOUT_USEC * 6 / 10);
        assert_int_equal(silent.told + slow.told, 0);
        say(&punctual, HEADER PAYLOAD, strlen(HEADER PAYLOAD));
        while (now_usec() < began + GREETER_TIMEOUT_USEC + 10 * USEC_PER_MSEC)
                (void)usleep(1000);

        turn_until(silent.told && slow.told && punctual.told);
        assert_int_equal(silent.error, -ETIMEDOUT);
        assert_int_equal(slow.error, -ETIMEDOUT);
        expect_header(&punctual);
        expect_payload(&punctual);
        turn_until(marked);
        assert_true(told_before);
        close_connection(&silent);
        close_connection(&slow);
        close_connection(&punctual);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_loop, stop_loop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(header_and_payload_at_once),
                TEST(byte_by_byte),
                TEST(longest_header),
                TEST(no_header),
                TEST(client_leaves),
                TEST(freed_before_the_header),
        };
        const struct CMUnitTest slow[] = { TEST(too_slow) };

        return run_on_all_backends(tests) + cmocka_run_group_tests(slow, NULL, NULL);
}
