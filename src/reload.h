/*
 * A reload under way: the file is tried in a child process, then read on a thread of its own, so
 * that the loop goes on serving clients. The loop gets the result as a posted task.
 *
 * Thread: the loop's, but for reload_events.on_mistake.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct reload;

/* What a reload tells its owner, with the owner's @arg. */
struct reload_events {
        /* A mistake in the file. Called on the reload's thread; not after reload_cancel(). */
        config_mistake_fn *on_mistake;
        /*
         * The reload is over, once; see reload_result(). May free the reload. Not called from
         * within reload_new().
         */
        void (*on_done)(void *arg);
};

/**
 * reload_new() - begin to read a configuration file
 * @loop: open for posts; turned by the caller
 * @path: the file, absolute
 * @out:  set to the reload; freed with reload_free()
 *
 * Return: 0; -ENOMEM; what eventfd(2) or pthread_create(3) fails with.
 */
_must_use_ int reload_new(struct loop *loop, const char *path, const struct reload_events *events,
                          void *arg, struct reload **out);

/* What reload_result() says when there is no configuration. */
#define RELOAD_WHY_SIZE 256

/**
 * reload_result() - what came of it; once, after on_done
 * @config: set to the configuration, with one reference, the caller's
 * @why:    what went wrong, printable; at least RELOAD_WHY_SIZE bytes
 *
 * Return: 0; -EINVAL: mistakes, which have been told; -ENOEXEC: the file kills the process that
 * reads it; other errors of config_load().
 */
_must_use_ int reload_result(struct reload *reload, struct config **config, char *why);

/*
 * Gives the reload up without waiting for it: no mistakes are told any more, and the child process
 * is killed and reaped soon. on_done may still be called.
 */
void reload_cancel(struct reload *reload);

/**
 * reload_free() - cancel the reload and wait for its thread: no longer than reading the file takes
 *
 * Unless it is called from on_done the loop must not be turned any more.
 *
 * Return: NULL.
 */
struct reload *reload_free(struct reload *reload);
