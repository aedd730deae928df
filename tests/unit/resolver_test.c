/* SPDX-License-Identifier: MIT */
/*
 * The resolver, with a getaddrinfo(3) of the test's own. The look-up of a name that begins with
 * "stuck" blocks until the test releases it.
 */
#include "resolver.h"
#include "turning.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool is_open;
static _Atomic unsigned n_calls, n_stuck, n_returned;

static int take(const char *host, struct addrinfo **out)
{
        static struct sockaddr_in in[2] = {
                { .sin_family = AF_INET, .sin_addr = { 0x0100007f } },
                { .sin_family = AF_INET, .sin_addr = { 0x0200007f } },
        };
        struct addrinfo *found;

        if (strcmp(host, "unknown") == 0)
                return EAI_NONAME;
        if (strcmp(host, "memory") == 0)
                return EAI_MEMORY;
        errno = EMFILE;
        if (strcmp(host, "descriptors") == 0)
                return EAI_SYSTEM;
        *out = NULL;
        if (strcmp(host, "empty") == 0)
                return 0;
        found = calloc(2, sizeof(*found));
        if (!found)
                return EAI_MEMORY;
        for (size_t i = 0; i < 2; i++)
                found[i] = (struct addrinfo){ .ai_addr = (struct sockaddr *)&in[i],
                                              .ai_addrlen = sizeof(in[i]),
                                              .ai_next = i == 0 ? &found[1] : NULL };
        *out = found;
        return 0;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
        int r;

        (void)port;
        (void)hints;
        (void)pthread_mutex_lock(&gate);
        n_calls++;
        if (strncmp(host, "stuck", strlen("stuck")) == 0) {
                n_stuck++;
                while (!is_open)
                        (void)pthread_cond_wait(&opened, &gate);
                n_stuck--;
        }
        (void)pthread_mutex_unlock(&gate);
        r = take(host, out);
        n_returned++;
        return r;
}

void freeaddrinfo(struct addrinfo *found)
{
        free(found);
}

static void set_open(bool open)
{
        (void)pthread_mutex_lock(&gate);
        is_open = open;
        (void)pthread_cond_broadcast(&opened);
        (void)pthread_mutex_unlock(&gate);
}

static struct resolver *resolver;
static struct asker asker;

static unsigned tasks; /* the process's threads without those of a resolver */

static int start(void **state)
{
        /* A thread of the previous test may still be ending. */
        for (uint64_t end = now_usec() + DEADLINE_USEC; count_entries("/proc/self/task") > tasks;) {
                if (now_usec() > end)
                        return -1;
                (void)usleep(1000);
        }
        n_calls = 0;
        n_returned = 0;
        set_open(false);
        if (start_loop(state) < 0 || loop_open_posts(loop) < 0 || resolver_new(&resolver) < 0)
                return -1;
        asker_init(&asker, resolver, loop);
        return 0;
}

static int stop(void **state)
{
        resolver = resolver_free(resolver);
        return stop_loop(state);
}

/* A client that asks for a name. */
struct client {
        struct query *query;
        struct client *frees; /* freed when this one's answer is reported */
        unsigned told;
};

static void on_answer(void *arg)
{
        struct client *client = arg;

        client->told++;
        assert_true(query_is_answered(client->query));
        if (client->frees)
                client->frees->query = query_free(client->frees->query);
}

static void client_ask(struct client *client, const char *host)
{
        client->told = 0;
        assert_int_equal(query_new(&asker, host, on_answer, client, &client->query), 0);
}

static int client_error(const struct client *client)
{
        const struct address *addresses;
        size_t n;

        return query_addresses(client->query, &addresses, &n);
}

/* Asks, and waits for the answer. Return: the error. */
static int ask_and_wait(const char *host)
{
        struct client client = { 0 };
        int r;

        client_ask(&client, host);
        turn_until(query_is_answered(client.query));
        r = client_error(&client);
        query_free(client.query);
        return r;
}

static void addresses_in_order(void **state)
{
        const struct address *addresses = NULL;
        char text[ADDRESS_TEXT_SIZE];
        struct client client = { 0 };
        size_t n = 0;

        (void)state;
        client_ask(&client, "good");
        assert_false(query_is_answered(client.query));
        turn_until(client.told);
        assert_int_equal(query_addresses(client.query, &addresses, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(address_format(&addresses[0], text), "127.0.0.1:0");
        assert_string_equal(address_format(&addresses[1], text), "127.0.0.2:0");
        assert_null(query_free(client.query));
        assert_null(query_free(NULL));
}

static void failures(void **state)
{
        (void)state;
        assert_int_equal(ask_and_wait("unknown"), -EHOSTDOWN);
        assert_int_equal(ask_and_wait("memory"), -ENOMEM);
        assert_int_equal(ask_and_wait("descriptors"), -EMFILE);
        assert_int_equal(ask_and_wait("empty"), -EHOSTDOWN);
}

static void equal_questions_are_asked_once(void **state)
{
        struct client clients[200] = { 0 };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                client_ask(&clients[i], "stuck");
        turn_until(n_stuck == 1);
        turn_a_while();
        assert_int_equal(n_calls, 1);
        set_open(true);
        for (size_t i = 0; i < ELEMENTS(clients); i++)
                turn_until(clients[i].told);
        turn_a_while();
        for (size_t i = 0; i < ELEMENTS(clients); i++) {
                assert_int_equal(clients[i].told, 1);
                assert_int_equal(client_error(&clients[i]), 0);
                query_free(clients[i].query);
        }
        assert_int_equal(n_calls, 1);
}

static void answers_are_shared_for_a_while(void **state)
{
        static const struct {
                const char *host;
                uint64_t usec;
        } cases[] = { { "good", RESOLVER_SHARED_USEC }, { "unknown", RESOLVER_FAILED_USEC } };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t before = now_usec(), asked_anew;
                struct client client = { 0 };
                unsigned calls = n_calls;

                do {
                        asked_anew = now_usec();
                        (void)ask_and_wait(cases[i].host);
                } while (n_calls < calls + 2);
                assert_true(now_usec() - before >= cases[i].usec);
                assert_true(asked_anew - before < cases[i].usec + DEADLINE_USEC);
                /* a shared answer is returned at once, without a callback */
                client_ask(&client, cases[i].host);
                assert_true(query_is_answered(client.query));
                turn_a_while();
                assert_int_equal(client.told, 0);
                query_free(client.query);
        }
}

/* A client that has given up is not called. Others get the answer. */
static void query_given_up(void **state)
{
        struct client gone = { 0 }, other = { 0 };

        (void)state;
        client_ask(&gone, "stuck");
        turn_until(n_stuck == 1);
        query_free(gone.query);
        set_open(true);
        turn_until(n_returned == 1);
        client_ask(&other, "stuck");
        turn_until(query_is_answered(other.query));
        assert_int_equal(n_calls, 1);
        assert_int_equal(gone.told, 0);
        query_free(other.query);
}

/* The callback of one client frees another one whose answer has arrived too. */
static void query_freed_by_another(void **state)
{
        struct client first = { 0 }, second = { 0 };

        (void)state;
        first.frees = &second;
        client_ask(&first, "stuck");
        client_ask(&second, "stuck");
        set_open(true);
        turn_until(first.told);
        turn_a_while();
        assert_int_equal(second.told, 0);
        query_free(first.query);
}

static void query_freed_before_it_is_told(void **state)
{
        struct client client = { 0 };

        (void)state;
        client_ask(&client, "good");
        while (n_returned == 0)
                (void)usleep(1000);
        query_free(client.query); /* the loop has not turned since then, so it may or may not have
                                     been called */
        turn_a_while();
        assert_int_equal(client.told, 0);
}

/* All threads are stuck. Further names wait, and are not looked up if nobody asks any more. */
static void bound(void **state)
{
        struct client stuck[RESOLVER_THREADS] = { 0 }, behind[8] = { 0 }, same = { 0 };
        char host[32];

        (void)state;
        for (unsigned i = 0; i < RESOLVER_THREADS; i++) {
                /* When one thread is free, another name is looked up. */
                if (i == RESOLVER_THREADS - 1)
                        assert_int_equal(ask_and_wait("good"), 0);
                (void)snprintf(host, sizeof(host), "stuck%u", i);
                client_ask(&stuck[i], host);
        }
        turn_until(n_stuck == RESOLVER_THREADS);
        for (unsigned i = 0; i < ELEMENTS(behind); i++) {
                (void)snprintf(host, sizeof(host), "behind%u", i);
                client_ask(&behind[i], host);
        }
        client_ask(&same, "stuck0"); /* needs no thread of its own */
        turn_a_while();
        assert_int_equal(n_calls, RESOLVER_THREADS + 1);
        assert_int_equal(count_entries("/proc/self/task") - tasks, RESOLVER_THREADS);
        for (size_t i = 1; i < ELEMENTS(behind); i++)
                query_free(behind[i].query);
        set_open(true);
        turn_until(behind[0].told && same.told);
        for (size_t i = 0; i < RESOLVER_THREADS; i++) {
                turn_until(stuck[i].told);
                query_free(stuck[i].query);
        }
        assert_int_equal(n_calls, RESOLVER_THREADS + 2);
        query_free(behind[0].query);
        query_free(same.query);
}

static void threads_end_when_idle(void **state)
{

        (void)state;
        assert_int_equal(ask_and_wait("good"), 0);
        assert_int_equal(count_entries("/proc/self/task") - tasks, 1);
        turn_until(count_entries("/proc/self/task") == tasks);
        assert_int_equal(ask_and_wait("good"), 0); /* and threads start again */
        resolver = resolver_free(resolver);
        turn_until(count_entries("/proc/self/task") == tasks);
}

/* The resolver does not wait for a look-up that hangs. Its thread ends later. */
static void freed_while_a_look_up_hangs(void **state)
{
        struct client client = { 0 };

        (void)state;
        assert_int_equal(ask_and_wait("good"), 0); /* its thread is idle then */
        client_ask(&client, "stuck");
        turn_until(n_stuck == 1);
        query_free(client.query);
        resolver = resolver_free(resolver);
        turn_until(count_entries("/proc/self/task") <= tasks + 1);
        set_open(true);
        turn_until(count_entries("/proc/self/task") == tasks);
        assert_null(resolver_free(NULL));
}

static void *nothing(void *arg)
{
        return arg;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(addresses_in_order),
                TEST(failures),
                TEST(equal_questions_are_asked_once),
                TEST(answers_are_shared_for_a_while),
                TEST(query_given_up),
                TEST(query_freed_by_another),
                TEST(query_freed_before_it_is_told),
                TEST(bound),
                TEST(freed_while_a_look_up_hangs),
        };
        const struct CMUnitTest slow[] = { TEST(threads_end_when_idle) };
        pthread_t thread;

        /* ThreadSanitizer starts a thread of its own with the first thread. */
        if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
                return 1;
        tasks = count_entries("/proc/self/task");
        return run_on_all_backends(tests) + cmocka_run_group_tests(slow, NULL, NULL);
}
