/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol against its specification: which bytes are a header, at which byte others are
 * refused, and that a written header is read back unchanged.
 */
#include "escape.h"
#include "proxy.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>

#define UNTOUCHED 0xaa

/* A string literal that may contain NUL bytes. */
struct bytes {
        const char *data;
        size_t n;
};
/* clang-format off */
#define B(text) { (text), sizeof(text) - 1 }
/* clang-format on */

/* How address_format() shows an unknown end. */
#define NOBODY "address family 0"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_HEAD   16
#define IPV4_ENDS "\300\0\2\1\300\0\2\2\20\222\1\273" /* 192.0.2.1:4242, 192.0.2.2:443 */

#define TEN    "0123456789"
#define NINETY TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* The longest spelling of an IPv6 address, 45 bytes, and one byte less. */
#define IP_45 "0000:0000:0000:0000:0000:0000:255.255.255.255"
#define IP_44 "000:0000:0000:0000:0000:0000:255.255.255.255"

/* Reads a copy, so that ASan finds reads beyond its end. An error must write nothing. */
static int parse(const void *data, size_t n, struct proxy_header *header)
{
        _cleanup_(freep) uint8_t *copy = malloc(n + (n == 0));
        struct proxy_header untouched;
        int r;

        assert_non_null(copy);
        memcpy(copy, data, n);
        memset(&untouched, UNTOUCHED, sizeof(untouched));
        memset(header, UNTOUCHED, sizeof(*header));
        r = proxy_parse(copy, n, header);
        if (r < 0)
                assert_memory_equal(header, &untouched, sizeof(untouched));
        return r;
}

static void expect(const void *data, size_t n, int error)
{
        char shown[ESCAPE_SIZE(256)];
        struct proxy_header header;
        int r = parse(data, n, &header);

        if (r == error)
                return;
        escape_bytes(shown, data, n < 256 ? n : 256);
        fail_msg("%zu bytes \"%s\" give %d, not %d", n, shown, r, error);
}

/* Checks that every proper beginning of @data needs more. */
static void expect_beginnings(const void *data, size_t n)
{
        for (size_t i = 0; i < n; i++)
                expect(data, i, -EAGAIN);
}

static void expect_followed(const void *data, size_t n, const struct bytes *more, int error)
{
        _cleanup_(freep) char *longer = malloc(n + more->n);

        assert_non_null(longer);
        memcpy(longer, data, n);
        memcpy(longer + n, more->data, more->n);
        expect(longer, n + more->n, error);
}

static const struct bytes followers[] = {
        B("x"),
        B("\0"),
        B("0"),
        B(" 1"),
        B("\n"),
        B("\r\n"),
        B(" 1 2\r\n\r\n"),
        B(TEN),
        B("\r"),
        B("PROXY UNKNOWN\r\n"),
        B(IPV4_ENDS),
        B(NINETY NINETY "\r\n"),
};

/* Checks that @data is a header, complete with its last byte, whatever follows. Sets @header. */
static void expect_good(const void *data, size_t n, struct proxy_header *header)
{
        expect_beginnings(data, n);
        for (size_t i = 0; i < ELEMENTS(followers); i++)
                expect_followed(data, n, &followers[i], 0);
        expect(data, n, 0);
        assert_int_equal(parse(data, n, header), 0);
        assert_int_equal(header->length, n);
}

/* Checks that the last byte of @data, and none before, makes it no header, whatever follows. */
static void expect_bad(const void *data, size_t n, int error)
{
        expect_beginnings(data, n - 1);
        expect(data, n, error);
        for (size_t i = 0; i < ELEMENTS(followers); i++)
                expect_followed(data, n, &followers[i], error);
}

static void expect_ends(const struct proxy_header *header, const char *source,
                        const char *destination)
{
        char text[ADDRESS_TEXT_SIZE];

        assert_string_equal(address_format(&header->source, text), source);
        assert_string_equal(address_format(&header->destination, text), destination);
}

/* Version 1 */

static void lines(void **state)
{
        static const struct {
                struct bytes line;
                const char *source, *destination;
        } cases[] = {
                { B("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1:56324",
                  "192.168.0.11:443" },
                { B("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
                  "255.255.255.255:65535", "255.255.255.255:65535" },
                { B("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0", "0.0.0.0:0" },
                { B("PROXY TCP6 :: ::1 0 1\r\n"), "[::]:0", "[::1]:1" },
                { B("PROXY TCP6 2001:DB8::A 2001:0db8:0:0:0:0:0:a 10 20\r\n"), "[2001:db8::a]:10",
                  "[2001:db8::a]:20" },
                { B("PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n"), "[1:2:3:4:5:6:7:0]:1",
                  "[0:2:3:4:5:6:7:8]:2" },
                { B("PROXY TCP6 1:2:3:4:5:6:7:8 1:2:3:4:5:6:1.2.3.4 1 2\r\n"),
                  "[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:102:304]:2" },
                { B("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
                  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
                { B("PROXY TCP6 ::ffff:1.2.3.4 ::FFFF:0506:0708 1 2\r\n"), "1.2.3.4:1",
                  "5.6.7.8:2" },
                { B("PROXY TCP6 " IP_45 " " IP_44 " 0 0\r\n"), "[::255.255.255.255]:0",
                  "[::255.255.255.255]:0" },
                { B("PROXY UNKNOWN\r\n"), NOBODY, NOBODY },
                { B("PROXY UNKNOWN ffff:f:f:f:f:f:f:ffff ::1 65536 x\r\n"), NOBODY, NOBODY },
                { B("PROXY UNKNOWN \r \n \0 \xff\r\r\n"), NOBODY, NOBODY },
                { B("PROXY UNKNOWNS\n\r\r\n"), NOBODY, NOBODY },
                { B("PROXY UNKNOWN " NINETY "x\r\n"), NOBODY, NOBODY },
        };
        struct proxy_header header;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                expect_good(cases[i].line.data, cases[i].line.n, &header);
                expect_ends(&header, cases[i].source, cases[i].destination);
        }
}

static void not_lines(void **state)
{
#define TCP4 "PROXY TCP4 "
#define TCP6 "PROXY TCP6 "
#define ENDS "PROXY TCP4 1.2.3.4 5.6.7.8 "
        /* clang-format off */
        static const struct bytes cases[] = {
                /* the words */
                B("G"), B("p"), B(" "), B("\n"), B("\0"), B("\xff"), B("PROXYT"), B("PROXY\t"),
                B("PROXY\r"), B("PROXY  "), B("PROXY t"), B("PROXY TCP "), B("PROXY TCP5"),
                B("PROXY TCP44"), B("PROXY TCP4\r"), B("PROXY TCP6\0"), B("PROXY UNKNOWn"),
                B("PROXY UNIX"),
                /* IPv4 addresses */
                B(TCP4 " "), B(TCP4 "\r"), B(TCP4 "\0"), B(TCP4 "-"), B(TCP4 "."), B(TCP4 ":"),
                B(TCP4 "00"), B(TCP4 "01"), B(TCP4 "256"), B(TCP4 "1234"), B(TCP4 "1 "),
                B(TCP4 "1.."), B(TCP4 "1.2.3 "), B(TCP4 "1.2.3.\r"), B(TCP4 "1.2.3.4."),
                B(TCP4 "1.2.3.0x"), B(TCP4 "1.2.3.4/"), B(TCP4 "1.2.3.4\0"), B(TCP4 "1.2.3.4\r"),
                B(TCP4 "1.2.3.4  "), B(TCP4 "1.2.3.4 :"), B(TCP4 "1.2.3.4 5.6.7 "),
                /* IPv6 addresses */
                B(TCP6 " "), B(TCP6 "g"), B(TCP6 "["), B(TCP6 ":1"), B(TCP6 ":::"), B(TCP6 "1."),
                B(TCP6 "1 "), B(TCP6 "12345"), B(TCP6 "1::2::"), B(TCP6 "1:2:3:4:5:6:7 "),
                B(TCP6 "1:2:3:4:5:6:7:8:"), B(TCP6 "1:2:3:4:5:6:7:1."), B(TCP6 "::1.2.3.4."),
                B(TCP6 "::1.256"), B(TCP6 "::a."), B(TCP6 "fe80::1%"), B(TCP6 "::1]"),
                B(TCP6 ":: 1."), B(TCP6 "::\r"), B(TCP6 ":: ::\r"),
                /* ports */
                B(ENDS " "), B(ENDS "\r"), B(ENDS "-"), B(ENDS "+"), B(ENDS "x"), B(ENDS "00"),
                B(ENDS "65536"), B(ENDS "655350"), B(ENDS "1\r"), B(ENDS "1\0"), B(ENDS "1x"),
                B(ENDS "1  "), B(ENDS "1 -"), B(ENDS "1 01"), B(ENDS "1 65536"), B(ENDS "1 \r"),
                /* the end */
                B(ENDS "1 2 "), B(ENDS "1 2\n"), B(ENDS "1 2\0"), B(ENDS "1 2\r\r"),
                B(ENDS "1 2\r "), B(ENDS "1 2\r\0"),
                /* too long for the rest that must follow */
                B(TCP6 IP_45 " " IP_45), B(TCP6 IP_44 " " IP_45 " 10"),
                B(TCP6 IP_45 " " IP_44 " 0 10"), B("PROXY UNKNOWN " NINETY "xx"),
                B("PROXY UNKNOWN " NINETY "x\rx"),
        };
        /* clang-format on */

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                expect_bad(cases[i].data, cases[i].n, -EPROTO);
}

/* Version 2 */

/* Puts a whole header into @out: the head, @body, then zeros up to @length. Return: its size. */
static size_t make_v2(uint8_t *out, uint8_t command, uint8_t protocol, size_t length,
                      const struct bytes *body)
{
        const uint8_t head[] = { command, protocol, (uint8_t)(length >> 8), (uint8_t)length };

        memset(out, 0, V2_HEAD + length);
        memcpy(out, SIGNATURE, sizeof(SIGNATURE) - 1);
        memcpy(out + sizeof(SIGNATURE) - 1, head, sizeof(head));
        memcpy(out + V2_HEAD, body->data, body->n);
        return V2_HEAD + length;
}

static void expect_v2(uint8_t command, uint8_t protocol, size_t length, const char *source,
                      const char *destination)
{
        static const struct bytes body = B(IPV4_ENDS);
        uint8_t data[PROXY_PARSE_MAX + sizeof(IPV4_ENDS)];
        size_t n = make_v2(data, command, protocol, length, &body);
        struct proxy_header header;

        expect_good(data, n, &header);
        expect_ends(&header, source, destination);
}

static void exact_bytes(void **state)
{
        static const struct bytes ipv4 = B("\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A"
                                           "\x21\x11\x00\x0C"
                                           "\xC0\x00\x02\x01"
                                           "\xC0\x00\x02\x02"
                                           "\x10\x92"
                                           "\x01\xBB");
        static const struct bytes ipv6 =
                B("\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A"
                  "\x21\x21\x00\x24"
                  "\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
                  "\xFD\x00\x00\x01\x00\x02\x00\x03\x00\x04\x00\x05\x00\x06\x00\x07"
                  "\x10\x92"
                  "\x01\xBB");
        uint8_t out[PROXY_FORMAT_MAX];
        struct proxy_header header;

        (void)state;
        expect_good(ipv4.data, ipv4.n, &header);
        expect_ends(&header, "192.0.2.1:4242", "192.0.2.2:443");
        assert_int_equal(proxy_format(2, &header.source, &header.destination, out), ipv4.n);
        assert_memory_equal(out, ipv4.data, ipv4.n);

        expect_good(ipv6.data, ipv6.n, &header);
        expect_ends(&header, "[2001:db8::1]:4242", "[fd00:1:2:3:4:5:6:7]:443");
        assert_int_equal(proxy_format(2, &header.source, &header.destination, out), ipv6.n);
        assert_memory_equal(out, ipv6.data, ipv6.n);
}

static void commands(void **state)
{
        uint8_t data[] = SIGNATURE "?";

        (void)state;
        for (size_t i = 0; i < sizeof(SIGNATURE) - 1; i++) {
                uint8_t right = data[i];

                data[i] ^= 1;
                expect_bad(data, i + 1, -EPROTO);
                data[i] = right;
        }
        for (unsigned command = 0; command < 256; command++) {
                data[sizeof(SIGNATURE) - 1] = (uint8_t)command;
                if (command == 0x20 || command == 0x21)
                        expect(data, sizeof(SIGNATURE), -EAGAIN);
                else
                        expect_bad(data, sizeof(SIGNATURE), -EPROTO);
        }
}

/* LOCAL, as in the health checks of a proxy: only the length counts. */
static void local(void **state)
{
        static const size_t lengths[] = { 0, 1, 2, 11, 12, 13, 36, 216, 300 };

        (void)state;
        for (unsigned protocol = 0; protocol < 256; protocol++)
                expect_v2(0x20, (uint8_t)protocol, 12, NOBODY, NOBODY);
        for (size_t i = 0; i < ELEMENTS(lengths); i++)
                expect_v2(0x20, 0x11, lengths[i], NOBODY, NOBODY);
}

/* A length below @least is refused at the last byte of the length. */
static void expect_least(uint8_t protocol, size_t least, const char *source,
                         const char *destination)
{
        static const struct bytes nothing = B("");
        uint8_t data[V2_HEAD + 256];

        expect_v2(0x21, protocol, least, source, destination);
        for (size_t length = 0; length < least + 6; length++) {
                /* one or two bytes after the addresses are too few for a TLV */
                bool good = length == least || length >= least + 3;

                (void)make_v2(data, 0x21, protocol, length, &nothing);
                if (good)
                        expect(data, V2_HEAD, -EAGAIN);
                else
                        expect_bad(data, V2_HEAD, -EPROTO);
        }
}

static void protocols(void **state)
{
        static const uint8_t unspec[] = { 0x00, 0x01, 0x02, 0x10, 0x20, 0x30 };
        static const size_t lengths[] = { 0, 1, 2, 12, 13, 36, 216 };
        uint8_t data[] = SIGNATURE "\x21?";

        (void)state;
        for (unsigned protocol = 0; protocol < 256; protocol++) {
                data[sizeof(data) - 2] = (uint8_t)protocol;
                if (protocol >> 4 <= 3 && (protocol & 0xf) <= 2)
                        expect(data, sizeof(data) - 1, -EAGAIN);
                else
                        expect_bad(data, sizeof(data) - 1, -EPROTO);
        }
        for (size_t i = 0; i < ELEMENTS(unspec); i++)
                for (size_t j = 0; j < ELEMENTS(lengths); j++)
                        expect_v2(0x21, unspec[i], lengths[j], NOBODY, NOBODY);
        expect_least(0x11, 12, "192.0.2.1:4242", "192.0.2.2:443");
        expect_least(0x12, 12, NOBODY, NOBODY);
        expect_least(0x21, 36, "[c000:201:c000:202:1092:1bb::]:0", "[::]:0");
        expect_least(0x22, 36, NOBODY, NOBODY);
        expect_least(0x31, 216, NOBODY, NOBODY);
        expect_least(0x32, 216, NOBODY, NOBODY);
}

/* TLVs for the @space bytes after the addresses. */
struct tlvs {
        size_t space;
        struct bytes bytes;
};

static size_t make_tlvs(uint8_t *out, const struct tlvs *tlvs)
{
        static const struct bytes ends = B(IPV4_ENDS);
        size_t n = make_v2(out, 0x21, 0x11, ends.n + tlvs->space, &ends);

        memcpy(out + V2_HEAD + ends.n, tlvs->bytes.data, tlvs->bytes.n);
        return n;
}

static void type_length_values(void **state)
{
        static const struct tlvs good[] = {
                { 3, B("\4\0\0") },       { 7, B("\4\0\4abcd") },
                { 6, B("\4\0\0\4\0\0") }, { 12, B("\1\0\2h2\352\0\4\xff\xff\xff\xff") },
                { 300, B("\4\1\51") },  /* 297 */
                { 300, B("\4\1\46") },  /* 294, and one without a value */
                { 300, B("\4\0\x60") }, /* 96, and many without a value */
        };
        static const struct tlvs bad[] = {
                { 3, B("\4\1") },       { 3, B("\4\0\1") },        { 4, B("\4\0\0") },
                { 5, B("\4\0\0") },     { 5, B("\4\0\1") },        { 6, B("\4\0\0\4\1") },
                { 6, B("\4\0\4") },     { 6, B("\4\0\0\4\0\1") },  { 7, B("\4\0\0\4\0\0") },
                { 300, B("\4\2") },     { 300, B("\4\1\50") },     { 300, B("\4\1\47") },
                { 300, B("\4\1\52") },  { 9, B("\4\0\1x\4\0\3") }, { 9, B("\4\0\1x\4\1") },
                { 300, B("\xff\xff") },
        };
        uint8_t data[V2_HEAD + 512];
        struct proxy_header header;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                size_t n = make_tlvs(data, &good[i]);

                expect_good(data, n, &header);
                expect_ends(&header, "192.0.2.1:4242", "192.0.2.2:443");
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                (void)make_tlvs(data, &bad[i]);
                expect_bad(data, V2_HEAD + sizeof(IPV4_ENDS) - 1 + bad[i].bytes.n, -EPROTO);
        }
}

static void longest(void **state)
{
        static const struct tlvs one = { PROXY_PARSE_MAX - 28, B("\4\x0f\xe1") }; /* 4065 */
        static const struct bytes too_long[] = {
                B(SIGNATURE "\x20\0\x0f\xf1"),
                B(SIGNATURE "\x21\x11\x0f\xff"),
                B(SIGNATURE "\x21\x11\x10"),
                B(SIGNATURE "\x20\xff\xff"),
        };
        uint8_t data[PROXY_PARSE_MAX];
        struct proxy_header header;

        (void)state;
        assert_int_equal(make_tlvs(data, &one), PROXY_PARSE_MAX);
        expect_good(data, sizeof(data), &header);
        expect_v2(0x20, 0, PROXY_PARSE_MAX - V2_HEAD, NOBODY, NOBODY);
        expect_v2(0x21, 0, PROXY_PARSE_MAX - V2_HEAD, NOBODY, NOBODY);
        for (size_t i = 0; i < ELEMENTS(too_long); i++)
                expect_bad(too_long[i].data, too_long[i].n, -EMSGSIZE);
}

/* Writing */

/* Writes a header and reads it back; @out is PROXY_FORMAT_MAX bytes. Return: its length. */
static size_t there_and_back(unsigned version, const struct address *source,
                             const struct address *destination, uint8_t *out,
                             struct proxy_header *header)
{
        _cleanup_(freep) uint8_t *exact = malloc(PROXY_FORMAT_MAX + 1);
        size_t n;

        assert_non_null(exact);
        exact[PROXY_FORMAT_MAX] = '!';
        n = proxy_format(version, source, destination, exact);
        assert_int_equal(exact[PROXY_FORMAT_MAX], '!');
        assert_in_range(n, 1, PROXY_FORMAT_MAX);
        expect_good(exact, n, header);
        memcpy(out, exact, n);
        return n;
}

static void address_of(const char *text, struct address *address)
{
        *address = (struct address){ .length = 0 };
        if (strcmp(text, NOBODY) != 0)
                assert_int_equal(address_parse(text, address), 0);
}

static void format(void **state)
{
        static const struct {
                const char *source, *destination, *line;
                uint8_t protocol;
        } cases[] = {
                { "1.2.3.4:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n", 0x11 },
                { "255.255.255.255:65535", "0.0.0.0:0",
                  "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", 0x11 },
                { "[2001:db8::1]:5", "[::]:0", "PROXY TCP6 2001:db8::1 :: 5 0\r\n", 0x21 },
                { "[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
                  "[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
                  "PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888 "
                  "1111:2222:3333:4444:5555:6666:7777:8888 65535 65535\r\n",
                  0x21 },
                /* one of each */
                { "1.2.3.4:5", "[fd00::1]:80", "PROXY TCP6 ::ffff:1.2.3.4 fd00::1 5 80\r\n", 0x21 },
                { "[fd00::1]:80", "1.2.3.4:5", "PROXY TCP6 fd00::1 ::ffff:1.2.3.4 80 5\r\n", 0x21 },
                /* mapped */
                { "[::ffff:1.2.3.4]:5", "[::ffff:6.7.8.9]:10",
                  "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n", 0x11 },
                { "[::ffff:1.2.3.4]:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n", 0x11 },
                { "6.7.8.9:10", "[::ffff:1.2.3.4]:5", "PROXY TCP4 6.7.8.9 1.2.3.4 10 5\r\n", 0x11 },
                { "[::ffff:1.2.3.4]:5", "[fd00::1]:80",
                  "PROXY TCP6 ::ffff:1.2.3.4 fd00::1 5 80\r\n", 0x21 },
                /* neither */
                { "unix:/a", "unix:/b", "PROXY UNKNOWN\r\n", 0x00 },
                { "unix:/a", "1.2.3.4:5", "PROXY UNKNOWN\r\n", 0x00 },
                { "[fd00::1]:80", "unix:/a", "PROXY UNKNOWN\r\n", 0x00 },
                { NOBODY, NOBODY, "PROXY UNKNOWN\r\n", 0x00 },
                { NOBODY, "1.2.3.4:5", "PROXY UNKNOWN\r\n", 0x00 },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char source_text[ADDRESS_TEXT_SIZE] = NOBODY,
                     destination_text[ADDRESS_TEXT_SIZE] = NOBODY;
                struct address source, destination;
                uint8_t out[PROXY_FORMAT_MAX];
                struct proxy_header header;
                size_t n;

                address_of(cases[i].source, &source);
                address_of(cases[i].destination, &destination);
                if (cases[i].protocol) {
                        (void)address_format(&source, source_text);
                        (void)address_format(&destination, destination_text);
                }
                n = there_and_back(1, &source, &destination, out, &header);
                assert_int_equal(n, strlen(cases[i].line));
                assert_memory_equal(out, cases[i].line, n);
                expect_ends(&header, source_text, destination_text);

                (void)there_and_back(2, &source, &destination, out, &header);
                assert_int_equal(out[13], cases[i].protocol);
                expect_ends(&header, source_text, destination_text);
        }
}

/* A random address of the family, often with zeros to abbreviate. */
static void random_end(int family, struct address *end)
{
        *end = (struct address){ .length = 0 };
        if (family == AF_INET) {
                end->length = sizeof(end->in);
                end->in.sin_family = AF_INET;
                fill_random(&end->in.sin_addr, sizeof(end->in.sin_addr));
                fill_random(&end->in.sin_port, sizeof(end->in.sin_port));
        } else {
                size_t from = random_between(1, 15);

                end->length = sizeof(end->in6);
                end->in6.sin6_family = AF_INET6;
                fill_random(&end->in6.sin6_addr, sizeof(end->in6.sin6_addr));
                memset(&end->in6.sin6_addr.s6_addr[from], 0, random_between(0, 16 - from));
                end->in6.sin6_addr.s6_addr[0] |= 1; /* not mapped */
                fill_random(&end->in6.sin6_port, sizeof(end->in6.sin6_port));
        }
}

static void round_trip(void **state)
{
        (void)state;
        seed_random();
        for (unsigned i = 0; i < 1000; i++) {
                struct address source, destination;
                uint8_t out[PROXY_FORMAT_MAX];
                struct proxy_header header;
                int family = i & 1 ? AF_INET : AF_INET6;

                random_end(family, &source);
                random_end(family, &destination);
                (void)there_and_back(1 + (i >> 1 & 1), &source, &destination, out, &header);
                assert_true(address_equal(&header.source, &source));
                assert_true(address_equal(&header.destination, &destination));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines),
                cmocka_unit_test(not_lines),
                cmocka_unit_test(exact_bytes),
                cmocka_unit_test(commands),
                cmocka_unit_test(local),
                cmocka_unit_test(protocols),
                cmocka_unit_test(type_length_values),
                cmocka_unit_test(longest),
                cmocka_unit_test(format),
                cmocka_unit_test(round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
