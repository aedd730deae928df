/* SPDX-License-Identifier: MIT */
#include "echo.h"

static int echo_open(struct connection *c, const struct proxy_header *header)
{
        (void)header;
        return connection_start(c);
}

const struct mode echo_mode = {
        .open = echo_open,
};
