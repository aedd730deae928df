/* SPDX-License-Identifier: MIT */
/*
 * The line client: sends lines of standard input, and prints what comes back, both at once.
 */
#pragma once

#include "client.h"

/**
 * lines_run() - send standard input, print each line that comes back as "RECEIVE: LINE"
 *
 * At the end of input, half-closes the connection and prints the rest of the answers. Prints
 * CLIENT_SERVER_DOWN on standard error if the server closes before the end of input, or fails.
 * Lines on a terminal are escaped with escape_for_terminal(). While the output is full, the server
 * is not read, so that memory stays bounded.
 *
 * Return: the exit status: 0; 1: the server went away, or input or output failed; EX_OSERR: out of
 * memory.
 */
_must_use_ int lines_run(const struct client *client);
