/*
 * The PROXY protocol, versions 1 and 2 (haproxy, doc/proxy-protocol.txt): the header ahead of a
 * stream in which a proxy says whom it speaks for.
 *
 * Bytes in, plain data out, and back: no sockets. Thread: any.
 */
#pragma once

#include "address.h"
#include <stdint.h>

/* The longest header taken: the addresses, and room for a few TLVs, which are not looked at. */
#define PROXY_PARSE_MAX 4096

/* The longest header written: a line of version 1 is at most 107 bytes. */
#define PROXY_FORMAT_MAX 108

/* What a header says. */
struct proxy_header {
        size_t length; /* of the header, in bytes */
        /* The real ends; of AF_UNSPEC if the proxy speaks for itself (LOCAL) or can't tell. */
        struct address source, destination;
};

/**
 * proxy_parse() - read a header
 * @data: the stream from its first byte on, as much as has come; it may go on after the header
 * @header: set to what it says
 *
 * Either version is known by its first bytes. Strict: what the text does not allow is malformed.
 *
 * Return: 0; -EAGAIN: all of @data may be the beginning of a header, and there must be more;
 * -EPROTO: it is no header, or a malformed one; -EMSGSIZE: longer than PROXY_PARSE_MAX.
 */
_must_use_ int proxy_parse(const uint8_t *data, size_t n, struct proxy_header *header);

/**
 * proxy_format() - write a header
 * @version: 1 or 2
 * @out:     PROXY_FORMAT_MAX bytes
 *
 * Ends that are not of IPv4 or IPv6 are written as unknown. When one is IPv4 and the other IPv6,
 * both are written as IPv6, the first one mapped (::ffff:1.2.3.4); when both are mapped, as IPv4.
 *
 * Return: the length of the header.
 */
size_t proxy_format(unsigned version, const struct address *source,
                    const struct address *destination, uint8_t *out);
