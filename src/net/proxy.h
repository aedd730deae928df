/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt). A proxy sends
 * a header at the beginning of a stream, with the address of its client.
 *
 * These functions parse and format; they use no sockets. Thread: any.
 */
#pragma once

#include "address.h"
#include <stdint.h>

/* The longest header that is accepted: addresses and a few TLVs, which are ignored. */
#define PROXY_PARSE_MAX 4096

/* The longest header that is written: a line of version 1 has at most 107 bytes. */
#define PROXY_FORMAT_MAX 108

/* Plain data. */
struct proxy_header {
        size_t length; /* of the header, in bytes */
        /* Of the client's connection; AF_UNSPEC: it is the proxy's own (LOCAL), or unknown. */
        struct address source, destination;
};

/**
 * proxy_parse() - read a header
 * @data:   the bytes of the stream that have arrived, from the first one on
 * @header: set to the header
 *
 * The first bytes tell the version. A header that the specification does not allow is malformed.
 *
 * Return: 0; -EAGAIN: @data is the beginning of a valid header, and more bytes are needed; -EPROTO:
 * not a header, or a malformed one; -EMSGSIZE: longer than PROXY_PARSE_MAX.
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
