/*
 * The line client: what is typed goes out, what comes back is printed, both at once.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

/* What the clients say when a server goes away. */
#define SERVER_DOWN "Server Down!"

/* Writes out what has been printed. Return: whether it could; if not, that is said. */
bool lines_flush(void);

/**
 * lines_run() - send standard input, print each line that comes back as "RECEIVE: LINE"
 * @base: takes any file descriptor (EV_FEATURE_FDS): input may be a regular file
 * @fd:   connected, non-blocking; consumed
 *
 * At the end of input the connection is half-closed and what is still under way is printed.
 * Prints SERVER_DOWN on standard error when the server closes before that, or fails.
 *
 * Return: the exit status: 0; 1: the server went away, or output failed; EX_OSERR: out of memory.
 */
int lines_run(struct event_base *base, int fd);
