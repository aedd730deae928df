/*
 * Timing of round trips through an echo, printed the way ping(8) does.
 */
#pragma once

#include <event2/event.h>
#include <stdint.h>

struct ping_options {
        const char *name; /* of the server, to print */
        uint64_t count;
        uint64_t interval_usec;
        uint64_t size; /* bytes a message, 1 to PING_SIZE_MAX */
};

#define PING_SIZE_MAX 65536

/**
 * ping_run() - send messages, an interval apart, and time each until it is back
 * @fd: connected, non-blocking; consumed
 *
 * Ends when all are back, when the server goes away, or at SIGINT. A message that comes back other
 * than it was sent is said so and counts as lost.
 *
 * Return: the exit status: 0: all that was sent came back; 1; EX_OSERR: out of memory.
 */
int ping_run(struct event_base *base, int fd, const struct ping_options *options);
