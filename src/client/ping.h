/* SPDX-License-Identifier: MIT */
/*
 * Timing of round trips through an echo, in the habits of ping(8).
 */
#pragma once

#include "client.h"
#include "probe.h"
#include <stdint.h>

struct ping_options {
        uint64_t count; /* messages to send; 0: until interrupted */
        uint64_t interval_usec;
        uint64_t size_bytes;    /* of a message, 1 to PROBE_SIZE_MAX */
        uint64_t deadline_usec; /* for the whole, from the first message on; 0: none */
        uint64_t wait_usec;     /* for each answer; 0: as long as the connection lasts */
        bool quiet;             /* only the first line and the statistics */
};

/* The server, in the words to print. */
struct ping_server {
        const char *name;   /* as the user gave it */
        const char *source; /* with the address that a name stands for */
};

/**
 * ping_run() - send messages, an interval apart, and time each until it is back
 *
 * Ends when all are back, when the deadline has passed, when nothing has come for @wait_usec after
 * the last message left, when the server goes away, or at SIGINT. SIGQUIT prints the statistics so
 * far on standard error. A message that is not back after a second (after @wait_usec if that is
 * less) is reported, and still counts when it comes. Reported too: messages that come back changed
 * or twice, and bytes that nobody asked for.
 *
 * Return: the exit status: 0: all messages came back, but for those that had left less than a
 * second before an interrupt or the deadline; 1; EX_OSERR: out of memory.
 */
_must_use_ int ping_run(const struct client *client, const struct ping_server *server,
                        const struct ping_options *options);
