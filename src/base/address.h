/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: IPv4, IPv6, or the path of a unix socket.
 */
#pragma once

#include "util.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Plain data. @sa.sa_family tells which member is in use; @length is the length of that member. */
struct address {
        socklen_t length;
        bool any; /* "*": every IPv6 and IPv4 address of this host, on one socket */
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_un un;
                struct sockaddr_storage storage;
        };
};

/* The longest text of address_format(): "unix:", a path of 107 bytes escaped, and the NUL. */
#define ADDRESS_TEXT_SIZE 448

/**
 * address_parse() - read "1.2.3.4:PORT", "[IPv6]:PORT", "*:PORT" or "unix:/PATH"
 *
 * No name is looked up; a port is a number from 0 to 65535, where 0 lets the system choose. The
 * path is absolute and at most 107 bytes (unix(7)); "//" and "/./" in it become "/". An IPv4
 * address that is mapped to IPv6 is read as the IPv4 one. Thread: any; never blocks.
 *
 * Return: 0; -EINVAL: not an address; -ENOMEM.
 */
_must_use_ int address_parse(const char *text, struct address *address);

/**
 * address_resolve() - like address_parse(), but look up names and accept relative paths
 * @addresses: room for @max addresses; filled in the order in which to try them
 *
 * Blocks while a name is looked up: for programs with nothing else to do, such as selectc.
 *
 * Return: how many addresses were found, 1 to @max; -EINVAL: not an address; -ENOENT: no such name;
 * -EAGAIN: the look-up failed temporarily; -ENOMEM.
 */
_must_use_ int address_resolve(const char *text, struct address *addresses, int max);

/**
 * address_format() - write an address the way address_parse() reads it
 * @out: at least ADDRESS_TEXT_SIZE bytes
 *
 * An IPv4 address that is mapped to IPv6 (::ffff:1.2.3.4) is written as IPv4. A unix socket without
 * a name is written as "unix:".
 *
 * Return: @out.
 */
const char *address_format(const struct address *address, char *out);

/* Whether both are the same address and port, or the same path. */
bool address_equal(const struct address *a, const struct address *b);

/**
 * address_format_client() - name the peer of an accepted socket in log lines
 * @fd:   the socket
 * @peer: its address
 * @out:  at least ADDRESS_TEXT_SIZE bytes
 *
 * A client of a unix socket has no address of its own; it is written as "unix:pid=PID,uid=UID".
 *
 * Return: @out.
 */
const char *address_format_client(int fd, const struct address *peer, char *out);

/**
 * address_of_socket() - get the address that a socket is bound to
 *
 * For a socket that was bound to port 0, this has the port that the system chose.
 *
 * Return: 0; what getsockname(2) fails with.
 */
_must_use_ int address_of_socket(int fd, struct address *address);

/* Whether a socket bound to @listen can report @address: port 0 agrees with every port. */
bool address_agrees(const struct address *listen, const struct address *address);

/* Orders addresses for sorting. Return: less than 0; 0: address_equal(); more than 0. */
int address_compare(const struct address *a, const struct address *b);

/*
 * Whether one connection could arrive at both: the addresses are equal, or one is the wildcard of
 * the other's family and the ports are equal. Port 0 overlaps with nothing: the system chooses a
 * free port.
 */
bool address_overlaps(const struct address *a, const struct address *b);

/* Return: @to, but 127.0.0.1 for 0.0.0.0 and ::1 for ::, as connect(2) takes them (ip(7)). */
struct address address_destination(const struct address *to);

/*
 * Whether a connection from this host to @to arrives at a socket that listens on @listen, as far as
 * the two addresses tell.
 */
bool address_reaches(const struct address *to, const struct address *listen);

/*
 * Whether an IP address belongs to this host. The routing table decides: the system would send to
 * such an address from the same address. Of several addresses in one network, only the first is
 * recognised.
 */
bool address_is_local(const struct address *address);

/* Whether the address is in 127.0.0.0/8, also when mapped to IPv6, or is ::1. */
bool address_is_loopback(const struct address *address);

/* Whether the address is a wildcard: 0.0.0.0, also when mapped to IPv6, or ::. */
bool address_is_any(const struct address *address);

/* Changes the port of an IP address. */
void address_set_port(struct address *address, uint16_t port);

/* Return: the port; 0 for a unix socket. */
unsigned address_port(const struct address *address);
