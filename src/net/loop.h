/* SPDX-License-Identifier: MIT */
/*
 * One event loop: a libevent base, and what all its streams share.
 *
 * Adds to libevent what the data path needs: one scratch buffer that every read lands in first,
 * pipes that bulk is spliced through, a watch for urgent data and for resets of streams that are
 * not being read (one epoll set of all descriptors that is itself one event of the base), clean-up
 * that runs when no callback is on the stack, and work posted by other threads.
 *
 * Thread: a loop and all that hangs on it belong to the thread that turns it; loop_post() alone may
 * be called by any.
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
 * How many pipes the streams of a loop may have at once, where the process may have so many
 * descriptors: none where they are few, for these are better used for connections.
 */
static inline unsigned loop_pipes_max(uint64_t descriptors)
{
        return descriptors < 4096 ? 0 : 8;
}

struct loop;

/* Work put off until no callback runs, or posted by another thread; embedded in what it works on.
 */
struct loop_task {
        struct loop_task *next;
        void (*run)(struct loop_task *task);
        bool posted; /* the loop's, with its lock */
};

/* A watched descriptor; embedded in its owner. @urgent: urgent data came, and perhaps an error;
 * else an error did. */
struct loop_watch {
        void (*on_exception)(struct loop_watch *watch, bool urgent);
};

/**
 * loop_new() - make a loop
 * @backend: "auto" for libevent's choice, or a method of libevent's: "epoll", "poll", "select"
 * @out:     set to the loop; freed with loop_free()
 *
 * Under "select" the process must not be able to hold a descriptor of FD_SETSIZE (1024) or more:
 * libevent aborts on one. The caller sees to that (RLIMIT_NOFILE).
 *
 * Return: 0; -ENOMEM; -ENOTSUP: no such backend here; what epoll_create1(2), epoll_ctl(2) or
 * pipe2(2) fails with.
 */
_must_use_ int loop_new(const char *backend, struct loop **out);

/**
 * loop_free() - free a loop; its events must be gone and what was deferred must have run
 * Return: NULL.
 */
struct loop *loop_free(struct loop *loop);

/* The libevent base, for the events of the loop's users. */
struct event_base *loop_base(const struct loop *loop);

/* The backend really in use, in libevent's word. */
const char *loop_backend(const struct loop *loop);

/* Who holds bytes. */
struct holders *loop_holders(struct loop *loop);

/* Lets all that hold bytes on this loop share a bound with those on other loops; before any does.
 */
void loop_set_budget(struct loop *loop, struct budget *budget);

/* The bound that was set; NULL: none. */
struct budget *loop_budget(const struct loop *loop);

/* The sockets that have just been opened. */
struct newcomers *loop_newcomers(struct loop *loop);

/* The turn that goes on. */
struct turn *loop_current_turn(struct loop *loop);

/* LOOP_SCRATCH_BYTES bytes, valid until the callback that fills them returns. */
uint8_t *loop_scratch(struct loop *loop);

/* As many for bytes that leave, for what was read may still be needed then. */
uint8_t *loop_scratch_out(struct loop *loop);

/* The pipe that bulk passes through, empty between two callbacks; NULL: there can be none now. */
struct pipe *loop_pipe(struct loop *loop);

/* That pipe for the caller alone, with what is in it; NULL: there are loop_pipes_max() already. */
struct pipe *loop_take_pipe(struct loop *loop);

/* Takes it back, whatever is in it. Return: NULL. */
struct pipe *loop_give_pipe(struct loop *loop, struct pipe *pipe);

/* Sees to it that nothing is in the loop's pipe. */
void loop_empty_pipe(struct loop *loop);

/**
 * loop_turn() - wait for events, run their callbacks, then what they deferred
 * Return: 0; -EIO: the backend failed (libevent has said why).
 */
_must_use_ int loop_turn(struct loop *loop);

/* Runs what was deferred, now: for an end without another turn. Not from within a callback. */
void loop_run_deferred(struct loop *loop);

/* Runs @task once, after the callbacks of this turn. A task must not be deferred twice. */
void loop_defer(struct loop *loop, struct loop_task *task);

/**
 * loop_open_posts() - let other threads post work; before any does
 * Return: 0; -ENOMEM; what eventfd(2) fails with.
 */
_must_use_ int loop_open_posts(struct loop *loop);

/**
 * loop_post() - run a task on the loop's thread, in one of its next turns
 *
 * Thread: any; all that the caller has written before is seen by the task. A task that has been
 * posted and not run yet is not posted again: it runs once, and finds all there is to do.
 */
void loop_post(struct loop *loop, struct loop_task *task);

/**
 * loop_watch() - report urgent data and errors of a socket, whether or not it is being read
 *
 * Errors are those epoll always reports: a reset above all. Each is reported once.
 *
 * Return: 0, or what epoll_ctl(2) fails with: -ENOMEM, -ENOSPC.
 */
_must_use_ int loop_watch(struct loop *loop, int fd, struct loop_watch *watch);

/*
 * Ends the watch of a socket, before it is closed. Closing does not end it while there is a
 * duplicate, and between its fork and its exec a child process has one of every descriptor.
 *
 * Between two turns: within one, @watch may still be told what is known by then.
 */
void loop_unwatch(struct loop *loop, int fd);

/**
 * loop_add_event() - wait for an event; as event_add(3) without a time-out
 * Return: 0; -ENOMEM; what epoll_ctl(2) fails with: -ENOSPC, …
 */
_must_use_ int loop_add_event(struct event *event);

/* The words for an error, where ENOSPC means the limit on epoll's watches, and not a full disk. */
const char *loop_strerror(int error);

/* The loop's timers, for timer_init(). */
struct timers *loop_timers(const struct loop *loop);

/* The timeval that libevent's timers take. */
struct timeval loop_timeval(uint64_t usec);
