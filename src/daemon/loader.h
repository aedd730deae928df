/* SPDX-License-Identifier: MIT */
/*
 * A loader: reads a configuration file once, while the loop serves clients. A child process tries
 * the file first, then a thread of the loader reads it and posts the result to the loop.
 *
 * Mistakes in the file are logged from the loader's thread.
 *
 * Thread: the loop's.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct loader;

/**
 * loader_new() - begin to read a configuration file
 * @loop:    open for posts; turned by the caller
 * @path:    the file, absolute
 * @on_done: called once with @arg when the file has been read; see loader_result(). It may free the
 *           loader. It is not called from within loader_new().
 * @out:     set to the loader; freed with loader_free()
 *
 * Return: 0; -ENOMEM; what eventfd(2) or pthread_create(3) fails with.
 */
_must_use_ int loader_new(struct loop *loop, const char *path, void (*on_done)(void *arg),
                          void *arg, struct loader **out);

/* The size of the reason that loader_result() writes to @why. */
#define LOADER_WHY_SIZE 256

/**
 * loader_result() - get the result; once, after on_done
 * @config: set to the configuration, with a reference for the caller
 * @why:    set to the error, printable; at least LOADER_WHY_SIZE bytes
 *
 * Return: 0; -EINVAL: mistakes, which have been logged; -ENOEXEC: the file kills the process that
 * reads it; other errors of config_load().
 */
_must_use_ int loader_result(struct loader *loader, struct config **config, char *why);

/*
 * Cancels the loader without waiting for it. From now on no mistake is logged. The child process is
 * killed and reaped soon. on_done may still be called.
 */
void loader_cancel(struct loader *loader);

/**
 * loader_free() - cancel the loader and wait for its thread
 *
 * The wait is no longer than reading the file takes. Unless on_done calls this, the loop must not
 * be turned afterwards.
 *
 * Return: NULL.
 */
struct loader *loader_free(struct loader *loader);
