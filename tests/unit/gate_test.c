/* SPDX-License-Identifier: MIT */
/*
 * The gate: its limit, and its log lines about clients that were turned away, read from standard
 * error.
 */
#include "gate.h"
#include "turning.h"

static struct gate *gate;
static int saved_stderr = -1, capture = -1;

static int make_gate(void **state)
{
        char path[] = "/tmp/selectd-XXXXXX";

        if (start_loop(state) < 0)
                return -1;
        capture = mkstemp(path);
        if (capture < 0 || unlink(path) < 0)
                return -1;
        (void)fflush(stderr);
        saved_stderr = dup(STDERR_FILENO);
        if (saved_stderr < 0 || dup2(capture, STDERR_FILENO) < 0)
                return -1;
        return gate_new(loop, &gate);
}

static int drop_gate(void **state)
{
        if (dup2(saved_stderr, STDERR_FILENO) < 0 || close(saved_stderr) < 0 || close(capture) < 0)
                return -1;
        gate = gate_free(gate);
        return stop_loop(state);
}

/* Return: the log lines since the last call. */
static const char *logged(void)
{
        static char text[8192];
        ssize_t n = pread(capture, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        (void)!ftruncate(capture, 0);
        (void)lseek(capture, 0, SEEK_SET);
        return text;
}

static void turn_away(const char *service, const char *client)
{
        char reason[GATE_REASON_SIZE];

        gate_turn_away(gate, service, client, gate_reason(gate, reason));
}

static void limit(void **state)
{
        (void)state;
        assert_true(gate_admits(gate, 1000000));
        gate_set_limit(gate, 2, "max_connections");
        assert_true(gate_admits(gate, 0));
        assert_true(gate_admits(gate, 1));
        assert_false(gate_admits(gate, 2));
        assert_false(gate_admits(gate, 3));
        gate_report(gate);
        assert_string_equal(logged(), "");
}

static void one_record_for_many(void **state)
{
        (void)state;
        gate_set_limit(gate, 2, "max_connections");
        turn_away("echo", "127.0.0.1:1");
        gate_report(gate);
        assert_string_equal(logged(), "echo: 127.0.0.1:1 turned away: the limit is 2, set by "
                                      "max_connections\n");
        turn_away("echo", "127.0.0.1:1");
        turn_away("echo", "127.0.0.1:2");
        gate_report(gate);
        assert_string_equal(logged(), "echo: 127.0.0.1:2 and 1 other connection turned away: the "
                                      "limit is 2, set by max_connections\n");
        for (int i = 0; i < 1000; i++)
                turn_away("echo", "127.0.0.1:3");
        gate_report(gate);
        assert_string_equal(logged(), "echo: 127.0.0.1:3 and 999 other connections turned away: "
                                      "the limit is 2, set by max_connections\n");
        gate_report(gate);
        assert_string_equal(logged(), "");
}

/* The line has the limit that turned the clients away, not a later one. */
static void the_limit_of_then(void **state)
{
        (void)state;
        gate_set_limit(gate, 3, "max_connections");
        turn_away("echo", "127.0.0.1:1");
        gate_set_limit(gate, 100, "max_connections");
        turn_away("echo", "127.0.0.1:2");
        turn_away("db", "127.0.0.1:3");
        gate_turn_away(gate, "echo", "127.0.0.1:4", "Cannot allocate memory");
        gate_report(gate);
        assert_string_equal(logged(), "echo: 127.0.0.1:1 turned away: the limit is 3, set by "
                                      "max_connections\n"
                                      "echo: 127.0.0.1:2 turned away: the limit is 100, set by "
                                      "max_connections\n"
                                      "db: 127.0.0.1:3 turned away: the limit is 100, set by "
                                      "max_connections\n"
                                      "echo: 127.0.0.1:4 turned away: Cannot allocate memory\n");
}

/* With many services there are still few lines, and every client is counted. */
static void many_services(void **state)
{
        char name[16], client[16];
        const char *text, *line;
        size_t n_lines = 0;

        (void)state;
        gate_set_limit(gate, 2, "max_connections");
        for (int i = 0; i < 100; i++) {
                (void)snprintf(name, sizeof(name), "s%d", i);
                (void)snprintf(client, sizeof(client), "10.0.0.%d:7", i);
                turn_away(name, client);
        }
        gate_report(gate);
        text = logged();
        for (line = text; *line; line = strchr(line, '\n') + 1)
                n_lines++;
        assert_int_equal(n_lines, 9);
        assert_non_null(strstr(text, "\nturned away 92 connections more, of other services or for "
                                     "other reasons, the last one from 10.0.0.99:7\n"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(limit, make_gate, drop_gate),
                cmocka_unit_test_setup_teardown(one_record_for_many, make_gate, drop_gate),
                cmocka_unit_test_setup_teardown(the_limit_of_then, make_gate, drop_gate),
                cmocka_unit_test_setup_teardown(many_services, make_gate, drop_gate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
