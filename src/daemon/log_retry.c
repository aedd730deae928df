/* SPDX-License-Identifier: MIT */
#include "log_retry.h"
#include "log.h"

#include <errno.h>

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        (void)arg;
        log_retry();
}

int log_retry_start(struct loop *loop, struct event **out)
{
        int fd, r = log_set_nonblocking(&fd);
        struct event *event;

        if (r < 0)
                return r;
        event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, NULL);
        r = event ? loop_add_event(event) : -ENOMEM;
        if (r == 0)
                *out = event;
        else if (event)
                event_free(event);
        return r;
}
