/* SPDX-License-Identifier: MIT */
/*
 * What both clients work with: the line client and the one that times round trips.
 */
#pragma once

#include "loop.h"
#include "output.h"

/* What is printed on standard error when a server goes away. */
#define CLIENT_SERVER_DOWN "Server Down!\n"

/* Made and freed by main(). */
struct client {
        struct loop *loop; /* takes any file descriptor, unlike "epoll": input may be a file */
        struct output *out, *err;
        int fd; /* connected, non-blocking */
};
