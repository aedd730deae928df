/*
 * The life of the process: start, serve, reload, drain, end.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"
#include <signal.h>

/**
 * server_hold_signals() - make SIGHUP, SIGTERM and SIGINT wait until server_run() reads them
 * @before: set to the signal mask before
 */
void server_hold_signals(sigset_t *before);

/**
 * server_run() - serve until told to stop; behind server_hold_signals()
 * @config: a reference is taken
 *
 * Raises the descriptor limit as far as the system lets it. Logs everything, failure to start too.
 *
 * Return: the process's exit status: 0; EX_OSERR (71): the system refused something; EX_CONFIG
 * (78): the configuration does not fit the sockets that were passed.
 */
int server_run(struct config *config);

/**
 * server_load() - read a configuration and log its mistakes
 * Return: as config_load().
 */
_must_use_ int server_load(const char *path, struct config **out);
