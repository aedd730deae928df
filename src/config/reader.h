/* SPDX-License-Identifier: MIT */
/*
 * The state of reading a configuration, and the reporting of mistakes, all in one form: "KEY: VALUE
 * is not legal, expected RANGE".
 *
 * Only for config.c, keys.c, values.c and check.c. Thread: any, but only one for each reader.
 */
#pragma once

#include "config.h"
#include "escape.h"
#include "source.h"

#include <libconfig.h>

#define YEAR_USEC (365 * 24 * 3600 * USEC_PER_SEC)

/* Addresses of all services together. */
#define LISTEN_MAX   4096
#define UPSTREAM_MAX 4096

/* A message shows at most this much of a value, a name or a line. */
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
        bool skip_mode_checks; /* the service's mode or proxy_protocol is illegal */
        unsigned n_mistakes;
        unsigned n_listen, n_upstream;
        struct address_index
                *listening; /* every "listen" so far; the owner is the service's name */
        bool no_memory;
};

/* Reports a mistake. After a thousand, says once that there are more. */
void reader_tell(struct reader *r, const char *file, unsigned line, const char *text);

/* Reports a mistake at a line of a file. */
_printf_(4, 5) void reader_report_at(struct reader *r, const char *file, unsigned line,
                                     const char *format, ...);

/* Reports a mistake at a setting. */
_printf_(3, 4) void reader_report(struct reader *r, const config_setting_t *setting,
                                  const char *format, ...);

/* Reports a value that is not @legal. */
void reader_report_value(struct reader *r, config_setting_t *setting, const char *legal);

/**
 * setting_path() - name a setting: "services.echo.backlog"; an element of a list counts as the list
 * @out: at least SETTING_PATH_SIZE bytes
 *
 * Return: @out.
 */
const char *setting_path(const config_setting_t *setting, char *out);

/**
 * setting_value() - write a value as it would stand in the file
 * @out: at least SETTING_VALUE_SIZE bytes
 *
 * Return: @out.
 */
const char *setting_value(config_setting_t *setting, char *out);
