/* SPDX-License-Identifier: MIT */
/*
 * The ping client: times round trips through an echo, and prints them as ping(8) does.
 */
#pragma once

#include "client.h"
#include "probe.h"
#include <stdint.h>

struct ping_options {
        uint64_t count; /* messages to send; 0: until interrupted */
        uint64_t interval_usec;
        uint64_t size_bytes;    /* of a message, 1 to PROBE_SIZE_MAX */
        uint64_t deadline_usec; /* for the run, counted from the first message; 0: none */
        uint64_t wait_usec;     /* for each answer; 0: as long as the connection lasts */
        bool quiet;             /* print only the first line and the statistics */
};

/* The server, as it is printed. */
struct ping_server {
        const char *name;   /* as the user gave it */
        const char *source; /* with the address that a name was resolved to */
};

/**
 * ping_run() - send messages at an interval, and time each until its answer arrives
 *
 * The run ends when all messages have answers, at the deadline, when no answer arrives for
 * @wait_usec after the last message was sent, when the server goes away, or at SIGINT. SIGQUIT
 * prints the statistics so far on standard error. A message without an answer is reported after a
 * second, or after @wait_usec if that is less; a later answer still counts. Corrupted and duplicate
 * answers and unsolicited bytes are reported too.
 *
 * Return: the exit status: 0: all messages have answers, except those that were sent less than a
 * second before SIGINT or the deadline; 1; EX_OSERR: out of memory.
 */
_must_use_ int ping_run(const struct client *client, const struct ping_server *server,
                        const struct ping_options *options);
