/* SPDX-License-Identifier: MIT */
/* Addresses: parsing, formatting and comparing. */
#include "address.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

#define TEN      "123456789/"
#define PATH_107 "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456"

#define UNTOUCHED 0xaa

static bool is_untouched(const struct address *address)
{
        const uint8_t *bytes = (const uint8_t *)address;

        for (size_t i = 0; i < sizeof(*address); i++)
                if (bytes[i] != UNTOUCHED)
                        return false;
        return true;
}

static void parse_good(const char *text, struct address *address)
{
        memset(address, UNTOUCHED, sizeof(*address));
        if (address_parse(text, address) != 0)
                fail_msg("\"%s\" is refused", text);
}

static void good(void **state)
{
        static const struct {
                const char *text, *shown;
                int family;
                unsigned port;
        } cases[] = {
                { "127.0.0.1:8008", "127.0.0.1:8008", AF_INET, 8008 },
                { "0.0.0.0:0", "0.0.0.0:0", AF_INET, 0 },
                { "255.255.255.255:65535", "255.255.255.255:65535", AF_INET, 65535 },
                { "1.2.3.4:00080", "1.2.3.4:80", AF_INET, 80 },
                { "127.1:7", "127.0.0.1:7", AF_INET, 7 },
                { "[::1]:7", "[::1]:7", AF_INET6, 7 },
                { "[::]:0", "[::]:0", AF_INET6, 0 },
                { "[2001:DB8:0:0::1]:65535", "[2001:db8::1]:65535", AF_INET6, 65535 },
                { "[::ffff:1.2.3.4]:80", "1.2.3.4:80", AF_INET, 80 },
                { "*:8008", "*:8008", AF_INET6, 8008 },
                { "*:0", "*:0", AF_INET6, 0 },
                { "unix:/run/selectd/echo.sock", "unix:/run/selectd/echo.sock", AF_UNIX, 0 },
                { "unix:/a b:[7]", "unix:/a b:[7]", AF_UNIX, 0 },
                { "unix:/\001\"\xff", "unix:/\\x01\\\"\\xff", AF_UNIX, 0 },
                { "unix:" PATH_107, "unix:" PATH_107, AF_UNIX, 0 },
        };
        char text[ADDRESS_TEXT_SIZE];
        struct address a;

        (void)state;
        assert_int_equal(strlen(PATH_107), 107);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                parse_good(cases[i].text, &a);
                assert_int_equal(a.sa.sa_family, cases[i].family);
                assert_int_equal(address_port(&a), cases[i].port);
                assert_int_equal(a.any, cases[i].text[0] == '*');
                assert_ptr_equal(address_format(&a, text), text);
                assert_string_equal(text, cases[i].shown);
        }
}

static void bad(void **state)
{
        static const char *const texts[] = {
                /* not addresses */
                "",
                " ",
                ":",
                ":80",
                "*",
                "80",
                "127.0.0.1",
                "[::1]",
                "localhost:80",
                "echo",
                /* ports */
                "127.0.0.1:",
                "127.0.0.1:65536",
                "127.0.0.1:65543",
                "127.0.0.1:99999",
                "127.0.0.1:131072",
                "127.0.0.1:18446744073709551617",
                "127.0.0.1:-1",
                "127.0.0.1:+1",
                "127.0.0.1: 1",
                "127.0.0.1:1 ",
                "127.0.0.1:0x1",
                "127.0.0.1:http",
                "127.0.0.1:1.5",
                "*:65536",
                "*:",
                "[::1]:65536",
                "[::1]:",
                "127.0.0.1:1:1",
                /* hosts */
                "127.0.0.256:80",
                "1.2.3.4.5:80",
                "127.0.0.1 :80",
                " 127.0.0.1:80",
                "**:80",
                "::1:80",
                "[::1:80",
                "::1]:80",
                "[127.0.0.1]:80",
                "[*]:80",
                "[]:80",
                "[::1]80",
                "[::1 ]:80",
                "[:::1]:80",
                "[::1%nosuchinterface]:80",
                "127.0.0.1%lo:80",
                "\xff:80",
                /* paths */
                "unix:",
                "unix:relative",
                "unix:./relative",
                "unix:@abstract",
                "unix:" PATH_107 "x",
                "unix",
                "Unix:/a",
                "/run/echo.sock",
        };
        struct address a;
        int failed = 0;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                memset(&a, UNTOUCHED, sizeof(a));
                if (address_parse(texts[i], &a) == -EINVAL && is_untouched(&a))
                        continue;
                print_error("\"%s\" is taken\n", texts[i]);
                failed++;
        }
        assert_int_equal(failed, 0);
}

static void scoped(void **state)
{
        unsigned lo = if_nametoindex("lo");
        char text[ADDRESS_TEXT_SIZE], expected[64];
        struct address a, b;

        (void)state;
        if (lo == 0)
                skip();
        parse_good("[fe80::1%lo]:7", &a);
        assert_int_equal(a.in6.sin6_scope_id, lo);
        (void)snprintf(expected, sizeof(expected), "[fe80::1%%%u]:7", lo);
        assert_string_equal(address_format(&a, text), expected);
        parse_good(text, &b);
        assert_true(address_equal(&a, &b));
        parse_good("[fe80::1]:7", &b);
        assert_false(address_equal(&a, &b));
}

/* Random addresses of each kind are read back as the same. */
static void round_trip(void **state)
{
        (void)state;
        seed_random();
        for (int i = 0; i < 10000; i++) {
                struct address a = { .length = 0 }, b;
                char text[ADDRESS_TEXT_SIZE];

                if (i % 2) {
                        a.length = sizeof(a.in);
                        a.in.sin_family = AF_INET;
                        fill_random(&a.in.sin_addr, sizeof(a.in.sin_addr));
                        fill_random(&a.in.sin_port, sizeof(a.in.sin_port));
                } else {
                        a.length = sizeof(a.in6);
                        a.in6.sin6_family = AF_INET6;
                        /* Not link-local, which would need a scope; with zeros to abbreviate. */
                        fill_random(&a.in6.sin6_addr, sizeof(a.in6.sin6_addr));
                        memset(&a.in6.sin6_addr.s6_addr[2], 0, random_between(0, 10));
                        a.in6.sin6_addr.s6_addr[0] = 0x20;
                        fill_random(&a.in6.sin6_port, sizeof(a.in6.sin6_port));
                }
                parse_good(address_format(&a, text), &b);
                assert_int_equal(a.length, b.length);
                if (!address_equal(&a, &b))
                        fail_msg("%s comes back as another", text);
        }
}

/* Addresses of unix clients, as accept(2) reports them: often without a name, or abstract. */
static void unnamed_and_abstract(void **state)
{
        struct address a = { .length = sizeof(sa_family_t), .un.sun_family = AF_UNIX };
        char text[ADDRESS_TEXT_SIZE + 1];

        (void)state;
        assert_string_equal(address_format(&a, text), "unix:");
        a.length = offsetof(struct sockaddr_un, sun_path) + 3;
        memcpy(a.un.sun_path, "\0xy", 3);
        assert_string_equal(address_format(&a, text), "unix:\\x00xy");
        assert_int_equal(address_port(&a), 0);

        /* the longest text: none of the 108 bytes is printable */
        text[ADDRESS_TEXT_SIZE] = '!';
        memset(a.un.sun_path, 1, sizeof(a.un.sun_path));
        a.length = sizeof(a.un);
        assert_int_equal(strlen(address_format(&a, text)), 5 + 4 * sizeof(a.un.sun_path));
        assert_true(text[ADDRESS_TEXT_SIZE] == '!');
}

static void equal(void **state)
{
        static const char *const different[] = {
                "127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "[::2]:80",
                "[::1]:81",     "[::]:80",      "*:80",         "*:81",     "0.0.0.0:80",
                "unix:/a",      "unix:/b",      "unix:/aa",
        };
        struct address a, b;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(different); i++) {
                parse_good(different[i], &a);
                for (size_t j = 0; j < ELEMENTS(different); j++) {
                        parse_good(different[j], &b);
                        assert_int_equal(address_equal(&a, &b), i == j);
                }
        }
        parse_good("[0:0:0:0:0:0:0:1]:080", &a);
        parse_good("[::1]:80", &b);
        assert_true(address_equal(&a, &b));
}

static void resolve(void **state)
{
        struct address found[8], one;
        int n;

        (void)state;
        parse_good("127.0.0.1:7", &one);
        assert_int_equal(address_resolve("127.0.0.1:7", found, 8), 1);
        assert_true(address_equal(&found[0], &one));
        assert_int_equal(address_resolve("unix:/a", found, 8), 1);
        assert_int_equal(found[0].sa.sa_family, AF_UNIX);
        assert_int_equal(address_resolve("localhost:65536", found, 8), -EINVAL);
        assert_int_equal(address_resolve("localhost", found, 8), -EINVAL);

        n = address_resolve("localhost:7", found, 8);
        assert_in_range(n, 1, 8);
        for (int i = 0; i < n; i++)
                assert_int_equal(address_port(&found[i]), 7);
        assert_int_equal(address_resolve("localhost:7", found, 1), 1);
}

/* Whether two addresses overlap, in either order. */
static void overlaps(void **state)
{
        static const struct {
                const char *a, *b;
                bool expected;
        } cases[] = {
                { "127.0.0.1:7", "127.0.0.1:7", true },
                { "127.0.0.1:7", "127.0.0.2:7", false },
                { "127.0.0.1:7", "127.0.0.1:8", false },
                { "127.0.0.1:7", "0.0.0.0:7", true },
                { "127.0.0.1:7", "0.0.0.0:8", false },
                { "127.0.0.1:7", "*:7", true },
                { "127.0.0.1:7", "[::]:7", false }, /* IPv6 only, as the daemon opens it */
                { "127.0.0.1:7", "[::ffff:127.0.0.1]:7", true },
                { "[::1]:7", "[::]:7", true },
                { "[::1]:7", "*:7", true },
                { "[::1]:7", "0.0.0.0:7", false },
                { "*:7", "*:7", true },
                { "*:7", "0.0.0.0:7", true },
                { "*:7", "[::]:7", true },
                { "*:7", "*:8", false },
                { "0.0.0.0:7", "[::]:7", false },
                { "*:0", "*:0", false },
                { "127.0.0.1:0", "127.0.0.1:0", false },
                { "unix:/a", "unix:/a", true },
                { "unix:/a", "unix:/b", false },
                { "unix:/a", "*:7", false },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address a, b;

                parse_good(cases[i].a, &a);
                parse_good(cases[i].b, &b);
                if (address_overlaps(&a, &b) != cases[i].expected ||
                    address_overlaps(&b, &a) != cases[i].expected)
                        fail_msg("%s and %s", cases[i].a, cases[i].b);
        }
}

static void reaches(void **state)
{
        static const struct {
                const char *to, *listen;
                bool expected;
        } cases[] = {
                { "127.0.0.1:7", "127.0.0.1:7", true },
                { "127.0.0.1:7", "127.0.0.1:8", false },
                { "127.0.0.1:7", "127.0.0.2:7", false },
                { "127.0.0.1:7", "0.0.0.0:7", true },
                { "127.0.0.1:7", "*:7", true },
                { "[::1]:7", "*:7", true },
                { "[::1]:7", "[::]:7", true },
                { "[::1]:7", "0.0.0.0:7", false },
                { "192.0.2.1:7", "192.0.2.1:7", true },
                { "192.0.2.1:7", "*:7", false }, /* the address may be another host's */
                { "0.0.0.0:7", "127.0.0.1:7", true },
                { "0.0.0.0:7", "*:7", true },
                { "0.0.0.0:7", "192.0.2.1:7", false },
                { "0.0.0.0:7", "[::]:7", false },
                { "[::]:7", "[::1]:7", true },
                { "[::]:7", "127.0.0.1:7", false },
                { "unix:/a", "unix:/a", true },
                { "unix:/a", "unix:/b", false },
                { "unix:/a", "*:7", false },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address to, listen;

                parse_good(cases[i].to, &to);
                parse_good(cases[i].listen, &listen);
                if (address_reaches(&to, &listen) != cases[i].expected)
                        fail_msg("%s to %s", cases[i].to, cases[i].listen);
        }
}

static void is_local(void **state)
{
        static const struct {
                const char *text;
                bool expected;
        } cases[] = {
                { "127.0.0.1:7", true },
                { "127.0.0.1:0", true },
                { "198.51.100.1:7", false },
                { "unix:/a", false },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct address address;

                parse_good(cases[i].text, &address);
                if (address_is_local(&address) != cases[i].expected)
                        fail_msg("%s", cases[i].text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good),     cmocka_unit_test(bad),
                cmocka_unit_test(scoped),   cmocka_unit_test(round_trip),
                cmocka_unit_test(equal),    cmocka_unit_test(unnamed_and_abstract),
                cmocka_unit_test(overlaps), cmocka_unit_test(resolve),
                cmocka_unit_test(reaches),  cmocka_unit_test(is_local),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
