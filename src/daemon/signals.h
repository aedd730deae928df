/* SPDX-License-Identifier: MIT */
/*
 * The signals that selectd acts on: SIGHUP, SIGTERM and SIGINT.
 *
 * They stay blocked and are read from a signalfd(2). So there is no handler to race with, and a
 * signal that comes while everything is being freed does not end the process.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"
#include <signal.h>

struct signals;

/* Callbacks, called with the owner's @arg. Neither may free the struct signals. */
struct signals_events {
        void (*on_reload)(void *arg); /* SIGHUP */
        void (*on_stop)(void *arg);   /* SIGTERM or SIGINT */
};

/**
 * signals_hold() - block the signals until signals_new() reads them
 * @before: set to the signal mask before
 */
void signals_hold(sigset_t *before);

/**
 * signals_new() - read the signals; after signals_hold()
 * @out: set to the reader; freed with signals_free()
 *
 * Return: 0; -ENOMEM; what signalfd(2) fails with; see loop_add_event().
 */
_must_use_ int signals_new(struct loop *loop, const struct signals_events *events, void *arg,
                           struct signals **out);

/**
 * signals_free() - stop reading the signals, which stay blocked
 * Return: NULL.
 */
struct signals *signals_free(struct signals *signals);
