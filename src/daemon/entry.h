/* SPDX-License-Identifier: MIT */
/*
 * One listening socket of the set (listeners.h), and the service that its clients get.
 *
 * Thread: main.
 */
#pragma once

#include "listener.h"
#include "log.h"
#include "service.h"

struct entry;

TAILQ_HEAD(entry_list, entry);

/* What all entries of a set share; embedded in the set. No callback may free the entry. */
struct entry_owner {
        struct loop *loop;
        /* A client connected; see listener_events. */
        void (*on_accept)(struct entry_owner *owner, const struct entry *entry, int fd,
                          const struct address *peer);
        /* accept(2) failed; the entry's listener is paused. */
        void (*on_error)(struct entry_owner *owner, int error);
};

struct entry {
        TAILQ_ENTRY(entry) entries;
        struct entry_owner *owner;
        struct listener *listener;
        struct address configured; /* the "listen" that the socket was opened for, unless passed */
        bool is_passed;            /* by systemd, at @passed_index */
        size_t passed_index;
        struct service *service;       /* a reference; NULL: none yet */
        struct service_config *config; /* of its clients, a reference; NULL: none yet */

        struct service_config *next; /* set by plan_make(); NULL: the socket does not stay */
        bool covered; /* it stays although no "listen" asks for it; see plan_make() */

        bool retired;
        uint64_t retired_until_usec; /* when a retired socket is closed */
};

/**
 * entry_new() - make an entry for a listening socket
 * @fd:        consumed on success
 * @config:    that of its next service; the entry has none until entry_set_service()
 * @is_passed: systemd passed the socket, so the file of a unix socket is not removed
 * @out:       set to the entry; freed with entry_free()
 *
 * Return: 0; see listener_new().
 */
_must_use_ int entry_new(struct entry_owner *owner, int fd, struct service_config *config,
                         bool is_passed, struct entry **out);

/**
 * entry_free() - close the socket
 * Return: NULL.
 */
struct entry *entry_free(struct entry *entry);

/* Frees all entries of a list, and leaves it empty. */
void entry_list_free(struct entry_list *list);

/* Gives the clients of the socket to a service, with these settings; references are taken. */
void entry_set_service(struct entry *entry, struct service *service, struct service_config *config);

/* Logs that the service of an entry does something at its address. @words: "listening on", … */
void entry_log(const struct entry *entry, enum log_kind kind, const char *words);
