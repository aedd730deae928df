/*
 * The life of the process: start, serve, reload, drain, end.
 *
 * Thread: main.
 */
#pragma once

#include "config.h"

/**
 * server_run() - serve until told to stop; after signals_hold()
 * @config: a reference is taken
 *
 * Raises the descriptor limit as far as the system lets it. Logs everything, failure to start too.
 *
 * Return: the process's exit status: 0; EX_OSERR (71): the system refused something; EX_CONFIG
 * (78): the configuration does not fit the sockets that were passed.
 */
int server_run(struct config *config);
