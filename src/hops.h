/*
 * Whether a relay leads back to itself.
 *
 * A connection that this process made to itself is known by its two addresses: those of the socket
 * that dials are those of the one accepted, the other way round. (One of them alone tells nothing:
 * connections to different places may share a local port.) Each knows how many relays of this
 * process lie before it. A chain longer than there are relays goes through one of them twice, and
 * so would go on without end.
 *
 * Thread: any.
 */
#pragma once

#include "address.h"
#include <stdint.h>
#include <sys/queue.h>

struct hops;

/* A socket that dials; embedded in its owner. All zero but for @depth: not added. */
struct hop {
        LIST_ENTRY(hop) entry;
        struct hops_key {
                struct hops_end {
                        uint8_t ip[16]; /* IPv4 as ::ffff:1.2.3.4; of a unix socket the name */
                        uint16_t port;
                } from, to;
        } key;
        unsigned depth; /* relays of this process that its connection has passed, with its own */
        bool added;
};

/**
 * hops_new() - nobody dials yet
 * Return: 0; -ENOMEM.
 */
_must_use_ int hops_new(struct hops **out);

/**
 * hops_free() - free it; all hops have been removed
 * Return: NULL.
 */
struct hops *hops_free(struct hops *hops);

/* How long a chain may be: the number of relays in the configuration. */
void hops_set_limit(struct hops *hops, unsigned limit);

/* How many relays lie before a connection from @peer to @local; 0: none, it is not ours. */
unsigned hops_before(struct hops *hops, const struct address *peer, const struct address *local);

/* Whether a chain of that many relays is too long. */
bool hops_exceeds(struct hops *hops, unsigned depth);

/**
 * hops_connect() - connect(2), and be known before the other end can ask
 * @hop:   its depth is set; one that was added before is removed
 * @fd:    non-blocking
 * @local: set to the socket's address
 *
 * Return: 0: it connects; what connect(2) and getsockname(2) fail with.
 */
_must_use_ int hops_connect(struct hops *hops, struct hop *hop, int fd, const struct address *peer,
                            struct address *local);

/**
 * hops_add() - the same for a socket that connects already
 * @local, @peer: its addresses; to dial "0.0.0.0" or "::" is to dial oneself
 */
void hops_add(struct hops *hops, struct hop *hop, const struct address *local,
              const struct address *peer);

/* It is closed, or was never added. */
void hops_remove(struct hops *hops, struct hop *hop);
