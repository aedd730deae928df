/* SPDX-License-Identifier: MIT */
/*
 * A dialer connects to an upstream of a service without blocking. It looks up the upstream's name
 * and tries each address, then the next upstream, and then all of them again.
 *
 * Thread: the loop's.
 */
#pragma once

#include "loop.h"
#include "resolver.h"
#include "retry.h"
#include "service.h"

/* The longest name of an upstream, with the NUL. */
#define DIALER_NAME_SIZE 300

struct dialer;

/* Common to the dialers of one loop. Embedded in its owner. The members are private. */
struct dialers {
        struct loop *loop;
        struct asker asker;
        struct retries retries;
};

/*
 * Callbacks. on_connected or on_failed is the last one. It is not called from within dialer_new(),
 * and may free the dialer.
 *
 * @name:  the upstream, as the configuration has it; valid until the dialer is freed
 * @error: -ECONNREFUSED, -ETIMEDOUT, -EHOSTDOWN: the name cannot be looked up, -EDEADLK: the
 *         service itself listens at the address, -EMFILE, …
 */
struct dialer_events {
        /* An address cannot be reached. The next one is tried. Must not free the dialer. */
        void (*on_try_failed)(void *arg, int error, const char *name);
        /* The dialer waits for connect_delay or for the next retry. Must not free the dialer. */
        void (*on_waiting)(void *arg);
        /* @fd: for the callee to close; non-blocking, close-on-exec; see socket_options_prepare().
         */
        void (*on_connected)(void *arg, int fd, const char *name);
        /* No upstream can be reached. @error: that of the last attempt. */
        void (*on_failed)(void *arg, int error, const char *name);
};

/* @resolver, @loop: see asker_init(); both outlive all dialers. */
void dialers_init(struct dialers *dialers, struct loop *loop, struct resolver *resolver);

/**
 * dialer_new() - begin to connect to the first upstream that can be reached
 * @dialers: those of the caller's loop; outlive the dialer
 * @service: outlives the dialer
 * @config:  the dialer takes a reference
 * @events:  called with @arg
 * @out:     set to the dialer; freed with dialer_free()
 *
 * After connect_delay, upstreams are tried in order, and the addresses of a name in turn, each for
 * connect_timeout. Until connect_wait is over, all are tried again; see retry.h.
 *
 * Return: 0; -ENOMEM; -EUSERS: max_dialing clients of the service are being connected already.
 */
_must_use_ int dialer_new(struct dialers *dialers, struct service *service,
                          struct service_config *config, const struct dialer_events *events,
                          void *arg, struct dialer **out);

/**
 * dialer_free() - cancel and free a dialer
 * Return: NULL.
 */
struct dialer *dialer_free(struct dialer *dialer);
