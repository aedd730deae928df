/* SPDX-License-Identifier: MIT */
/*
 * Looks up names with getaddrinfo(3), as the system does: nsswitch.conf, hosts, resolv.conf with
 * its search list, several servers, retries and TCP, systemd-resolved. getaddrinfo(3) blocks, so it
 * runs on threads of the resolver's own, and the answer is posted to the loop that asked.
 *
 * What holds:
 * - A name is looked up once at a time, for all who ask for it meanwhile. It takes one thread at
 * most.
 * - An answer is given to all who ask within RESOLVER_SHARED_USEC after it came, a failure within
 *   RESOLVER_FAILED_USEC.
 * - There are at most RESOLVER_THREADS threads. Names that find no thread free are looked up in the
 *   order in which they were asked. So a name has to wait for others only while that many different
 *   names get no answer from the system.
 * - Threads start when they are needed, and end when they have been idle for RESOLVER_IDLE_USEC.
 * - Whoever asks may give up at any moment. A look-up under way goes on and is shared as any other:
 * it is the system's to end (glibc: after 5 s for each server, twice; resolv.conf(5)).
 *
 * One resolver serves all loops of the process.
 */
#pragma once

#include "address.h"
#include "loop.h"
#include <sys/queue.h>

#define RESOLVER_THREADS     32
#define RESOLVER_SHARED_USEC USEC_PER_SEC
#define RESOLVER_FAILED_USEC (250 * USEC_PER_MSEC)
#define RESOLVER_IDLE_USEC   (10 * USEC_PER_SEC)

/* Descriptors that a look-up may have open at once: of hosts, of two name servers, of netlink(7).
 */
#define RESOLVER_FDS 4

struct resolver;
struct query;

TAILQ_HEAD(query_list, query);

/* A loop that asks. Embedded in its owner; all members are the resolver's own. */
struct asker {
        struct resolver *resolver;
        struct loop *loop;
        struct query_list answered; /* whose owners have not been told yet */
        struct loop_task tell;
};

/**
 * resolver_new() - make a resolver; it has no thread yet
 * Return: 0; -ENOMEM.
 *
 * Thread: any.
 */
_must_use_ int resolver_new(struct resolver **out);

/**
 * resolver_free() - end the threads of the resolver
 *
 * All queries have been freed. A thread with a look-up under way is not waited for: it keeps what
 * it uses, ends after the look-up, and then frees it. All others have ended when this returns.
 *
 * Return: NULL.
 */
struct resolver *resolver_free(struct resolver *resolver);

/**
 * asker_init() - prepare to ask from a loop
 * @loop: open for posts (loop_open_posts()); no longer turned when the resolver is freed
 *
 * The asker may be freed once its queries have been freed and the loop is turned no more.
 */
void asker_init(struct asker *asker, struct resolver *resolver, struct loop *loop);

/**
 * query_new() - ask for the addresses of a name
 * @asker:      of the loop whose thread calls
 * @host:       the name; copied
 * @on_answer:  called with @arg from a turn of the loop, once, unless query_is_answered() is true
 *              already. May free the query.
 * @out:        set to the query; freed with query_free()
 *
 * Return: 0; -ENOMEM; -EAGAIN: no thread can be started.
 */
_must_use_ int query_new(struct asker *asker, const char *host, void (*on_answer)(void *arg),
                         void *arg, struct query **out);

/* Whether the answer is there. Thread: the asker's, as of all below. */
bool query_is_answered(const struct query *query);

/**
 * query_addresses() - what an answered query has found
 * @n:   set to their number, at least 1
 * @out: set to the addresses, of port 0, in the order in which to try them (RFC 6724); valid until
 * the query is freed
 *
 * Return: 0; -EHOSTDOWN: the name has no address, or cannot be looked up now; -ENOMEM; -EMFILE,
 * -ENFILE, ….
 */
_must_use_ int query_addresses(const struct query *query, const struct address **out, size_t *n);

/**
 * query_free() - give up a query, or its answer
 * Return: NULL.
 */
struct query *query_free(struct query *query);
