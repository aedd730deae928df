/* SPDX-License-Identifier: MIT */
/*
 * The resolver looks up names with getaddrinfo(3). So it follows nsswitch.conf, hosts and
 * resolv.conf with its search list, several servers, retries and TCP, and systemd-resolved.
 * getaddrinfo(3) blocks, so it runs on threads of the resolver, and the answer is posted to the
 * loop that asked.
 *
 * What holds:
 * - Queries for the same name share one look-up, which takes one thread.
 * - Later queries share its answer for RESOLVER_SHARED_USEC, and a failure for
 *   RESOLVER_FAILED_USEC.
 * - There are at most RESOLVER_THREADS threads. When none is free, names are looked up in the order
 *   of their queries. So a name waits for others only while that many look-ups hang.
 * - Threads start when they are needed, and end after RESOLVER_IDLE_USEC without work.
 * - A query may be freed at any moment. Its look-up goes on and can be shared. The system ends it
 *   (glibc: after 5 s for each server, twice; resolv.conf(5)).
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

/* The most descriptors that a look-up has open: the hosts file, two name servers, netlink(7). */
#define RESOLVER_FDS 4

struct resolver;
struct query;

TAILQ_HEAD(query_list, query);

/* The queries of one loop. Embedded in its owner. The members are private. */
struct asker {
        struct resolver *resolver;
        struct loop *loop;
        struct query_list answered; /* queries whose on_answer() has not been called yet */
        struct loop_task deliver;
};

/**
 * resolver_new() - make a resolver, which has no thread yet
 * Return: 0; -ENOMEM.
 *
 * Thread: any.
 */
_must_use_ int resolver_new(struct resolver **out);

/**
 * resolver_free() - end the threads of the resolver
 *
 * All queries must have been freed. Idle threads have ended when this returns. A thread that looks
 * up a name ends after the look-up; the last such thread frees the resolver.
 *
 * Return: NULL.
 */
struct resolver *resolver_free(struct resolver *resolver);

/**
 * asker_init() - prepare for queries from a loop
 * @loop: open for posts (loop_open_posts()); not turned any more when the resolver is freed
 *
 * The asker may be freed when its queries have been freed and the loop is not turned any more.
 */
void asker_init(struct asker *asker, struct resolver *resolver, struct loop *loop);

/**
 * query_new() - ask for the addresses of a name
 * @asker:     that of the calling thread's loop
 * @host:      the name; copied
 * @on_answer: called once with @arg from a turn of the loop, unless query_is_answered() is true
 *             after this call. It may free the query.
 * @out:       set to the query; freed with query_free()
 *
 * Return: 0; -ENOMEM; -EAGAIN: no thread can be started.
 */
_must_use_ int query_new(struct asker *asker, const char *host, void (*on_answer)(void *arg),
                         void *arg, struct query **out);

/* Whether the query has an answer. Thread: the asker's, here and in the following functions. */
bool query_is_answered(const struct query *query);

/**
 * query_addresses() - get the answer of an answered query
 * @out: set to the addresses, with port 0, in the order in which to try them (RFC 6724); valid
 *       until the query is freed
 * @n:   set to the number of addresses, at least 1
 *
 * Return: 0; -EHOSTDOWN: the name has no address, or the look-up failed; -ENOMEM; another error of
 * the system, such as -EMFILE.
 */
_must_use_ int query_addresses(const struct query *query, const struct address **out, size_t *n);

/**
 * query_free() - free a query, answered or not
 * Return: NULL.
 */
struct query *query_free(struct query *query);
