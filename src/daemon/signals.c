/* SPDX-License-Identifier: MIT */
/* Signals, read from a signalfd(2). */
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>

struct signals {
        int fd;
        struct event *readable;
        const struct signals_events *events;
        void *arg;
};

/* Return: the signals that selectd acts on. */
static sigset_t handled_signals(void)
{
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        return set;
}

void signals_hold(sigset_t *before)
{
        sigset_t set = handled_signals();

        (void)sigprocmask(SIG_BLOCK, &set, before);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
        const struct signals *signals = arg;
        struct signalfd_siginfo info;

        (void)what;
        while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                if (info.ssi_signo == SIGHUP)
                        signals->events->on_reload(signals->arg);
                else
                        signals->events->on_stop(signals->arg);
}

static void signals_freep(struct signals **signals)
{
        signals_free(*signals);
}

int signals_new(struct loop *loop, const struct signals_events *events, void *arg,
                struct signals **out)
{
        _cleanup_(signals_freep) struct signals *signals = calloc(1, sizeof(*signals));
        sigset_t set = handled_signals();
        int r;

        if (!signals)
                return -ENOMEM;
        signals->events = events;
        signals->arg = arg;
        signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (signals->fd < 0)
                return -errno;
        signals->readable =
                event_new(loop_base(loop), signals->fd, EV_READ | EV_PERSIST, on_readable, signals);
        r = signals->readable ? loop_add_event(signals->readable) : -ENOMEM;
        if (r < 0)
                return r;
        *out = signals;
        signals = NULL;
        return 0;
}

struct signals *signals_free(struct signals *signals)
{
        if (!signals)
                return NULL;
        if (signals->readable)
                event_free(signals->readable);
        closep(&signals->fd);
        free(signals);
        return NULL;
}
