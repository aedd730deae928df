/* SPDX-License-Identifier: MIT */
/*
 * The sockets that systemd passed to this process (sd_listen_fds(3)), and their services.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"

/* One socket. Plain data, owned by the set. */
struct passed_socket {
        char *name; /* FileDescriptorName=, printable */
        int fd;     /* -1: it was taken, and its new owner closes it */
        struct address address;
};

struct passed {
        struct passed_socket *sockets;
        size_t n;
};

/* The size of the reason that a failed call writes to @why: one line, printable. */
#define PASSED_WHY_SIZE 1024

/**
 * passed_take() - take the sockets that systemd passed, once in a process
 * @why: set to the error in words
 * @out: set to the sockets, perhaps none; freed with passed_free()
 *
 * Return: 0; -ENOMEM; what sd_listen_fds_with_names(3) fails with; -EINVAL: a passed descriptor is
 * no listening stream socket.
 */
_must_use_ int passed_take(char *why, struct passed **out);

/**
 * passed_free() - close all sockets that were not taken
 * Return: NULL.
 */
struct passed *passed_free(struct passed *passed);

/* For _cleanup_(). */
static inline void passed_freep(struct passed **passed)
{
        passed_free(*passed);
}

/**
 * passed_service() - find the service that a socket belongs to
 *
 * A socket belongs to the service of its name. A socket with a default name belongs to the service
 * whose "listen" is its address. If it is the only socket, it belongs to the only service.
 *
 * Return: the service; NULL: there is none.
 */
struct service_config *passed_service(const struct passed *passed, size_t i,
                                      const struct config *config);

/**
 * passed_check() - check that the sockets fit a configuration
 * @why: set to what was passed, under which name, and what to change
 *
 * Return: 0; -ENOMEM; -EINVAL: a socket belongs to no service, or a service is to listen on an
 * address that was passed for another.
 */
_must_use_ int passed_check(const struct passed *passed, const struct config *config, char *why);

/**
 * passed_flags() - find out which services have passed sockets
 * Return: a flag for each service of @config, freed by the caller; NULL: out of memory.
 */
bool *passed_flags(const struct passed *passed, const struct config *config);

/**
 * passed_difference() - compare the sockets of a service with its "listen"
 * @i:   a socket; unless it is the first one of its service, NULL is returned
 * @out: set to the differences, printable; at least PASSED_WHY_SIZE bytes
 *
 * Port 0 agrees with every port.
 *
 * Return: the service whose sockets differ; NULL: there is no difference.
 */
const struct service_config *passed_difference(const struct passed *passed, size_t i,
                                               const struct config *config, char *out);
