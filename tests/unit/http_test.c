/* SPDX-License-Identifier: MIT */
/* The HTTP server: requests and answers, and clients that misbehave. */
#include "http.h"
#include "turning.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/un.h>

#define REQUEST_USEC (200 * USEC_PER_MSEC)
#define LONG_BODY    ((size_t)16 << 20) /* more than the sockets' buffers hold */

static struct http *http;
static struct sockaddr_in address;
static struct http_request *waiting; /* the request that waits for its answer */
static bool answer_later;
static size_t n_requests;

/* Answers with the method, the target and the body. */
static void answer(struct http_request *request)
{
        static const char *const methods[] = { "GET", "POST", "PATCH", "DELETE", "other" };
        char text[256];
        size_t n;
        const char *body = http_request_body(request, &n);

        (void)snprintf(text, sizeof(text), "%s %s %.*s", methods[http_request_method(request)],
                       http_request_target(request), n > 100 ? 0 : (int)n, body);
        http_answer(request, 200, "text/plain", text, strlen(text));
}

static void answer_at_length(struct http_request *request)
{
        static const char text[1 << 20];

        http_answer(request, 200, "text/plain", text, sizeof(text));
}

static void on_request(void *arg, struct http_request *request)
{
        assert_ptr_equal(arg, &http);
        n_requests++;
        if (answer_later)
                waiting = request;
        else if (strcmp(http_request_target(request), "/empty") == 0)
                http_answer(request, 405, NULL, NULL, 0);
        else if (strcmp(http_request_target(request), "/long") == 0)
                answer_at_length(request);
        else
                answer(request);
}

static int start(void **state)
{
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (start_loop(state) < 0)
                return -1;
        answer_later = false;
        n_requests = 0;
        address = (struct sockaddr_in){ .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
        assert_int_equal(listen(fd, 128), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        assert_int_equal(http_new(loop, REQUEST_USEC, on_request, &http, &http), 0);
        assert_int_equal(http_listen(http, fd), 0);
        return 0;
}

static int stop(void **state)
{
        http = http_free(http);
        return stop_loop(state);
}

static int dial(void)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
        return fd;
}

static void send_text(int fd, const char *text)
{
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The bytes that a client has received so far. */
struct received {
        char text[4096];
        size_t n;
        bool ended, reset;
};

/* Whether the client has received @text, or its end if @text is NULL. */
static bool receives(int fd, struct received *received, const char *text)
{
        ssize_t n =
                recv(fd, received->text + received->n, sizeof(received->text) - received->n - 1, 0);

        if (n > 0)
                received->n += (size_t)n;
        received->ended |= n == 0;
        received->reset |= n < 0 && errno == ECONNRESET;
        received->text[received->n] = '\0';
        return text ? strstr(received->text, text) != NULL : received->ended || received->reset;
}

static void test_requests(void **state)
{
        static const char *const requests[][2] = {
                { "GET /a?b HTTP/1.1\r\n\r\n", "GET /a?b " },
                { "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "POST /a hi" },
                { "POST /a HTTP/1.1\r\n\r\n", "POST /a " },
                { "POST /a%2Fb HTTP/1.1\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n"
                  "\r\n",
                  "POST /a%2Fb hi" },
                { "PATCH /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "PATCH /a " },
                { "DELETE /a HTTP/1.1\r\n\r\n", "DELETE /a " },
                { "PUT /a HTTP/1.1\r\n\r\n", "other /a " },
                { "BREW /a HTTP/1.1\r\n\r\n", "other /a " },
        };
        struct received received = { 0 };
        int fd = dial();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(requests); i++) {
                received.n = 0;
                send_text(fd, requests[i][0]);
                turn_until(receives(fd, &received, requests[i][1]));
                assert_memory_equal(received.text, "HTTP/1.1 200 OK\r\n", 17);
        }
        received.n = 0;
        send_text(fd, "HEAD /a HTTP/1.1\r\n\r\nGET /empty HTTP/1.1\r\n\r\n");
        turn_until(receives(fd, &received, "HTTP/1.1 405 Method Not Allowed\r\n"));
        assert_null(strstr(received.text, "other"));
        assert_null(strstr(received.text, "text/html"));
        close(fd);
}

static void test_pipelined_requests_and_half_close(void **state)
{
        struct received received = { 0 };
        int fd = dial();

        (void)state;
        send_text(fd, "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /3 "
                      "HTTP/1.1\r\n\r\n");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn_until(receives(fd, &received, NULL));
        assert_true(received.ended);
        assert_int_equal(count_words(received.text, "200 OK"), 3);
        assert_non_null(strstr(received.text, "GET /3 "));
        close(fd);
}

static void test_closing(void **state)
{
        static const char *const requests[] = {
                "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n",
                "GET /1 HTTP/1.1\r\nConnection: TE, Close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
                "GET /1 HTTP/1.0\r\n\r\n",
                "HEAD /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /2",
                "POST /1 HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
                "rubbish\r\n\r\n",
                "GET /1 HTTP/1.1\r\nrubbish\r\n\r\n",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(requests); i++) {
                struct received received = { 0 };
                int fd = dial();

                send_text(fd, requests[i]);
                turn_until(receives(fd, &received, NULL));
                assert_true(received.ended);
                assert_int_equal(count_words(received.text, "HTTP/1."), 1);
                close(fd);
        }
}

/*
 * A client that is answered while the socket of a refused client is still being read. The memory of
 * its connection may be that of the refused client's connection.
 */
static void test_after_a_refused_client(void **state)
{
        struct received refused = { 0 }, received = { 0 };
        int bad = dial(), good;
        uint64_t answered_usec;

        (void)state;
        send_text(bad, "rubbish\r\n\r\n");
        turn_until(receives(bad, &refused, NULL));
        good = dial();
        send_text(good, "GET /1 HTTP/1.1\r\n\r\n");
        turn_until(receives(good, &received, "GET /1 "));
        answered_usec = now_usec();
        close(bad);

        /* The client is idle now, so it has no deadline. */
        turn_until(now_usec() > answered_usec + 2 * REQUEST_USEC);
        send_text(good, "GET /2 HTTP/1.1\r\n\r\n");
        turn_until(receives(good, &received, "GET /2 ") || receives(good, &received, NULL));
        assert_false(received.ended || received.reset);
        close(good);
}

static void test_expectation(void **state)
{
        struct received received = { 0 };
        int fd = dial();

        (void)state;
        send_text(fd, "POST /1 HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        turn_until(receives(fd, &received, "HTTP/1.1 100 Continue\r\n\r\n"));
        send_text(fd, "hi");
        turn_until(receives(fd, &received, "POST /1 hi"));
        close(fd);
}

/* The answer arrives although the client keeps sending. */
static void test_long_bodies(void **state)
{
        static const char *const requests[] = {
                "POST /1 HTTP/1.1\r\nContent-Length: 16777216\r\n\r\n",
                "POST /1 HTTP/1.1\r\nContent-Length: 16777216\r\nExpect: 100-continue\r\n\r\n",
                "POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000000\r\n",
        };
        char *body = calloc(1, LONG_BODY);

        (void)state;
        for (size_t i = 0; i < ELEMENTS(requests); i++) {
                struct received received = { 0 };
                int fd = dial();
                size_t sent = 0;

                send_text(fd, requests[i]);
                while (sent < LONG_BODY) {
                        ssize_t n = send(fd, body + sent, LONG_BODY - sent, MSG_NOSIGNAL);

                        if (n < 0 && errno != EAGAIN)
                                fail_msg("sending fails: %s", strerror(errno));
                        sent += n > 0 ? (size_t)n : 0;
                        turn();
                }
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
                turn_until(receives(fd, &received, NULL));
                assert_true(received.ended);
                assert_memory_equal(received.text, "HTTP/1.1 413 ", 13);
                close(fd);
        }
        free(body);
        assert_int_equal(n_requests, 0);
}

static void test_longest_body(void **state)
{
        char *body = calloc(1, HTTP_BODY_MAX);
        struct received received = { 0 };
        size_t sent = 0;
        int fd = dial();

        (void)state;
        send_text(fd, "POST /1 HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n");
        while (sent < HTTP_BODY_MAX) {
                ssize_t n = send(fd, body + sent, HTTP_BODY_MAX - sent, MSG_NOSIGNAL);

                sent += n > 0 ? (size_t)n : 0;
                turn();
        }
        turn_until(receives(fd, &received, "POST /1 "));
        free(body);
        close(fd);
}

/* A byte from time to time does not extend the deadline of a request. */
static void test_dribbling(void **state)
{
        static const char *const starts[] = {
                "G",
                "GET / HTTP/1.1\r\nA:",
                "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(starts); i++) {
                struct received received = { 0 };
                uint64_t began = now_usec(), next = began;
                int fd = dial();

                send_text(fd, starts[i]);
                while (!receives(fd, &received, NULL)) {
                        assert_true(now_usec() < began + DEADLINE_USEC);
                        if (now_usec() >= next) {
                                (void)send(fd, "0", 1, MSG_NOSIGNAL);
                                next += 5 * USEC_PER_MSEC;
                        }
                        turn();
                }
                assert_true(now_usec() >= began + REQUEST_USEC);
                close(fd);
        }
        assert_int_equal(n_requests, 0);
}

/* A client that never reads its answers is closed. */
static void test_unread_answers(void **state)
{
        int fd = dial(), error = 0;
        socklen_t length = sizeof(error);

        (void)state;
        for (int i = 0; i < 20; i++)
                send_text(fd, "GET /long HTTP/1.1\r\n\r\n");
        turn_until(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error);
        assert_int_equal(error, ECONNRESET);
        assert_true(n_requests < 20);
        close(fd);
}

static void test_late_answers(void **state)
{
        struct received received = { 0 };
        int fd = dial(), other = dial();

        (void)state;
        answer_later = true;
        send_text(fd, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
        turn_until(waiting);
        answer_later = false;
        send_text(other, "GET /3 HTTP/1.1\r\n\r\n");
        turn_until(receives(other, &received, "GET /3"));
        received.n = 0;
        answer(waiting);
        turn_until(receives(fd, &received, "GET /2"));
        assert_non_null(strstr(received.text, "GET /1"));
        /* The client leaves before it gets its answer. */
        waiting = NULL;
        answer_later = true;
        send_text(fd, "GET /4 HTTP/1.1\r\n\r\n");
        turn_until(waiting);
        close(fd);
        turn_a_while();
        answer(waiting);
        turn_a_while();
        /* The server is freed before it has answered. */
        waiting = NULL;
        send_text(other, "GET /5 HTTP/1.1\r\n\r\n");
        turn_until(waiting);
        waiting = NULL;
        close(other);
}

/* A new client takes the place of the one that has been idle longest. */
static void test_many_idle_clients(void **state)
{
        struct received received[HTTP_CLIENTS_MAX + 1] = { 0 };
        int fds[HTTP_CLIENTS_MAX + 1];

        (void)state;
        for (size_t i = 0; i <= HTTP_CLIENTS_MAX; i++) {
                fds[i] = dial();
                send_text(fds[i], "GET /1 HTTP/1.1\r\n\r\n");
                turn_until(receives(fds[i], &received[i], "GET /1 "));
        }
        turn_until(receives(fds[0], &received[0], NULL));
        for (size_t i = 1; i <= HTTP_CLIENTS_MAX; i++) {
                received[i].n = 0;
                assert_false(receives(fds[i], &received[i], NULL));
                send_text(fds[i], "GET /2 HTTP/1.1\r\n\r\n");
                turn_until(receives(fds[i], &received[i], "GET /2 "));
        }
        for (size_t i = 0; i <= HTTP_CLIENTS_MAX; i++)
                close(fds[i]);
}

/* While all clients are busy, a new one waits. */
static void test_many_busy_clients(void **state)
{
        struct received received = { 0 };
        int fds[HTTP_CLIENTS_MAX], fd;

        (void)state;
        for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++) {
                fds[i] = dial();
                send_text(fds[i], "G");
        }
        turn_a_while();
        fd = dial();
        send_text(fd, "GET /1 HTTP/1.1\r\n\r\n");
        turn_a_while();
        assert_int_equal(n_requests, 0);
        close(fds[5]);
        turn_until(receives(fd, &received, "GET /1 "));
        close(fd);
        for (size_t i = 0; i < HTTP_CLIENTS_MAX; i++)
                if (i != 5)
                        close(fds[i]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
        const struct CMUnitTest tests[] = {
                TEST(test_requests),          TEST(test_pipelined_requests_and_half_close),
                TEST(test_closing),           TEST(test_after_a_refused_client),
                TEST(test_expectation),       TEST(test_long_bodies),
                TEST(test_longest_body),      TEST(test_dribbling),
                TEST(test_unread_answers),    TEST(test_late_answers),
                TEST(test_many_idle_clients), TEST(test_many_busy_clients),
        };

        return run_on_all_backends(tests);
}
