/*
 * Connecting to a server, for the clients. Blocks; thread: any.
 */
#pragma once

#include "address.h"

/**
 * dial() - connect to the first of @n addresses that answers
 * @n:  at least 1
 * @fd: set to the socket: non-blocking, close-on-exec, without Nagle's delay; the caller's
 *
 * Return: 0; what socket(2) for, or connect(2) to, the last address failed with.
 */
_must_use_ int dial(const struct address *addresses, int n, int *fd);
