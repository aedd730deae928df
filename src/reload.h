/*
 * A reload under way: a child process tries the file first, then a thread of the reload reads it.
 * The loop serves clients meanwhile, and gets the result as a posted task.
 *
 * Mistakes in the file are logged from the reload's thread.
 *
 * Thread: the loop's.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct reload;

/**
 * reload_new() - begin to read a configuration file
 * @loop:    open for posts; turned by the caller
 * @path:    the file, absolute
 * @on_done: called once with @arg when the file has been read; see reload_result(). It may free the
 *           reload. It is not called from within reload_new().
 * @out:     set to the reload; freed with reload_free()
 *
 * Return: 0; -ENOMEM; what eventfd(2) or pthread_create(3) fails with.
 */
_must_use_ int reload_new(struct loop *loop, const char *path, void (*on_done)(void *arg),
                          void *arg, struct reload **out);

/* What reload_result() says when there is no configuration. */
#define RELOAD_WHY_SIZE 256

/**
 * reload_result() - get the result; once, after on_done
 * @config: set to the configuration, with one reference, the caller's
 * @why:    what went wrong, printable; at least RELOAD_WHY_SIZE bytes
 *
 * Return: 0; -EINVAL: mistakes, which have been logged; -ENOEXEC: the file kills the process that
 * reads it; other errors of config_load().
 */
_must_use_ int reload_result(struct reload *reload, struct config **config, char *why);

/*
 * Cancels the reload without waiting for it. From now on no mistake is logged. The child process is
 * killed and reaped soon. on_done may still be called.
 */
void reload_cancel(struct reload *reload);

/**
 * reload_free() - cancel the reload and wait for its thread
 *
 * The wait is no longer than reading the file takes. Unless on_done calls this, the loop must not
 * be turned afterwards.
 *
 * Return: NULL.
 */
struct reload *reload_free(struct reload *reload);
