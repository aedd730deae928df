/* SPDX-License-Identifier: MIT */
/*
 * The life of the process: start, serve, reload, drain, end.
 *
 * Thread: main.
 */
#pragma once

#include "serving.h"

struct server;

/* What the command line adds to the configuration. */
struct server_options {
        const char *populate; /* a JSON file of proxies to make, see control_load(); NULL: none */
        struct address control[CONFIG_CONTROL_MAX]; /* more addresses of the control interface */
        size_t n_control;
};

/**
 * server_run() - serve until told to stop; to be called after signals_hold()
 * @config:   the caller keeps its reference until this returns
 * @options:  outlives the call
 *
 * Raises the descriptor limit as far as the system allows. Logs every failure.
 *
 * Return: the process's exit status: 0; EX_OSERR (71): the system refused something; EX_CONFIG
 * (78): the configuration does not fit the sockets that were passed.
 */
int server_run(struct config *config, const struct server_options *options);

/**
 * server_apply() - put a configuration into force; see serving_apply()
 *
 * Applies its log level, limits and timeouts as well.
 */
_must_use_ int server_apply(struct server *server, struct config *config, struct apply_wait *wait,
                            char *why);

/* Sets @applied and @failed to the numbers of reloads so far. */
void server_count_reloads(const struct server *server, uint64_t *applied, uint64_t *failed);
