/* SPDX-License-Identifier: MIT */
/*
 * A thread that can be joined with a time limit. It blocks all signals, because the main thread
 * reads them.
 *
 * Thread: the one that starts it.
 */
#pragma once

#include "util.h"
#include <pthread.h>
#include <stdbool.h>

/* Embedded in its owner. The members are private. */
struct thread {
        void (*run)(void *arg);
        void *arg;
        pthread_t id;
        pthread_mutex_t lock; /* protects @ended */
        pthread_cond_t on_ended;
        bool ended;
};

/**
 * thread_start() - run a function in a new thread
 * @name: shown by ps(1); at most 15 bytes
 *
 * Return: 0; what pthread_create(3) fails with.
 */
_must_use_ int thread_start(struct thread *thread, const char *name, void (*run)(void *arg),
                            void *arg);

/**
 * thread_join() - wait for the end of a thread; once after thread_start()
 * @until_usec: when to give up, CLOCK_MONOTONIC
 *
 * Return: 0; -ETIMEDOUT: it still runs, and nothing that it may use can be freed.
 */
_must_use_ int thread_join(struct thread *thread, uint64_t until_usec);
