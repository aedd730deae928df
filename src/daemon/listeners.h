/* SPDX-License-Identifier: MIT */
/*
 * All listening sockets of the process, kept in step with the configuration.
 *
 * A socket is either passed by systemd, and then belongs to the service it is named after for as
 * long as the process lives, or opened here for an entry of a service's "listen". A new
 * configuration is put into force whole or not at all.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include "listener.h"

struct listeners;

/* What listeners_match() and listeners_apply() say when they fail: one line, printable. */
#define LISTENERS_WHY_SIZE 1024

/* See listener_events. None may free the set. */
struct listeners_events {
        /* A client connected to a service of @config: of the configuration in force, or of an
         * older one if the service has gone since the client began to connect. */
        void (*on_accept)(void *arg, struct config *config, const struct service *service, int fd,
                          const struct address *peer);
        /* Retired sockets have been closed: listeners_count() is lower. */
        void (*on_retired)(void *arg);
};

/**
 * listeners_new() - take what systemd passed; nothing listens yet
 * @out: set to the set; freed with listeners_free()
 *
 * Return: 0; -ENOMEM; what sd_listen_fds_with_names(3) fails with; -EINVAL: a passed descriptor is
 * no listening stream socket. @why says more.
 */
_must_use_ int listeners_new(struct loop *loop, const struct listeners_events *events, void *arg,
                             char *why, struct listeners **out);

/* Stops listening. Return: NULL. */
struct listeners *listeners_free(struct listeners *listeners);

/**
 * listeners_match() - check that the passed sockets fit @config; see passed_check()
 *
 * Return: 0; -ENOMEM; -EINVAL: a socket belongs to no service, or to another one than the one that
 * is to listen on its address. @why says what was passed, as what, and what to change.
 */
_must_use_ int listeners_match(const struct listeners *listeners, const struct config *config,
                               char *why);

/**
 * listeners_apply() - listen where @config says, and nowhere else
 * @config: matched with listeners_match(); references are taken
 *
 * Sockets that both the old and the new configuration have stay as they are; others are retired,
 * see listener_retire(), and closed LISTENER_RETIRE_USEC later. On failure nothing has changed.
 * Logs each socket it begins or ceases to listen on, and each service whose passed sockets are not
 * what its "listen" says.
 *
 * Return: 0; -ENOMEM; see listener_bind(). @why names the service and the address.
 */
_must_use_ int listeners_apply(struct listeners *listeners, struct config *config, char *why);

/**
 * listeners_describe() - say where each service listens: "echo on 127.0.0.1:8008, db on *:3306"
 * @out: at least LISTENERS_TEXT_SIZE bytes; what finds no room is counted: ", and 3990 more"
 *
 * Return: @out.
 */
const char *listeners_describe(const struct listeners *listeners, char *out);

#define LISTENERS_TEXT_SIZE 1024

/* How many there are, with those that are retired. */
size_t listeners_count(const struct listeners *listeners);

/* Retires all sockets but those passed, which stay open elsewhere; closes those that can't be.
 * Return: how many retired sockets are left: listeners_free() LISTENER_RETIRE_USEC later. */
size_t listeners_retire(struct listeners *listeners);

/* Tries to accept again after a failure. To be called when a connection has ended, which may have
 * freed what was missing. */
void listeners_resume(struct listeners *listeners);

/* Accepts all who wait in any backlog. */
void listeners_accept_pending(struct listeners *listeners);
