/* SPDX-License-Identifier: MIT */
/*
 * The reader: the state of reading a configuration. It reports mistakes in one form: "KEY: VALUE is
 * not legal, expected RANGE".
 *
 * Only for config.c, keys.c, values.c and check.c. Thread: any, one for each reader.
 */
#pragma once

#include "config.h"
#include "escape.h"
#include "source.h"

#include <libconfig.h>

#define YEAR_USEC (365 * 24 * 3600 * USEC_PER_SEC)

/* The number of addresses of all services. */
#define LISTEN_MAX   4096
#define UPSTREAM_MAX 4096

/* Messages cut values, names and lines to this length. */
#define SHOWN_BYTES 64

#define SETTING_PATH_SIZE  256
#define SETTING_VALUE_SIZE (ESCAPE_SIZE(SHOWN_BYTES) + 8)

struct reader {
        config_mistake_fn *mistake;
        void *arg;
        struct source *source;
        struct config *config;
        struct conditions default_conditions;
        struct service_config default_service;
        bool skip_mode_checks; /* the service's mode or proxy_protocol is not legal */
        unsigned n_mistakes;
        unsigned n_listen, n_upstream;
        struct address_index
                *listening; /* every "listen" so far; the owner is the service's name */
        bool no_memory;
};

/* Reports a mistake. The report after the thousandth says that there are more; then there are none.
 */
void reader_tell(struct reader *r, const char *file, unsigned line, const char *text);

/* Reports a mistake at a line of a file. */
_printf_(4, 5) void reader_report_at(struct reader *r, const char *file, unsigned line,
                                     const char *format, ...);

/* Reports a mistake at a setting. */
_printf_(3, 4) void reader_report(struct reader *r, const config_setting_t *setting,
                                  const char *format, ...);

/* Reports an illegal value. @legal: the legal values, in words. */
void reader_report_value(struct reader *r, config_setting_t *setting, const char *legal);

/**
 * setting_path() - write the path of a setting: "services.echo.backlog", or, in a group of a list,
 * "services.db.to_client[1].latency"
 * @out: at least SETTING_PATH_SIZE bytes
 *
 * An element of a list that is no group has the path of the list.
 *
 * Return: @out.
 */
const char *setting_path(const config_setting_t *setting, char *out);

/**
 * setting_value() - write a value as it is written in a file
 * @out: at least SETTING_VALUE_SIZE bytes
 *
 * Return: @out.
 */
const char *setting_value(config_setting_t *setting, char *out);
