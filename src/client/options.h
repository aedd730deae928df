/* SPDX-License-Identifier: MIT */
/*
 * The command line of selectc.
 */
#pragma once

#include "ping.h"

struct options {
        const char *server;    /* HOST:PORT or unix:PATH */
        uint64_t timeout_usec; /* of connecting, the look-up included; 0: the system's */
        bool pings;            /* times round trips instead of sending lines */
        struct ping_options ping;
};

/**
 * options_parse() - read the command line
 * @out:    set to the options, if the program is to go on; they point into @argv
 * @status: set to the exit status, if it is not: what the user asked for, or did wrong, was printed
 *
 * Return: whether to go on.
 */
_must_use_ bool options_parse(int argc, char **argv, struct options *out, int *status);
