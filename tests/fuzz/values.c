/* SPDX-License-Identifier: MIT */
/*
 * Values of a configuration: time spans, sizes, addresses and ranges of addresses. A legal value is
 * written and read back unchanged. An illegal value leaves the result as it was.
 */
#include "address.h"
#include "fuzz.h"
#include "network.h"
#include "quantity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>

#define UNTOUCHED 0xaa

static bool is_untouched(const void *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (((const uint8_t *)bytes)[i] != UNTOUCHED)
                        return false;
        return true;
}

static void usec(const char *text)
{
        char shown[QUANTITY_TEXT_SIZE];
        uint64_t value = 7, again;
        int r = quantity_parse_usec(text, &value);

        MUST(r == 0 || ((r == -EINVAL || r == -ERANGE) && value == 7));
        if (r == 0)
                MUST(quantity_parse_usec(quantity_format_usec(value, shown), &again) == 0 &&
                     again == value);
}

static void bytes(const char *text)
{
        uint64_t value = 7, again;
        char shown[32];
        int r = quantity_parse_bytes(text, &value);

        MUST(r == 0 || ((r == -EINVAL || r == -ERANGE) && value == 7));
        if (r < 0)
                return;
        (void)snprintf(shown, sizeof(shown), "%" PRIu64, value);
        MUST(quantity_parse_bytes(shown, &again) == 0 && again == value);
}

static void address(const char *text)
{
        char shown[ADDRESS_TEXT_SIZE], shown_again[ADDRESS_TEXT_SIZE];
        struct address value, again;
        int r;

        memset(&value, UNTOUCHED, sizeof(value));
        r = address_parse(text, &value);
        MUST(r == 0 || (r == -EINVAL && is_untouched(&value, sizeof(value))));
        if (r < 0)
                return;
        MUST(value.length <=
             (value.sa.sa_family == AF_UNIX ? sizeof(value.un) : sizeof(value.in6)));
        (void)address_format(&value, shown);
        if (value.sa.sa_family == AF_UNIX && strcmp(shown, text) != 0)
                return; /* a path that is shown escaped */
        MUST(address_parse(shown, &again) == 0);
        MUST(address_port(&again) == address_port(&value));
        MUST(strcmp(address_format(&again, shown_again), shown) == 0);
        /* An IPv4 address that was mapped to IPv6 is read back as IPv4. */
        MUST(address_equal(&again, &value) ||
             (value.sa.sa_family == AF_INET6 && again.sa.sa_family == AF_INET));
}

/* The range's first address, or the last one. */
static void address_in(const struct network *network, bool last, struct address *out)
{
        bool is_ipv4 = network->family == AF_INET;
        uint8_t *ip = is_ipv4 ? (uint8_t *)&out->in.sin_addr : out->in6.sin6_addr.s6_addr;
        unsigned bits = is_ipv4 ? 32 : 128;

        memset(out, 0, sizeof(*out));
        out->sa.sa_family = (sa_family_t)network->family;
        memcpy(ip, network->address, bits / 8);
        for (unsigned bit = network->prefix_bits; last && bit < bits; bit++)
                ip[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

static void network(const char *text)
{
        char ip[INET6_ADDRSTRLEN], shown[INET6_ADDRSTRLEN + sizeof("/128")];
        struct network value, again;
        struct address end;
        int r;

        memset(&value, UNTOUCHED, sizeof(value));
        r = network_parse(text, &value);
        MUST(r == 0 || (r == -EINVAL && is_untouched(&value, sizeof(value))));
        if (r < 0 || value.family == AF_UNIX)
                return;
        MUST(inet_ntop(value.family, value.address, ip, sizeof(ip)));
        (void)snprintf(shown, sizeof(shown), "%s/%u", ip, value.prefix_bits);
        MUST(network_parse(shown, &again) == 0);
        MUST(again.family == value.family && again.prefix_bits == value.prefix_bits &&
             memcmp(again.address, value.address, sizeof(value.address)) == 0);
        for (int last = 0; last <= 1; last++) {
                address_in(&value, last, &end);
                /* No range of IPv6 contains addresses that are mapped to IPv6. */
                MUST(network_contains(&value, &end) ||
                     (value.family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&end.in6.sin6_addr)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(freep) char *text = copy_text(data, n);

        usec(text);
        bytes(text);
        address(text);
        network(text);
        return 0;
}
