/* SPDX-License-Identifier: MIT */
/* Ranges of addresses: parsing, and which addresses they contain. */
#include "network.h"
#include "unit.h"

#include <errno.h>

#define UNTOUCHED 0xaa

static void parse_good(const char *text, struct network *network)
{
        memset(network, UNTOUCHED, sizeof(*network));
        if (network_parse(text, network) != 0)
                fail_msg("\"%s\" is refused", text);
}

static void good(void **state)
{
        static const struct {
                const char *text;
                struct network network;
        } cases[] = {
                { "10.0.0.0/8", { AF_INET, 8, { 10 } } },
                { "0.0.0.0/0", { AF_INET, 0, { 0 } } },
                { "1.2.3.4", { AF_INET, 32, { 1, 2, 3, 4 } } },
                { "1.2.3.4/32", { AF_INET, 32, { 1, 2, 3, 4 } } },
                { "128.0.0.0/1", { AF_INET, 1, { 128 } } },
                { "10.255.254.0/23", { AF_INET, 23, { 10, 255, 254 } } },
                { "fd00::/8", { AF_INET6, 8, { 0xfd } } },
                { "::/0", { AF_INET6, 0, { 0 } } },
                { "::1", { AF_INET6, 128, { [15] = 1 } } },
                { "2001:DB8::/127", { AF_INET6, 127, { 0x20, 1, 0x0d, 0xb8 } } },
                { "::ffff:10.0.0.0/104", { AF_INET, 8, { 10 } } },
                { "::ffff:0:0/96", { AF_INET, 0, { 0 } } },
                { "::ffff:1.2.3.4", { AF_INET, 32, { 1, 2, 3, 4 } } },
                { "::fffe:0:0/95", { AF_INET6, 95, { [10] = 0xff, [11] = 0xfe } } },
                { "unix:", { AF_UNIX, 0, { 0 } } },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct network *expected = &cases[i].network;
                struct network network;

                parse_good(cases[i].text, &network);
                assert_int_equal(network.family, expected->family);
                assert_int_equal(network.prefix_bits, expected->prefix_bits);
                assert_memory_equal(network.address, expected->address, sizeof(expected->address));
        }
}

static void bad(void **state)
{
        static const char *const texts[] = {
                /* not addresses */
                "",
                " ",
                "/",
                "/8",
                "*",
                "10",
                "10/8",
                "10.0.0/8",
                "10.0.0.0.0/8",
                "localhost",
                "256.0.0.0/8",
                "010.0.0.0/8",
                "1.2.3.4:80",
                "[::1]",
                "[fd00::]/8",
                ":",
                ":::/0",
                "12345::/16",
                "fe80::1%lo",
                "fe80::%lo/10",
                "unix",
                "unix:/",
                "unix:/run/a",
                "Unix:",
                "unix:/8",
                "0x0a000000/8",
                "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8",
                /* prefixes */
                "10.0.0.0/",
                "10.0.0.0/ 8",
                "10.0.0.0/8 ",
                " 10.0.0.0/8",
                "10.0.0.0 /8",
                "10.0.0.0/08",
                "10.0.0.0/00",
                "10.0.0.0/+8",
                "10.0.0.0/-8",
                "10.0.0.0/0x8",
                "10.0.0.0/8/8",
                "10.0.0.0//8",
                "10.0.0.0/255.0.0.0",
                "10.0.0.0/33",
                "10.0.0.0/264",
                "10.0.0.0/18446744073709551624",
                "::/129",
                "::/256",
                "fd00::/",
                "fd00::/a",
                /* host bits */
                "10.0.0.1/8",
                "10.128.0.0/8",
                "1.2.3.5/31",
                "0.0.0.1/0",
                "fd00::1/8",
                "fd00::1/127",
                "fd80::/8",
                "::1/0",
                "::ffff:10.0.0.1/104",
                "::ffff:0:0/95",
        };
        struct network network, untouched;

        (void)state;
        memset(&untouched, UNTOUCHED, sizeof(untouched));
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                memset(&network, UNTOUCHED, sizeof(network));
                if (network_parse(texts[i], &network) != -EINVAL)
                        fail_msg("\"%s\" is taken", texts[i]);
                assert_memory_equal(&network, &untouched, sizeof(network));
        }
}

static void contains(void **state)
{
        static const struct {
                const char *network, *address;
                bool contained;
        } cases[] = {
                { "10.0.0.0/8", "10.0.0.0:1", true },
                { "10.0.0.0/8", "10.255.255.255:0", true },
                { "10.0.0.0/8", "11.0.0.0:1", false },
                { "10.0.0.0/8", "9.255.255.255:1", false },
                { "10.255.254.0/23", "10.255.255.255:1", true },
                { "10.255.254.0/23", "10.255.254.0:1", true },
                { "10.255.254.0/23", "10.255.253.255:1", false },
                { "10.255.254.0/23", "10.254.254.0:1", false },
                { "128.0.0.0/1", "255.0.0.1:1", true },
                { "128.0.0.0/1", "127.255.255.255:1", false },
                { "1.2.3.4", "1.2.3.4:65535", true },
                { "1.2.3.4", "1.2.3.5:1", false },
                { "0.0.0.0/0", "255.255.255.255:1", true },
                { "fd00::/8", "[fdff::1]:1", true },
                { "fd00::/8", "[fc00::1]:1", false },
                { "2001:db8::/127", "[2001:db8::1]:1", true },
                { "2001:db8::/127", "[2001:db8::2]:1", false },
                { "::1", "[::1]:1", true },
                { "::1", "[::2]:1", false },
                { "::/0", "[ffff::]:1", true },
                /* mapped, on either side */
                { "10.0.0.0/8", "[::ffff:10.1.2.3]:1", true },
                { "10.0.0.0/8", "[::ffff:11.1.2.3]:1", false },
                { "10.0.0.0/8", "[::10.1.2.3]:1", false },
                { "::ffff:10.0.0.0/104", "10.1.2.3:1", true },
                { "::ffff:10.0.0.0/104", "[::ffff:10.1.2.3]:1", true },
                { "::ffff:10.0.0.0/104", "11.1.2.3:1", false },
                { "::/0", "[::ffff:10.1.2.3]:1", false },
                { "::fffe:0:0/95", "[::ffff:10.1.2.3]:1", false },
                /* another family */
                { "0.0.0.0/0", "[::1]:1", false },
                { "0.0.0.0/0", "unix:/a", false },
                { "::/0", "10.0.0.0:1", false },
                { "::/0", "unix:/a", false },
                { "unix:", "unix:/a", true },
                { "unix:", "0.0.0.0:1", false },
                { "unix:", "[::]:1", false },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct network network;
                struct address address;

                parse_good(cases[i].network, &network);
                assert_int_equal(address_parse(cases[i].address, &address), 0);
                if (network_contains(&network, &address) != cases[i].contained)
                        fail_msg("%s in %s: not %d", cases[i].address, cases[i].network,
                                 cases[i].contained);
        }
}

/* Unix clients as accept(2) reports them, and an unknown end. */
static void nameless(void **state)
{
        static const char *const texts[] = { "unix:", "0.0.0.0/0", "::/0" };
        struct address client = { .length = sizeof(sa_family_t), .un.sun_family = AF_UNIX };
        struct address unknown = { .length = 0 };
        struct network network;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                parse_good(texts[i], &network);
                assert_int_equal(network_contains(&network, &client), i == 0);
                assert_false(network_contains(&network, &unknown));
        }
}

/* IPv4 ranges: an address with one bit of the prefix flipped is outside, with another bit inside.
 */
static void every_bit(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits <= 32; bits++) {
                struct network network = { .family = AF_INET, .prefix_bits = (uint8_t)bits };
                struct address address = { .length = sizeof(address.in), .in.sin_family = AF_INET };

                for (unsigned bit = 0; bit < 32; bit++) {
                        address.in.sin_addr.s_addr = htonl(0x80000000U >> bit);
                        assert_int_equal(network_contains(&network, &address), bit >= bits);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good),     cmocka_unit_test(bad),       cmocka_unit_test(contains),
                cmocka_unit_test(nameless), cmocka_unit_test(every_bit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
