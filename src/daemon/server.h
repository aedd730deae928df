/* SPDX-License-Identifier: MIT */
/*
 * The life of the process: start, serve, reload, drain, end.
 *
 * Thread: main.
 */
#pragma once

#include "serving.h"

struct server;

/**
 * server_run() - serve until told to stop; to be called after signals_hold()
 * @config:   the caller keeps its reference until this returns
 * @populate: a JSON file of proxies to make at the start, see control_load(); NULL: none
 *
 * Raises the descriptor limit as far as the system allows. Logs every failure.
 *
 * Return: the process's exit status: 0; EX_OSERR (71): the system refused something; EX_CONFIG
 * (78): the configuration does not fit the sockets that were passed.
 */
int server_run(struct config *config, const char *populate);

/**
 * server_apply() - put a configuration into force; see serving_apply()
 *
 * Applies its log level, limits and timeouts as well.
 */
_must_use_ int server_apply(struct server *server, struct config *config, struct apply_wait *wait,
                            char *why);
