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
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_upstreams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
