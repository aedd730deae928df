/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol, versions 1 and 2 (haproxy, doc/proxy-protocol.txt): the header at the
 * beginning of a stream, in which a proxy names the client that it speaks for.
 *
 * Bytes in, plain data out, and back: no sockets. Thread: any.
 */
#pragma once

#include "address.h"
#include <stdint.h>

/* The longest header that is accepted: the addresses, and room for a few TLVs, which are ignored.
 */
#define PROXY_PARSE_MAX 4096

/* The longest header that is written: a line of version 1 has at most 107 bytes. */
#define PROXY_FORMAT_MAX 108

/* What a header says. */
struct proxy_header {
        size_t length; /* of the header, in bytes */
        /* The real ends; AF_UNSPEC if the proxy speaks for itself (LOCAL) or does not know them. */
        struct address source, destination;
};

/**
 * proxy_parse() - read a header
 * @data: the stream from its first byte on, as far as it has arrived
 * @header: set to what it says
 *
 * The version is told by the first bytes. What the specification does not allow is malformed.
 *
 * Return: 0; -EAGAIN: all of @data is the beginning of a valid header, and more is needed;
 * -EPROTO: it is no header, or a malformed one; -EMSGSIZE: longer than PROXY_PARSE_MAX.
 */
_must_use_ int proxy_parse(const uint8_t *data, size_t n, struct proxy_header *header);

/**
 * proxy_format() - write a header
 * @version: 1 or 2
 * @out:     PROXY_FORMAT_MAX bytes
 *
 * Ends that are neither IPv4 nor IPv6 are written as unknown. If one end is IPv4 and the other
 * IPv6, both are written as IPv6, with the IPv4 end mapped (::ffff:1.2.3.4). If both are mapped,
 * both are written as IPv4.
 *
 * Return: the length of the header.
 */
size_t proxy_format(unsigned version, const struct address *source,
                    const struct address *destination, uint8_t *out);
