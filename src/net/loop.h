/* SPDX-License-Identifier: MIT */
/*
 * An event loop: a libevent base, and the things that all its streams share.
 *
 * It adds to libevent:
 * - a scratch buffer, into which every stream reads;
 * - pipes for splicing;
 * - a watch for urgent data and errors of sockets that are not being read: one epoll set of all
 *   watched sockets, which is itself one event of the base;
 * - deferred work, which runs when no callback is on the stack;
 * - work posted by other threads.
 *
 * Thread: the one that turns the loop, for the loop and everything in it; loop_post(): any.
 */
#pragma once

#include "budget.h"
#include "newcomer.h"
#include "pipe.h"
#include "timer.h"
#include "turn.h"
#include "util.h"
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The size of the scratch buffer, and so the most that one read takes. */
#define LOOP_SCRATCH_BYTES 65536

/*
 * The most pipes that streams of a loop may keep for waiting bytes. If descriptors are few, that is
 * none: connections need them more. The pool has one more pipe, for bytes that pass through.
 */
static inline unsigned loop_pipes_max(uint64_t descriptors)
{
        return descriptors < 4096 ? 0 : 8;
}

struct loop;

/* Deferred or posted work; embedded in the object that it works on. */
struct loop_task {
        struct loop_task *next;
        void (*run)(struct loop_task *task);
        bool posted; /* private; protected by the loop's lock */
};

/* A watched socket; embedded in its owner. @urgent: urgent data arrived, perhaps with an error;
 * false: an error occurred. */
struct loop_watch {
        void (*on_exception)(struct loop_watch *watch, bool urgent);
};

/**
 * loop_new() - make a loop
 * @backend: "auto" for libevent's choice, or the name of a libevent method: "epoll", "poll",
 *           "select"
 * @out:     set to the loop; freed with loop_free()
 *
 * With "select", libevent aborts on a descriptor of FD_SETSIZE (1024) or more. The caller must
 * prevent such descriptors with RLIMIT_NOFILE.
 *
 * Return: 0; -ENOMEM; -ENOTSUP: this system has no such backend; what epoll_create1(2),
 * epoll_ctl(2) or pipe2(2) fails with.
 */
_must_use_ int loop_new(const char *backend, struct loop **out);

/**
 * loop_free() - free a loop; its events must have been freed, and deferred work must have run
 * Return: NULL.
 */
struct loop *loop_free(struct loop *loop);

/* The libevent base, for the events of the loop's users. */
struct event_base *loop_base(const struct loop *loop);

/* Return: libevent's name of the backend in use. */
const char *loop_backend(const struct loop *loop);

/* The holders of bytes on this loop; see budget.h. */
struct holders *loop_holders(struct loop *loop);

/* Sets the budget, which loops may share. Called before any bytes are held. */
void loop_set_budget(struct loop *loop, struct budget *budget);

/* Return: the budget; NULL: none. */
struct budget *loop_budget(const struct loop *loop);

/* The sockets that have just been opened. */
struct newcomers *loop_newcomers(struct loop *loop);

/* The budget of the current turn; see turn.h. */
struct turn *loop_current_turn(struct loop *loop);

/* LOOP_SCRATCH_BYTES bytes, valid until the callback that fills them returns. */
uint8_t *loop_scratch(struct loop *loop);

/* A second buffer of LOOP_SCRATCH_BYTES, for bytes to send while the first one is in use. */
uint8_t *loop_scratch_out(struct loop *loop);

/* The pool of pipes for the streams of the loop. */
struct pipes *loop_pipes(struct loop *loop);

/**
 * loop_turn() - wait for events, run their callbacks, and then the deferred work
 * Return: 0; -EIO: the backend failed, and libevent has logged why.
 */
_must_use_ int loop_turn(struct loop *loop);

/* Runs deferred work, for an end without another turn. Not to be called from a callback. */
void loop_run_deferred(struct loop *loop);

/* Runs @task once, after the callbacks of this turn. A task must not be deferred twice. */
void loop_defer(struct loop *loop, struct loop_task *task);

/**
 * loop_open_posts() - prepare for loop_post(); called before any thread posts
 * Return: 0; -ENOMEM; what eventfd(2) fails with.
 */
_must_use_ int loop_open_posts(struct loop *loop);

/**
 * loop_post() - run a task on the loop's thread, in one of its next turns
 *
 * Thread: any. The task sees everything that the caller wrote before the post. A task that has been
 * posted and has not run yet is not posted again: it runs once, and must do all the work there is.
 */
void loop_post(struct loop *loop, struct loop_task *task);

/**
 * loop_watch() - report urgent data and errors of a socket, whether or not it is being read
 *
 * Errors are those that epoll always reports, such as a reset. Each is reported once.
 *
 * Return: 0; what epoll_ctl(2) fails with: -ENOMEM, -ENOSPC.
 */
_must_use_ int loop_watch(struct loop *loop, int fd, struct loop_watch *watch);

/*
 * Ends the watch of a socket. This must happen before it is closed: closing does not end the watch
 * while there is a duplicate, and a child process has duplicates of all descriptors until it
 * executes its program.
 *
 * Only between two turns: within a turn, @watch may still be called for an event that is known.
 */
void loop_unwatch(struct loop *loop, int fd);

/**
 * loop_add_event() - wait for an event, like event_add(3) without a timeout
 * Return: 0; -ENOMEM; what epoll_ctl(2) fails with: -ENOSPC, …
 */
_must_use_ int loop_add_event(struct event *event);

/* The text for an error, in which ENOSPC means the limit on epoll watches, not a full disk. */
const char *loop_strerror(int error);

/* The loop's timers, for timer_init(). */
struct timers *loop_timers(const struct loop *loop);

/* Converts microseconds. */
struct timeval loop_timeval(uint64_t usec);
