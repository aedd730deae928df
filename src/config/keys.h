/* SPDX-License-Identifier: MIT */
/*
 * Every key of the configuration: one row of a table holds all that is known of a key.
 *
 * The defaults, the checks and their messages come from the tables. Tests compare the tables with
 * conf/selectd.conf, its manual page and the fuzzer's dictionary.
 *
 * Thread: any; the tables are constant.
 */
#pragma once

#include "util.h"
#include <stdbool.h>

struct reader;
struct config_setting_t;
struct key;
struct service_config;

/* Reads the value of a key into @out, or reports that it is not legal. */
typedef void key_read_fn(struct reader *r, const struct key *key, struct config_setting_t *setting,
                         void *out);

/* When a value that a reload changes takes effect. */
enum key_reload {
        KEY_AT_ONCE,         /* at once, also for open connections */
        KEY_NEW_CONNECTIONS, /* for connections that begin after the reload */
        KEY_RESTART,         /* after a restart */
};

struct key {
        const char *name;
        key_read_fn *read;
        size_t offset;       /* of the value in the struct that the group fills */
        uint64_t min, max;   /* of a number; a size in bytes, a duration in microseconds */
        const char *legal;   /* the legal values, as messages name them */
        const char *value;   /* the default, as a file would set it; NULL: there is none */
        const char *word;    /* a string that stands for @word_value; NULL: there is none */
        uint64_t word_value; /* stored as uint64_t */
        unsigned modes;      /* the key is for: bits 1 << enum service_mode; 0: for all */
        const char *needs;   /* a key of the same group without which this one is a mistake */
        bool required;       /* in every service of one of @modes */
        enum key_reload reload;
};

/* The keys that may stand in one kind of group. */
struct group {
        const char *where; /* "a service", as messages call it */
        const struct key *keys;
        size_t n;
};

enum { GROUP_TOP, GROUP_SERVICE, GROUP_CONDITIONS, GROUPS };

extern const struct group key_groups[GROUPS];

/* Return: the key of that name; NULL: the group has none. */
const struct key *keys_find(const struct group *group, const char *name);

/* Reads each setting of the group @setting. @out: the struct that @group fills. */
void keys_read(struct reader *r, struct config_setting_t *setting, const struct group *group,
               void *out);

/**
 * keys_read_defaults() - fill r->default_conditions, r->default_service and r->config
 * Return: 0; -ENOMEM.
 */
_must_use_ int keys_read_defaults(struct reader *r);

/* Sets @out to the defaults of a service; its name and its pointers are NULL. Return: 0; -ENOMEM.
 */
_must_use_ int keys_service_defaults(struct service_config *out);
