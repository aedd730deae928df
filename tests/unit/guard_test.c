/* SPDX-License-Identifier: MIT */
/* Requests of web pages are refused, and those of programs are not. */
#include "guard.h"
#include "unit.h"

static bool admits(const char *host, const char *origin, bool by_unix_socket)
{
        const struct guard_headers headers = { .host = host, .origin = origin };
        struct refusal refusal = { 0 };
        bool admitted = guard_admits(&headers, by_unix_socket, &refusal);

        assert_int_equal(refusal.status, admitted ? 0 : 403);
        return admitted;
}

static void test_hosts(void **state)
{
        static const char *const good[] = {
                NULL,          "127.0.0.1", "127.0.0.1:8474", "10.1.2.3:80",      "localhost",
                "LocalHost:1", "[::1]:1",   "[::1]",          "[fe80::1%eth0]:1", "localhost.",
        };
        static const char *const bad[] = {
                "",
                "example.com",
                "localhost.example.com",
                "toxiproxy:8474",
                "127.0.0.1.example.com",
                "127.0.0.1:x",
                "127.0.0.1:123456",
                "127.0.0.1 evil",
                "[::1",
                "[::1]x",
                "[::1]:x",
                "[evil]",
                "[0123456789012345678901234567890123456789012345678901234567890123456789]",
                "[]",
                "[",
                "::1",
                "localhost@evil",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(good); i++)
                if (!admits(good[i], NULL, false))
                        fail_msg("refused: %s", good[i]);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                if (admits(bad[i], NULL, false))
                        fail_msg("admitted: %s", bad[i]);
                assert_true(admits(bad[i], NULL, true));
        }
}

static void test_origins(void **state)
{
        (void)state;
        assert_true(admits("localhost:8474", "http://localhost:8474", false));
        assert_true(admits("[::1]:8474", "http://[::1]:8474", false));
        assert_false(admits("localhost:8474", "http://localhost", false));
        assert_false(admits("localhost:8474", "https://localhost:8474", false));
        assert_false(admits("localhost:8474", "http://example.com", false));
        assert_false(admits("localhost:8474", "null", false));
        assert_false(admits("localhost:8474", "", false));
        assert_false(admits(NULL, "http://localhost:8474", false));
        assert_false(admits("any", "http://example.com", true));
        assert_true(admits("any", "http://any", true));
}

static void test_browsers(void **state)
{
        struct guard_headers headers = { .host = "localhost", .user_agent = "Mozilla/5.0 (X11)" };
        struct refusal refusal;

        (void)state;
        assert_false(guard_admits(&headers, false, &refusal));
        assert_string_equal(refusal.words, "User agent not allowed");
        assert_false(guard_admits(&headers, true, &refusal));
        headers.user_agent = "curl/7.88 (like Mozilla/5.0)";
        assert_true(guard_admits(&headers, false, &refusal));
        headers.user_agent = "Mozilla";
        assert_true(guard_admits(&headers, false, &refusal));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_origins),
                cmocka_unit_test(test_browsers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
