/* SPDX-License-Identifier: MIT */
/* Connecting as in RFC 8305. A server with a full backlog is mute: Linux drops the SYN segments. */
#include "dial.h"
#include "loop.h"
#include "unit.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define DELAY_USEC (250 * USEC_PER_MSEC)

/* An address, and its server. */
struct server {
        struct address address;
        int fd;       /* bound, and perhaps listening */
        int fills[4]; /* connections that fill its backlog; -1: none */
};

static struct server servers[3];
static unsigned n_descriptors; /* open before the first test */

static void bind_to(struct server *server, const char *text)
{
        socklen_t length = sizeof(server->address.storage);

        *server = (struct server){ .fills = { -1, -1, -1, -1 } };
        assert_int_equal(address_parse(text, &server->address), 0);
        server->fd = socket(server->address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(server->fd >= 0);
        assert_int_equal(bind(server->fd, &server->address.sa, server->address.length), 0);
        if (server->address.sa.sa_family != AF_UNIX)
                assert_int_equal(getsockname(server->fd, &server->address.sa, &length), 0);
}

static void listen_on(struct server *server, const char *text)
{
        bind_to(server, text);
        assert_int_equal(listen(server->fd, 0), 0);
}

static void be_mute_on(struct server *server, const char *text)
{
        listen_on(server, text);
        for (size_t i = 0; i < ELEMENTS(server->fills); i++) {
                server->fills[i] = socket(server->address.sa.sa_family,
                                          SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                assert_true(server->fills[i] >= 0);
                (void)!connect(server->fills[i], &server->address.sa, server->address.length);
        }
}

static void empty_backlog(const struct server *server)
{
        for (size_t i = 0; i < ELEMENTS(server->fills); i++)
                closep(&server->fills[i]);
        assert_int_equal(close(accept(server->fd, NULL, NULL)), 0);
}

static void stop_server(struct server *server)
{
        closep(&server->fd);
        for (size_t i = 0; i < ELEMENTS(server->fills); i++)
                closep(&server->fills[i]);
}

/* Dials the first @n servers. */
static int dial_servers(size_t n, uint64_t deadline, struct address *reached)
{
        struct address addresses[ELEMENTS(servers)];
        int fd, on = 0, r;
        socklen_t length = sizeof(on);

        for (size_t i = 0; i < n; i++)
                addresses[i] = servers[i].address;
        r = dial(addresses, n, deadline, &fd, reached);
        if (r < 0)
                return r;
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        if (reached->sa.sa_family != AF_UNIX) {
                assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
                assert_true(on);
        }
        assert_int_equal(close(fd), 0);
        return 0;
}

static void assert_reaches(const struct server *server, size_t n)
{
        struct address reached;

        assert_int_equal(dial_servers(n, DIAL_NO_DEADLINE, &reached), 0);
        assert_true(address_equal(&reached, &server->address));
}

static void one_address(void **state)
{
        static const char *const texts[] = { "127.0.0.1:0", "[::1]:0" };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                listen_on(&servers[0], texts[i]);
                assert_reaches(&servers[0], 1);
                stop_server(&servers[0]);
        }
}

static void nobody_listens(void **state)
{
        struct address reached;

        (void)state;
        bind_to(&servers[0], "127.0.0.1:0");
        bind_to(&servers[1], "[::1]:0");
        assert_int_equal(dial_servers(2, DIAL_NO_DEADLINE, &reached), -ECONNREFUSED);
        stop_server(&servers[0]);
        stop_server(&servers[1]);
}

/* A refusal costs no delay, even while another address is tried: 62 would take 15 s. */
static void refused_addresses(void **state)
{
        struct address addresses[DIAL_ADDRESSES_MAX], reached;
        uint64_t began = now_usec();
        int fd;

        (void)state;
        be_mute_on(&servers[0], "127.0.0.1:0");
        bind_to(&servers[1], "127.0.0.2:0");
        listen_on(&servers[2], "127.0.0.3:0");
        for (size_t i = 0; i < ELEMENTS(addresses); i++)
                addresses[i] = servers[1].address;
        addresses[0] = servers[0].address;
        addresses[ELEMENTS(addresses) - 1] = servers[2].address;
        assert_int_equal(dial(addresses, ELEMENTS(addresses), DIAL_NO_DEADLINE, &fd, &reached), 0);
        assert_true(address_equal(&reached, &servers[2].address));
        assert_true(now_usec() - began < (ELEMENTS(addresses) - 2) * DELAY_USEC);
        assert_int_equal(close(fd), 0);
        for (size_t i = 0; i < 3; i++)
                stop_server(&servers[i]);
}

/* Other addresses are tried while a mute one may still answer. */
static void mute_addresses(void **state)
{
        uint64_t began = now_usec();

        (void)state;
        be_mute_on(&servers[0], "127.0.0.1:0");
        be_mute_on(&servers[1], "127.0.0.2:0");
        listen_on(&servers[2], "127.0.0.3:0");
        assert_reaches(&servers[2], 3);
        assert_true(now_usec() - began >= 2 * DELAY_USEC);
        for (size_t i = 0; i < 3; i++)
                stop_server(&servers[i]);
}

/* The second address works, but has the family of the first, so the third is tried before it. */
static void families_take_turns(void **state)
{
        (void)state;
        be_mute_on(&servers[0], "[::1]:0");
        listen_on(&servers[1], "[::1]:0");
        listen_on(&servers[2], "127.0.0.1:0");
        assert_reaches(&servers[2], 3);
        for (size_t i = 0; i < 3; i++)
                stop_server(&servers[i]);
}

/* Connections to a port of 127.0.0.1 that wait for an answer. */
static int count_unanswered(const struct address *address)
{
        _cleanup_(fclosep) FILE *file = fopen("/proc/net/tcp", "re");
        char line[256], wanted[32];
        int n = 0;

        assert_non_null(file);
        (void)snprintf(wanted, sizeof(wanted), " 0100007F:%04X 02 ", address_port(address));
        while (fgets(line, sizeof(line), file))
                n += strstr(line, wanted) != NULL;
        return n;
}

static int n_unanswered; /* before dial() */

/* Makes room in the first server's backlog when dial() has sent it a SYN. */
static void *answer_late(void *arg)
{
        while (count_unanswered(&servers[0].address) <= n_unanswered)
                (void)poll(NULL, 0, 1);
        empty_backlog(&servers[0]);
        return arg;
}

/* The first address may win even after attempts at others have begun. */
static void first_address_answers_late(void **state)
{
        pthread_t thread;

        (void)state;
        be_mute_on(&servers[0], "127.0.0.1:0");
        be_mute_on(&servers[1], "127.0.0.2:0");
        n_unanswered = count_unanswered(&servers[0].address);
        assert_int_equal(pthread_create(&thread, NULL, answer_late, NULL), 0);
        assert_reaches(&servers[0], 2);
        assert_int_equal(pthread_join(thread, NULL), 0);
        closep(&servers[0].fd);
        stop_server(&servers[1]);
}

static const char *unix_address(const char *name)
{
        static char text[sizeof(test_directory) + 32];

        (void)snprintf(text, sizeof(text), "unix:%s/%s", test_directory, name);
        return text;
}

static void never_connects(const char *text)
{
        struct address reached;
        uint64_t end;

        be_mute_on(&servers[0], text);
        end = now_usec() + DELAY_USEC / 2;
        assert_int_equal(dial_servers(1, end, &reached), -ETIMEDOUT);
        assert_true(now_usec() >= end);
        stop_server(&servers[0]);
}

static void deadline(void **state)
{
        (void)state;
        never_connects("127.0.0.1:0");
        never_connects(unix_address("full"));
        assert_int_equal(unlink("full"), 0);
}

static void *accept_all(void *arg)
{
        const struct server *server = arg;
        int fd;

        while ((fd = accept(server->fd, NULL, NULL)) >= 0)
                (void)close(fd);
        return NULL;
}

static void unix_sockets(void **state)
{
        const char *text = unix_address("socket");
        struct address reached;
        pthread_t thread;

        (void)state;
        assert_int_equal(address_parse(text, &servers[0].address), 0);
        assert_int_equal(dial_servers(1, DIAL_NO_DEADLINE, &reached), -ENOENT);
        be_mute_on(&servers[0], text);
        assert_int_equal(pthread_create(&thread, NULL, accept_all, &servers[0]), 0);
        assert_reaches(&servers[0], 1);
        assert_int_equal(shutdown(servers[0].fd, SHUT_RDWR), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        stop_server(&servers[0]);
}

static void on_alarm(int number)
{
        (void)number;
}

/* A signal arrives every millisecond, and its handler restarts no system call. */
static void interrupt(uint64_t interval_usec)
{
        const struct sigaction action = { .sa_handler = on_alarm };
        const struct itimerval timer = { .it_value = loop_timeval(interval_usec),
                                         .it_interval = loop_timeval(interval_usec) };

        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void interrupted(void **state)
{
        interrupt(USEC_PER_MSEC);
        one_address(state);
        mute_addresses(state);
        deadline(state);
        interrupt(0);
}

static void look_up(void **state)
{
        struct address addresses[DIAL_ADDRESSES_MAX];
        char text[ADDRESS_TEXT_SIZE];
        size_t n = 0;

        (void)state;
        assert_int_equal(dial_look_up("127.0.0.1:7", DIAL_NO_DEADLINE, addresses, &n), 0);
        assert_int_equal(n, 1);
        assert_string_equal(address_format(&addresses[0], text), "127.0.0.1:7");
        assert_int_equal(dial_look_up("localhost:7", now_usec() + DEADLINE_USEC, addresses, &n), 0);
        assert_true(n >= 1 && address_port(&addresses[0]) == 7);
        assert_int_equal(dial_look_up("localhost", DIAL_NO_DEADLINE, addresses, &n), -EINVAL);
}

/* Run last: no test has left a descriptor open. */
static void no_descriptor_left(void **state)
{
        (void)state;
        assert_int_equal(count_descriptors(), n_descriptors);
}

static int set_up(void **state)
{
        int r = enter_directory(state);

        n_descriptors = count_descriptors();
        return r;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_address),
                cmocka_unit_test(nobody_listens),
                cmocka_unit_test(refused_addresses),
                cmocka_unit_test(mute_addresses),
                cmocka_unit_test(families_take_turns),
                cmocka_unit_test(first_address_answers_late),
                cmocka_unit_test(deadline),
                cmocka_unit_test(unix_sockets),
                cmocka_unit_test(interrupted),
                cmocka_unit_test(look_up),
                cmocka_unit_test(no_descriptor_left),
        };

        return cmocka_run_group_tests(tests, set_up, leave_directory);
}
