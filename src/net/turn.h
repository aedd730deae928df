/* SPDX-License-Identifier: MIT */
/*
 * What one turn of a loop reads from streams that bring much, so that others never wait long.
 *
 * A stream is heavy while its reads bring HEAVY_BYTES or more. A turn reads from heavy streams
 * until its budget is spent; the others have to wait for one of the next turns. In a round, which
 * takes as many turns as it needs, each heavy stream reads once; so none is left out, in whatever
 * order the backend reports them. Light streams are always read.
 *
 * Measured with 300 connections that fill their sockets, of an echo and of a relay: a turn took up
 * to 59 and 157 ms of CPU time.
 *
 * Thread: the loop's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read of so many bytes makes a stream heavy. */
#define HEAVY_BYTES 16384

/* The budget: relaying it takes half a millisecond. */
#define TURN_BYTES ((size_t)1 << 20)

/* Embedded in the loop; all members are the turn's own. */
struct turn {
        size_t left_bytes; /* of the budget */
        uint32_t round;
        bool passed_over; /* a heavy stream has to wait for the next turn */
        bool crowded;     /* so it was in the turn before */
};

/* Begins the next turn. */
void turn_begin(struct turn *turn);

/* Counts what a stream, heavy or light, has read. */
void turn_count(struct turn *turn, size_t n);

/**
 * turn_admits() - ask whether a heavy stream may read now
 * @round: the stream's own; 0 to begin with
 *
 * Return: true, once in a round; false: it stays readable, and asks again in the next turn.
 */
bool turn_admits(struct turn *turn, uint32_t *round);

/* Whether the stream that was admitted may read once more: nobody waits for it. */
bool turn_has_room(const struct turn *turn);
