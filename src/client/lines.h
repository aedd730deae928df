/* SPDX-License-Identifier: MIT */
/*
 * The line client: what is typed goes out, what comes back is printed, both at once.
 */
#pragma once

#include "client.h"

/**
 * lines_run() - send standard input, print each line that comes back as "RECEIVE: LINE"
 *
 * At the end of input the connection is half-closed, and what is still to come is printed. Prints
 * CLIENT_SERVER_DOWN on standard error when the server closes before that, or fails. Lines that are
 * shown on a terminal are escaped (escape_for_terminal()). While output waits for room, the server
 * is not read, so that memory stays bounded.
 *
 * Return: the exit status: 0; 1: the server went away, or input or output failed; EX_OSERR: out of
 * memory.
 */
_must_use_ int lines_run(const struct client *client);
