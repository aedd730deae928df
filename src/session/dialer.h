/* SPDX-License-Identifier: MIT */
/*
 * Connects to an upstream of a service, without blocking: looks up its name, tries each address,
 * then the next upstream, then all of them again.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include "resolver.h"
#include "retry.h"
#include "service.h"

/* What a name of an upstream takes at most, with the NUL. */
#define DIALER_NAME_SIZE 300

struct dialer;

/* What the dialers of one loop share. Embedded in its owner; all members are its own. */
struct dialers {
        struct loop *loop;
        struct asker asker;
        struct retries retries;
};

/*
 * What a dialer tells its owner. on_connected or on_failed is the last call. It is not made from
 * within dialer_new(), and may free the dialer.
 *
 * @name:  the upstream, as the configuration has it; valid until the dialer is freed
 * @error: -ECONNREFUSED, -ETIMEDOUT, -EHOSTDOWN: the name cannot be looked up, -EDEADLK: the
 * service itself listens at the address, -EMFILE, …
 */
struct dialer_events {
        /* An address cannot be reached. The next one is tried, if there is one. Frees nothing. */
        void (*on_try_failed)(void *arg, int error, const char *name);
        /* It waits: for connect_delay, or for the next retry. Frees nothing. */
        void (*on_waiting)(void *arg);
        /* @fd: the callee's; non-blocking, close-on-exec; see socket_options_prepare(). */
        void (*on_connected)(void *arg, int fd, const char *name);
        /* No upstream can be reached. @error: of the last try. */
        void (*on_failed)(void *arg, int error, const char *name);
};

/* Prepares what is shared. @resolver, @loop: see asker_init(); both outlive all dialers. */
void dialers_init(struct dialers *dialers, struct loop *loop, struct resolver *resolver);

/**
 * dialer_new() - begin to connect to the first upstream of a service that can be reached
 * @dialers: of the caller's loop; outlives the dialer
 * @service: outlives the dialer
 * @config:  a reference is taken. Its upstreams are tried in order, and each address of a name in
 *           turn, each for connect_timeout, after connect_delay; and all again, see retry.h, for as
 *           long as connect_wait says.
 * @events:  called with @arg
 * @out:     set to the dialer; freed with dialer_free()
 *
 * Return: 0; -ENOMEM; -EUSERS: max_dialing clients of the service are being connected already.
 */
_must_use_ int dialer_new(struct dialers *dialers, struct service *service,
                          struct service_config *config, const struct dialer_events *events,
                          void *arg, struct dialer **out);

/**
 * dialer_free() - give up what is under way
 * Return: NULL.
 */
struct dialer *dialer_free(struct dialer *dialer);
