/* SPDX-License-Identifier: MIT */
/*
 * Each call parses the header again from its first byte, and refuses it at the first byte that no
 * valid header has at that place.
 *
 * For version 1, there is only a parser for whole lines. An incomplete line is valid if that parser
 * accepts it with one of a few endings. Version 2 is checked byte by byte.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Version 1 */

#define LINE_BYTES 107 /* the longest line, with its CRLF */
#define CRLF       "\r\n"
#define UNKNOWN    "PROXY UNKNOWN"

enum {
        FIELD_PROXY,
        FIELD_PROTOCOL,
        FIELD_SOURCE,
        FIELD_DESTINATION,
        FIELD_SOURCE_PORT,
        FIELD_DESTINATION_PORT,
        N_FIELDS,
};

/* Makes an address of an IP address and a port, both in network order. */
static void set_end(struct address *end, int family, const void *ip, in_port_t port)
{
        if (family == AF_INET) {
                *end = (struct address){
                        .length = sizeof(end->in),
                        .in = { .sin_family = AF_INET, .sin_port = port },
                };
                memcpy(&end->in.sin_addr, ip, sizeof(end->in.sin_addr));
        } else {
                *end = (struct address){
                        .length = sizeof(end->in6),
                        .in6 = { .sin6_family = AF_INET6, .sin6_port = port },
                };
                memcpy(&end->in6.sin6_addr, ip, sizeof(end->in6.sin6_addr));
        }
}

static bool parse_port(const char *text, in_port_t *port)
{
        size_t n = strlen(text);
        unsigned long value = strtoul(text, NULL, 10);

        if (n == 0 || strspn(text, "0123456789") != n || (text[0] == '0' && n > 1) ||
            value > UINT16_MAX)
                return false;
        *port = htons((uint16_t)value);
        return true;
}

static bool parse_end(int family, const char *ip_text, const char *port_text, struct address *end)
{
        struct in6_addr ip;
        in_port_t port;

        if (inet_pton(family, ip_text, &ip) != 1 || !parse_port(port_text, &port))
                return false;
        set_end(end, family, &ip, port);
        return true;
}

/* Reads the six fields of a line without its CRLF. */
static int parse_fields(char *line, struct proxy_header *header)
{
        const char *fields[N_FIELDS];
        int family;

        for (size_t i = 0; i < N_FIELDS; i++) {
                fields[i] = strsep(&line, " ");
                if (!fields[i])
                        return -EPROTO;
        }
        if (line || strcmp(fields[FIELD_PROXY], "PROXY") != 0)
                return -EPROTO;
        if (strcmp(fields[FIELD_PROTOCOL], "TCP4") == 0)
                family = AF_INET;
        else if (strcmp(fields[FIELD_PROTOCOL], "TCP6") == 0)
                family = AF_INET6;
        else
                return -EPROTO;
        if (!parse_end(family, fields[FIELD_SOURCE], fields[FIELD_SOURCE_PORT], &header->source) ||
            !parse_end(family, fields[FIELD_DESTINATION], fields[FIELD_DESTINATION_PORT],
                       &header->destination))
                return -EPROTO;
        return 0;
}

/* Reads a line. Return: 0; -EAGAIN: its CRLF has not arrived; -EPROTO. */
static int parse_line(const uint8_t *data, size_t n, struct proxy_header *header)
{
        const uint8_t *end = memmem(data, n < LINE_BYTES ? n : LINE_BYTES, CRLF, strlen(CRLF));
        struct proxy_header h = { 0 };
        char line[LINE_BYTES];
        size_t length;
        int r = 0;

        if (!end)
                return n < LINE_BYTES ? -EAGAIN : -EPROTO;
        length = (size_t)(end - data);
        memcpy(line, data, length);
        line[length] = '\0';
        h.length = length + strlen(CRLF);
        /* The specification says to ignore what follows the word UNKNOWN. */
        if (strncmp(line, UNKNOWN, strlen(UNKNOWN)) != 0)
                r = strlen(line) == length ? parse_fields(line, &h) : -EPROTO;
        if (r == 0)
                *header = h;
        return r;
}

static bool is_line_with(const uint8_t *data, size_t n, const char *ending, const char *rest)
{
        uint8_t line[LINE_BYTES];
        struct proxy_header header;
        size_t n_ending = strlen(ending), n_rest = strlen(rest);

        if (n + n_ending + n_rest > LINE_BYTES)
                return false;
        memcpy(line, data, n);
        memcpy(line + n, ending, n_ending);
        memcpy(line + n + n_ending, rest, n_rest);
        return parse_line(line, n + n_ending + n_rest, &header) == 0;
}

/*
 * Whether an incomplete line may become a valid line of the kind of @shortest, which is the
 * shortest line of its kind. Completes the last field with each of a few endings, and takes the
 * remaining fields from @shortest.
 */
static bool may_become(const char *shortest, const uint8_t *data, size_t n)
{
        static const char *const endings[] = {
                "", "0", ":", "::", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0",
        };
        const char *rest = shortest;

        if (n < strlen(shortest) && memcmp(data, shortest, n) == 0)
                return true;
        for (const uint8_t *p = data; (p = memchr(p, ' ', (size_t)(data + n - p))); p++)
                rest += strcspn(rest, " \r") + (strchr(rest, ' ') != NULL);
        rest += data[n - 1] == '\r' ? strcspn(rest, "\n") : strcspn(rest, " \r");
        for (size_t i = 0; i < ELEMENTS(endings); i++)
                if (is_line_with(data, n, endings[i], rest))
                        return true;
        return false;
}

static int parse_v1(const uint8_t *data, size_t n, struct proxy_header *header)
{
        static const char *const shortest[] = {
                "PROXY TCP4 0.0.0.0 0.0.0.0 0 0" CRLF,
                "PROXY TCP6 :: :: 0 0" CRLF,
                UNKNOWN CRLF,
        };
        int r = parse_line(data, n, header);

        if (r != -EAGAIN)
                return r;
        for (size_t i = 0; i < ELEMENTS(shortest); i++)
                if (may_become(shortest[i], data, n))
                        return -EAGAIN;
        return -EPROTO;
}

/* Version 2 */

static const uint8_t signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* Offsets in a header. In a TLV, the length follows the type. */
#define SIGNATURE_BYTES (sizeof(signature) - 1)
#define COMMAND_AT      12
#define PROTOCOL_AT     13
#define LENGTH_AT       14
#define ADDRESSES_AT    16
#define TLV_LENGTH_AT   1
#define TLV_HEAD_BYTES  3

/* The version and the command. */
#define COMMAND_LOCAL 0x20
#define COMMAND_PROXY 0x21

/* The family is the upper half of a byte, the protocol the lower one. */
enum {
        FAMILY_UNSPEC,
        FAMILY_INET,
        FAMILY_INET6,
        FAMILY_UNIX,
        N_FAMILIES,
};
enum {
        PROTOCOL_UNSPEC,
        PROTOCOL_STREAM,
        PROTOCOL_DGRAM,
        N_PROTOCOLS,
};
#define FAMILY(byte)            ((byte) >> 4)
#define PROTOCOL(byte)          ((byte)&0xf)
#define STREAM_OF(family_index) ((uint8_t)((family_index) << 4 | PROTOCOL_STREAM))

/* Return: the two-byte number at @at. Bytes that have not arrived count as 0. */
static size_t number_so_far(const uint8_t *data, size_t n, size_t at)
{
        return (size_t)(at < n ? data[at] << 8 : 0) | (at + 1 < n ? data[at + 1] : 0);
}

/* Whether TLVs can fill a header from @at to @end, as far as they have arrived. */
static bool tlvs_fit(const uint8_t *data, size_t n, size_t at, size_t end)
{
        while (at < end) {
                size_t size = TLV_HEAD_BYTES + number_so_far(data, n, at + TLV_LENGTH_AT);

                if (size > end - at)
                        return false;
                if (n < at + TLV_HEAD_BYTES)
                        return true;
                at += size;
        }
        return true;
}

/* Checks the part before the addresses. @length: set to the length of the whole header. */
static int parse_head(const uint8_t *data, size_t n, size_t *length)
{
        size_t so_far = ADDRESSES_AT + number_so_far(data, n, LENGTH_AT);

        if (memcmp(data, signature, n < SIGNATURE_BYTES ? n : SIGNATURE_BYTES) != 0)
                return -EPROTO;
        if (n > COMMAND_AT && data[COMMAND_AT] != COMMAND_LOCAL &&
            data[COMMAND_AT] != COMMAND_PROXY)
                return -EPROTO;
        /* With LOCAL, "the family … is ignored". */
        if (n > PROTOCOL_AT && data[COMMAND_AT] == COMMAND_PROXY &&
            (FAMILY(data[PROTOCOL_AT]) >= N_FAMILIES || PROTOCOL(data[PROTOCOL_AT]) >= N_PROTOCOLS))
                return -EPROTO;
        if (so_far > PROXY_PARSE_MAX)
                return -EMSGSIZE;
        if (n < ADDRESSES_AT)
                return -EAGAIN;
        *length = so_far;
        return 0;
}

/* Reads both addresses, and then both ports. */
static void read_ends(const uint8_t *p, int family, size_t ip_bytes, struct proxy_header *header)
{
        in_port_t ports[2];

        memcpy(ports, p + 2 * ip_bytes, sizeof(ports));
        set_end(&header->source, family, p, ports[0]);
        set_end(&header->destination, family, p + ip_bytes, ports[1]);
}

/*
 * "A receiver is not required to implement other ones, provided that it automatically falls back to
 * the UNSPEC mode": addresses other than TCP count as unknown. If the family or the protocol is
 * UNSPEC, the specification does not define the following bytes, so they are not checked.
 */
static int parse_v2(const uint8_t *data, size_t n, struct proxy_header *header)
{
        static const size_t addresses_bytes[N_FAMILIES] = {
                [FAMILY_INET] = 2 * (4 + 2),
                [FAMILY_INET6] = 2 * (16 + 2),
                [FAMILY_UNIX] = 2 * 108,
        };
        struct proxy_header h = { 0 };
        size_t tlvs_at = ADDRESSES_AT;
        uint8_t what;
        int r;

        r = parse_head(data, n, &h.length);
        if (r < 0)
                return r;
        what = data[COMMAND_AT] == COMMAND_PROXY ? data[PROTOCOL_AT] : 0;
        if (FAMILY(what) != FAMILY_UNSPEC && PROTOCOL(what) != PROTOCOL_UNSPEC) {
                tlvs_at += addresses_bytes[FAMILY(what)];
                if (h.length < tlvs_at || !tlvs_fit(data, n, tlvs_at, h.length))
                        return -EPROTO;
        }
        if (n < h.length)
                return -EAGAIN;
        if (what == STREAM_OF(FAMILY_INET))
                read_ends(data + ADDRESSES_AT, AF_INET, sizeof(struct in_addr), &h);
        else if (what == STREAM_OF(FAMILY_INET6))
                read_ends(data + ADDRESSES_AT, AF_INET6, sizeof(struct in6_addr), &h);
        *header = h;
        return 0;
}

int proxy_parse(const uint8_t *data, size_t n, struct proxy_header *header)
{
        if (n == 0)
                return -EAGAIN;
        return data[0] == signature[0] ? parse_v2(data, n, header) : parse_v1(data, n, header);
}

/* Writing */

/* Offset of the IPv4 address in an IPv6 address that it is mapped to. */
#define MAPPED_AT 12

struct end {
        struct in6_addr ip; /* an IPv4 address is mapped */
        in_port_t port;     /* in network order */
};

static bool get_end(const struct address *address, struct end *end)
{
        switch (address->sa.sa_family) {
        case AF_INET:
                *end = (struct end){ .ip.s6_addr = { [10] = 0xff, [11] = 0xff },
                                     .port = address->in.sin_port };
                memcpy(&end->ip.s6_addr[MAPPED_AT], &address->in.sin_addr,
                       sizeof(address->in.sin_addr));
                return true;
        case AF_INET6:
                *end = (struct end){ address->in6.sin6_addr, address->in6.sin6_port };
                return true;
        default:
                return false;
        }
}

/* @family: that of both ends; AF_UNSPEC: both are unknown. */
static size_t format_v1(int family, const struct end ends[2], char *out)
{
        char ips[2][INET6_ADDRSTRLEN];
        size_t at = family == AF_INET ? MAPPED_AT : 0;

        if (family == AF_UNSPEC)
                return (size_t)snprintf(out, PROXY_FORMAT_MAX, UNKNOWN CRLF);
        for (size_t i = 0; i < 2; i++)
                (void)inet_ntop(family, &ends[i].ip.s6_addr[at], ips[i], sizeof(ips[i]));
        return (size_t)snprintf(out, PROXY_FORMAT_MAX, "PROXY TCP%c %s %s %u %u" CRLF,
                                family == AF_INET ? '4' : '6', ips[0], ips[1], ntohs(ends[0].port),
                                ntohs(ends[1].port));
}

static uint8_t *append(uint8_t *p, const void *data, size_t n)
{
        memcpy(p, data, n);
        return p + n;
}

static size_t format_v2(int family, const struct end ends[2], uint8_t *out)
{
        size_t at = family == AF_INET ? MAPPED_AT : 0;
        size_t ip_bytes = sizeof(ends->ip) - at;
        uint8_t *p = append(out, signature, SIGNATURE_BYTES);

        p = append(p, (uint8_t[]){ COMMAND_PROXY, 0, 0, 0 }, ADDRESSES_AT - COMMAND_AT);
        if (family != AF_UNSPEC) {
                out[PROTOCOL_AT] = STREAM_OF(family == AF_INET ? FAMILY_INET : FAMILY_INET6);
                for (size_t i = 0; i < 2; i++)
                        p = append(p, &ends[i].ip.s6_addr[at], ip_bytes);
                for (size_t i = 0; i < 2; i++)
                        p = append(p, &ends[i].port, sizeof(ends[i].port));
                out[LENGTH_AT + 1] = (uint8_t)(p - out - ADDRESSES_AT);
        }
        return (size_t)(p - out);
}

size_t proxy_format(unsigned version, const struct address *source,
                    const struct address *destination, uint8_t *out)
{
        struct end ends[2];
        int family = AF_UNSPEC;

        if (get_end(source, &ends[0]) && get_end(destination, &ends[1]))
                family = IN6_IS_ADDR_V4MAPPED(&ends[0].ip) && IN6_IS_ADDR_V4MAPPED(&ends[1].ip)
                                 ? AF_INET
                                 : AF_INET6;
        return version == 1 ? format_v1(family, ends, (char *)out) : format_v2(family, ends, out);
}
