/* SPDX-License-Identifier: MIT */
/* Addresses as toxiproxy's clients write them. */
#include "endpoint.h"
#include "unit.h"

#include <errno.h>

/* Whether @text means @address, as address_format() writes it. */
static bool listens(const char *text, const char *address)
{
        struct address found;
        char shown[ADDRESS_TEXT_SIZE];
        int r = endpoint_parse_listen(text, &found);

        if (r == 0 && strcmp(address_format(&found, shown), address) == 0)
                return true;
        print_error("\"%s\" gives %d, %s\n", text, r, r == 0 ? shown : "");
        return false;
}

static void test_listen(void **state)
{
        static const char *const bad[] = {
                "nonsense", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1",
                "name:80",  "[::1",      "::1:80",          "unix:",       "unix:relative",
                ":123456",
        };
        struct address address;

        (void)state;
        assert_true(listens("", "*:0"));
        assert_true(listens(":", "*:0"));
        assert_true(listens(":80", "*:80"));
        assert_true(listens("*:80", "*:80"));
        assert_true(listens("0.0.0.0:80", "*:80"));
        assert_true(listens("[::]:80", "*:80"));
        assert_true(listens("localhost:0", "127.0.0.1:0"));
        assert_true(listens("LocalHost:80", "127.0.0.1:80"));
        assert_true(listens("10.0.0.1:80", "10.0.0.1:80"));
        assert_true(listens("[::1]:80", "[::1]:80"));
        assert_true(listens("unix:/a", "unix:/a"));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (endpoint_parse_listen(bad[i], &address) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

static void test_names(void **state)
{
        static const char *const none[] = {
                "",           "name",      "127.0.0.1:80", "1.2.3:80", "[::1]:80", "localhost:80",
                "unix:/a:80", "name:http", "a b:80",       ":80",
        };
        char host[ENDPOINT_HOST_SIZE], longest[ENDPOINT_HOST_SIZE + 4];
        uint16_t port;

        (void)state;
        assert_true(endpoint_split_name("a-b.example:80", host, &port));
        assert_string_equal(host, "a-b.example");
        assert_int_equal(port, 80);
        for (size_t i = 0; i < ELEMENTS(none); i++)
                if (endpoint_split_name(none[i], host, &port))
                        fail_msg("a name: %s", none[i]);
        memset(longest, 'a', sizeof(longest));
        memcpy(longest + ENDPOINT_HOST_SIZE - 1, ":1", 3);
        assert_true(endpoint_split_name(longest, host, &port));
        memset(longest, 'a', sizeof(longest));
        memcpy(longest + ENDPOINT_HOST_SIZE, ":1", 3);
        assert_false(endpoint_split_name(longest, host, &port));
}

static void test_format(void **state)
{
        static const char *const texts[][2] = {
                { ":80", "[::]:80" },
                { "127.0.0.1:80", "127.0.0.1:80" },
                { "[::1]:80", "[::1]:80" },
                { "unix:/a", "unix:/a" },
        };
        char shown[ADDRESS_TEXT_SIZE];
        struct address address;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                assert_int_equal(endpoint_parse_listen(texts[i][0], &address), 0);
                assert_string_equal(endpoint_format_listen(&address, shown), texts[i][1]);
        }
}

static void test_upstreams(void **state)
{
        static const char *const bad[] = {
                "nonsense", "name:", "name:x", "name:65536", "na me:80",
                "*:80",     "unix:", "[::1]",  "",
        };
        struct upstream upstream;
        char shown[ADDRESS_TEXT_SIZE];

        (void)state;
        assert_int_equal(endpoint_parse_upstream("name.example:80", &upstream), 0);
        assert_string_equal(upstream.text, "name.example:80");
        assert_string_equal(upstream.host, "name.example");
        assert_int_equal(upstream.port, 80);
        upstream_deinit(&upstream);
        assert_int_equal(endpoint_parse_upstream("[::1]:80", &upstream), 0);
        assert_null(upstream.host);
        assert_string_equal(address_format(&upstream.address, shown), "[::1]:80");
        upstream_deinit(&upstream);
        assert_int_equal(endpoint_parse_upstream(":80", &upstream), 0);
        assert_string_equal(upstream.text, ":80");
        assert_string_equal(address_format(&upstream.address, shown), "127.0.0.1:80");
        upstream_deinit(&upstream);
        assert_int_equal(endpoint_parse_upstream("unix:/a\n", &upstream), 0);
        assert_string_equal(upstream.text, "unix:/a\\n");
        upstream_deinit(&upstream);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (endpoint_parse_upstream(bad[i], &upstream) != -EINVAL)
                        fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listen),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_upstreams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
