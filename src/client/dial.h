/* SPDX-License-Identifier: MIT */
/*
 * Connecting to a server, for the clients. Blocks; thread: any.
 */
#pragma once

#include "address.h"

/* The most addresses of a name that are tried. */
#define DIAL_ADDRESSES_MAX 64

/* A deadline that never comes. */
#define DIAL_NO_DEADLINE UINT64_MAX

/**
 * dial_look_up() - find the addresses of a server, as address_resolve() does
 * @name:          HOST:PORT or unix:PATH
 * @deadline_usec: when to give up, on the clock of now_usec(); the look-up's thread then lives on
 *                 until the program ends
 * @addresses:     room for DIAL_ADDRESSES_MAX addresses
 * @n:             set to the number of addresses, at least 1
 *
 * Return: 0; -ETIMEDOUT: the deadline passed; what address_resolve() and pthread_create(3) fail
 * with.
 */
_must_use_ int dial_look_up(const char *name, uint64_t deadline_usec, struct address *addresses,
                            size_t *n);

/**
 * dial() - connect to the first of @n addresses that answers
 * @addresses:     1 to DIAL_ADDRESSES_MAX addresses, the best first
 * @deadline_usec: when to give up, on the clock of now_usec()
 * @fd:            set to the socket, for the caller to close: non-blocking, close-on-exec, with
 *                 TCP_NODELAY
 * @reached:       set to its address
 *
 * IPv6 and IPv4 addresses alternate. An attempt begins 250 ms after the one before, or at once if
 * no other is pending. The first connection wins (RFC 8305, "Happy Eyeballs").
 *
 * Return: 0; -ETIMEDOUT: the deadline passed; what socket(2) for, or connect(2) to, the last
 * address failed with.
 */
_must_use_ int dial(const struct address *addresses, size_t n, uint64_t deadline_usec, int *fd,
                    struct address *reached);
