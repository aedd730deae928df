/* SPDX-License-Identifier: MIT */
/*
 * All listening sockets of the process, kept in step with the configuration.
 *
 * A socket is either passed by systemd or opened here for an entry of a service's "listen". A
 * passed socket belongs to the service it is named after, and stays open as long as the process
 * lives. A new configuration is applied whole or not at all.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "listener.h"
#include "registry.h"

struct listeners;

/* The size of the reason that a failed call writes to @why: one line, printable. */
#define LISTENERS_WHY_SIZE 1024

/* Callbacks, called with the owner's @arg. None may free the set. */
struct listeners_events {
        /* A client connected to a service. @config is an old one if the service was removed while
         * the client was connecting. A disabled service has clients only through a socket that
         * systemd passed. */
        void (*on_accept)(void *arg, struct service *service, struct service_config *config, int fd,
                          const struct address *peer);
        /* Retired sockets have been closed: listeners_count() is lower. */
        void (*on_retired)(void *arg);
};

/**
 * listeners_new() - make a set of the sockets that systemd passed; nothing is accepted yet
 * @out: set to the set; freed with listeners_free()
 *
 * Return: 0; -ENOMEM; what sd_listen_fds_with_names(3) fails with; -EINVAL: a passed descriptor is
 * no listening stream socket. @why says more.
 */
_must_use_ int listeners_new(struct loop *loop, const struct listeners_events *events, void *arg,
                             char *why, struct listeners **out);

/* Closes all sockets. Return: NULL. */
struct listeners *listeners_free(struct listeners *listeners);

/**
 * listeners_match() - check that the passed sockets fit @config; see passed_check()
 *
 * Return: 0; -ENOMEM; -EINVAL: a socket belongs to no service, or another service is to listen on
 * its address. @why says what was passed under which name, and what to change.
 */
_must_use_ int listeners_match(const struct listeners *listeners, const struct config *config,
                               char *why);

/**
 * listeners_apply() - listen where @config says, and nowhere else
 * @config:   matched with listeners_match(); references to its services are taken
 * @registry: has all services of @config
 *
 * Sockets that are in both the old and the new configuration stay open. Sockets of a disabled
 * service are closed at once, except passed ones. The others are retired, see listener_retire(),
 * and closed LISTENER_RETIRE_USEC later. On failure nothing has changed. Logs each socket that is
 * opened or closed, and each service whose passed sockets differ from its "listen".
 *
 * Return: 0; -ENOMEM; see listener_bind(). @why names the service and the address.
 */
_must_use_ int listeners_apply(struct listeners *listeners, const struct config *config,
                               const struct registry *registry, char *why);

/**
 * listeners_describe() - list the addresses of services: "echo on 127.0.0.1:8008, db on *:3306"
 * @out: at least LISTENERS_TEXT_SIZE bytes; sockets that do not fit are counted: ", and 3990 more"
 *
 * Return: @out.
 */
const char *listeners_describe(const struct listeners *listeners, char *out);

#define LISTENERS_TEXT_SIZE 1024

/**
 * listeners_find_address() - find out where a service listens
 * @out: set to the address of its first socket, with the port that the system chose
 *
 * Return: false: it listens nowhere.
 */
bool listeners_find_address(const struct listeners *listeners, const char *service,
                            struct address *out);

/**
 * listeners_find_other() - find a service that has an address already
 * Return: the name of a service, other than @service, that clients of @address would reach; NULL:
 * there is none.
 */
const char *listeners_find_other(const struct listeners *listeners, const struct address *address,
                                 const char *service);

/* Return: the number of open sockets, with the retired ones. */
size_t listeners_count(const struct listeners *listeners);

/* Retires all sockets but the passed ones, which systemd keeps open. Closes sockets that cannot be
 * retired. Return: how many sockets are retired; call listeners_free() LISTENER_RETIRE_USEC later.
 */
size_t listeners_retire(struct listeners *listeners);

/* Accepts again after a failure. To be called when a connection has ended, which may have freed the
 * missing resource. */
void listeners_resume(struct listeners *listeners);

/* Accepts the clients in all backlogs. */
void listeners_accept_pending(struct listeners *listeners);
