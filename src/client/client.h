/* SPDX-License-Identifier: MIT */
/*
 * What the line client and the ping client have in common.
 */
#pragma once

#include "loop.h"
#include "output.h"

/* Printed on standard error when the server goes away. */
#define CLIENT_SERVER_DOWN "Server Down!\n"

/* Made and freed by main(). */
struct client {
        struct loop *loop; /* its backend accepts regular files, which input may be */
        struct output *out, *err;
        int fd; /* connected, non-blocking */
};
