/* SPDX-License-Identifier: MIT */
/*
 * The plan of how the listening sockets change when a configuration is applied. plan_make() decides
 * which sockets stay, and plan_open() opens the missing ones. Until plan_commit(), plan_deinit()
 * undoes everything.
 *
 * Thread: main.
 */
#pragma once

#include "entry.h"
#include "passed.h"

struct address_index;
struct want;

/* The size of the reason that plan_open() writes to @why: one line, printable. */
#define PLAN_WHY_SIZE 1024

struct plan {
        struct entry_list *entries; /* the sockets that are open */
        struct entry_list opened;   /* the sockets that plan_open() added */
        struct want *wants;         /* what the services without passed sockets ask for */
        size_t n_wants;
        struct address_index *unasked; /* addresses of open sockets that no want has */
};

/**
 * plan_make() - decide which sockets stay and which have to be opened
 * @entries: the open sockets; outlives the plan
 * @config:  matched with passed_check(); outlives the plan
 * @plan:    freed with plan_deinit(), also after a failure
 *
 * Sets @next of every entry, and @covered.
 *
 * A socket that was opened here stays if its "listen" is still asked for, by the same service if
 * possible, because port 0 may be the "listen" of many services. It also stays if its address is
 * part of a new one, such as 127.0.0.1:7 of *:7. Closing it would lose clients that are connecting
 * at that moment, even if another socket takes over: Linux has chosen their socket already.
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int plan_make(struct plan *plan, struct entry_list *entries, const struct passed *passed,
                         const struct config *config);

/**
 * plan_open() - open missing sockets, and give unix sockets that stay their new mode and group
 * @passed: sockets that have not been taken are taken
 * @why:    names the service and the address; at least PLAN_WHY_SIZE bytes
 *
 * A mode and group that the configuration has not changed are not set again, so that a change by
 * hand stays.
 *
 * Return: 0; -ENOMEM; see listener_bind(), listener_set_access(). On failure nothing has changed.
 */
_must_use_ int plan_open(struct plan *plan, struct entry_owner *owner, struct passed *passed,
                         const struct config *config, char *why);

/* Commits the plan: the new sockets join @entries, and @configured is set. Cannot fail. The caller
 * gives the entries their next services. */
void plan_commit(struct plan *plan);

/* Frees the plan, and closes the sockets that were opened but not committed. */
void plan_deinit(struct plan *plan);
