/* SPDX-License-Identifier: MIT */
/*
 * A range of addresses: "10.0.0.0/8", "fd00::/8", one address, or "unix:" for every unix socket.
 */
#pragma once

#include "address.h"
#include <stdint.h>

/* Plain data. */
struct network {
        int family; /* AF_INET, AF_INET6 or AF_UNIX */
        uint8_t prefix_bits;
        uint8_t address[16]; /* in network order; of AF_INET the first 4; host bits are 0 */
};

/**
 * network_parse() - read a range in CIDR notation
 *
 * An address without a prefix is a range of one address.
 *
 * Return: 0; -EINVAL: not a range, or a range with host bits set, which is most likely a typing
 * error.
 */
_must_use_ int network_parse(const char *text, struct network *network);

/* Whether @address lies in @network. An IPv4 address may be mapped to IPv6. */
bool network_contains(const struct network *network, const struct address *address);
