/* SPDX-License-Identifier: MIT */
/*
 * The command line of selectc.
 */
#pragma once

#include "ping.h"

struct options {
        const char *server;    /* HOST:PORT or unix:PATH */
        uint64_t timeout_usec; /* for the look-up and connecting; 0: the system's */
        bool pings;            /* time round trips instead of sending lines */
        struct ping_options ping;
};

/**
 * options_parse() - read the command line
 * @out:    set to the options if the program goes on; they point into @argv
 * @status: otherwise set to the exit status; the help, version or error has been printed
 *
 * Return: whether the program goes on.
 */
_must_use_ bool options_parse(int argc, char **argv, struct options *out, int *status);
