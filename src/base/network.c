/* SPDX-License-Identifier: MIT */
/*
 * IPv4 addresses that are mapped to IPv6, and ranges of them, are turned into IPv4 before they are
 * compared.
 */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define MAPPED_BITS 96 /* the prefix of ::ffff:0:0/96, which marks a mapped IPv4 address */

/* Reads a decimal number without leading zeros. */
static bool parse_bits(const char *text, unsigned max, uint8_t *bits)
{
        size_t n = strlen(text);
        unsigned long value = strtoul(text, NULL, 10);

        if (n == 0 || strspn(text, "0123456789") != n || (text[0] == '0' && n > 1) || value > max)
                return false;
        *bits = (uint8_t)value;
        return true;
}

static bool bit_is_set(const uint8_t *bytes, unsigned bit)
{
        return bytes[bit / 8] & 0x80 >> bit % 8;
}

/*
 * Turns a range of mapped addresses into a range of IPv4. Its prefix is at least 96 bits long,
 * because bits 80 to 95 are ones and no host bit is set.
 */
static void unmap(struct network *network)
{
        static const uint8_t mapped[MAPPED_BITS / 8] = { [10] = 0xff, [11] = 0xff };

        if (network->family != AF_INET6 || memcmp(network->address, mapped, sizeof(mapped)) != 0)
                return;
        network->family = AF_INET;
        network->prefix_bits -= MAPPED_BITS;
        memmove(network->address, network->address + sizeof(mapped), sizeof(struct in_addr));
        memset(network->address + sizeof(struct in_addr), 0, sizeof(mapped));
}

static int parse_inet(const char *text, struct network *network)
{
        struct network parsed = { 0 };
        char ip[INET6_ADDRSTRLEN];
        size_t n = strcspn(text, "/");
        uint8_t max;

        if (n >= sizeof(ip))
                return -EINVAL;
        memcpy(ip, text, n);
        ip[n] = '\0';
        parsed.family = strchr(ip, ':') ? AF_INET6 : AF_INET;
        max = parsed.family == AF_INET6 ? 128 : 32;
        parsed.prefix_bits = max;
        if (inet_pton(parsed.family, ip, parsed.address) != 1 ||
            (text[n] && !parse_bits(text + n + 1, max, &parsed.prefix_bits)))
                return -EINVAL;
        for (unsigned bit = parsed.prefix_bits; bit < max; bit++)
                if (bit_is_set(parsed.address, bit))
                        return -EINVAL;
        unmap(&parsed);
        *network = parsed;
        return 0;
}

int network_parse(const char *text, struct network *network)
{
        if (strcmp(text, "unix:") != 0)
                return parse_inet(text, network);
        *network = (struct network){ .family = AF_UNIX };
        return 0;
}

/* Whether @bytes begin with the range's prefix. */
static bool has_prefix(const struct network *network, const uint8_t *bytes)
{
        size_t whole = network->prefix_bits / 8;
        unsigned rest = network->prefix_bits % 8;

        return memcmp(network->address, bytes, whole) == 0 &&
               (rest == 0 || (network->address[whole] ^ bytes[whole]) >> (8 - rest) == 0);
}

bool network_contains(const struct network *network, const struct address *address)
{
        const struct in6_addr *ip = &address->in6.sin6_addr;

        switch (address->sa.sa_family) {
        case AF_INET:
                return network->family == AF_INET &&
                       has_prefix(network, (const uint8_t *)&address->in.sin_addr);
        case AF_INET6:
                if (IN6_IS_ADDR_V4MAPPED(ip))
                        return network->family == AF_INET &&
                               has_prefix(network, &ip->s6_addr[MAPPED_BITS / 8]);
                return network->family == AF_INET6 && has_prefix(network, ip->s6_addr);
        default:
                return network->family == AF_UNIX && address->sa.sa_family == AF_UNIX;
        }
}
