/*
 * Connecting to a server, for the clients. Blocks; thread: any.
 */
#pragma once

#include "util.h"

/**
 * dial() - connect to the first address of a name that answers
 * @text: see address_resolve()
 * @fd:   set to the socket: non-blocking, close-on-exec, without Nagle's delay; the caller's
 *
 * Return: 0; as address_resolve(); what connect(2) to the last address failed with.
 */
_must_use_ int dial(const char *text, int *fd);
