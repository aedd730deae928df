/* SPDX-License-Identifier: MIT */
/*
 * Reading and lifetime of a configuration.
 *
 * libconfig parses the text. keys.c walks the tree by its tables, with the readers of values.c.
 * check.c checks what concerns more than one value.
 */
#include "config.h"
#include "address_index.h"
#include "check.h"
#include "keys.h"
#include "reader.h"
#include "values.h"

#include <errno.h>
#include <string.h>

static void report_syntax(struct reader *r, const config_t *tree)
{
        const unsigned line = (unsigned)config_error_line(tree);
        const char *text, *file;
        char shown[ESCAPE_SIZE(SHOWN_BYTES)];
        size_t n = source_line(r->source, line, &text);
        unsigned at;

        escape_bytes(shown, text, n < SHOWN_BYTES ? n : SHOWN_BYTES);
        source_locate(r->source, line, &file, &at);
        reader_report_at(r, file, at, "%s: \"%s\"%s", config_error_text(tree), shown,
                         n > SHOWN_BYTES ? "…" : "");
}

/* A syntax error is reported alone: it may change the meaning of all that follows. */
static void read_tree(struct reader *r)
{
        config_setting_t *root;
        config_t tree;

        config_init(&tree);
        if (config_read_string(&tree, source_text(r->source)) == CONFIG_TRUE) {
                root = config_root_setting(&tree);
                keys_read(r, root, &key_groups[GROUP_TOP], r->config);
                check_top(r, root);
                if (!config_setting_get_member(root, "services"))
                        reader_report_at(
                                r, r->config->path, 1,
                                "services is missing, expected a group of at least one service");
        } else {
                report_syntax(r, &tree);
        }
        config_destroy(&tree);
}

static void on_source_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        reader_tell(arg, file, line, text);
}

/* Makes a path absolute, so that it outlives a change of the working directory. */
static int absolute_path(const char *path, char **out)
{
        _cleanup_(freep) char *directory = NULL;

        if (path[0] == '/') {
                *out = strdup(path);
                return *out ? 0 : -ENOMEM;
        }
        directory = getcwd(NULL, 0);
        if (!directory)
                return -errno;
        if (asprintf(out, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, path) < 0) {
                *out = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp((*(struct service_config *const *)a)->name,
                      (*(struct service_config *const *)b)->name);
}

/* Sorts the services by name, for config_find_service(). Return: 0; -ENOMEM. */
static int sort_names(struct config *config)
{
        config->by_name = calloc(config->n_services + 1, sizeof(struct service_config *));
        if (!config->by_name)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++)
                config->by_name[i] = config->services[i];
        qsort(config->by_name, config->n_services, sizeof(struct service_config *), compare_names);
        return 0;
}

/* The count is kept apart, so that struct config holds values alone. */
struct counted {
        unsigned refs;
        struct config config;
};

static struct counted *counted_of(struct config *config)
{
        return container_of(config, struct counted, config);
}

/* Return: a configuration of zeros, with one reference; NULL: out of memory. */
static struct config *allocate(void)
{
        struct counted *counted = calloc(1, sizeof(*counted));

        if (!counted)
                return NULL;
        counted->refs = 1;
        return &counted->config;
}

int config_load(const char *path, config_mistake_fn *mistake, void *arg, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = allocate();
        _cleanup_(address_index_freep) struct address_index *listening = NULL;
        _cleanup_(source_freep) struct source *source = NULL;
        struct reader reader = { .mistake = mistake, .arg = arg, .config = config };
        int r;

        if (!config)
                return -ENOMEM;
        r = address_index_new(LISTEN_MAX, &listening);
        if (r == 0)
                r = absolute_path(path, &config->path);
        if (r == 0)
                r = keys_read_defaults(&reader);
        if (r == 0)
                r = source_read(config->path, on_source_mistake, &reader, &source);
        if (r < 0)
                return r;
        reader.source = source;
        reader.listening = listening;
        if (reader.n_mistakes == 0) /* all files could be read */
                read_tree(&reader);
        if (reader.no_memory)
                return -ENOMEM;
        if (reader.n_mistakes)
                return -EINVAL;
        r = sort_names(config);
        if (r < 0)
                return r;
        *out = config;
        config = NULL;
        return 0;
}

int config_new(struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = allocate();
        struct reader reader = { .config = config };
        int r;

        if (!config)
                return -ENOMEM;
        r = keys_read_defaults(&reader);
        if (r == 0)
                r = sort_names(config);
        if (r < 0)
                return r;
        *out = config;
        config = NULL;
        return 0;
}

struct config *config_ref(struct config *config)
{
        (void)__atomic_add_fetch(&counted_of(config)->refs, 1, __ATOMIC_RELAXED);
        return config;
}

struct config *config_unref(struct config *config)
{
        if (!config || __atomic_sub_fetch(&counted_of(config)->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        for (size_t i = 0; i < config->n_services; i++)
                service_config_unref(config->services[i]);
        free(config->by_name);
        free(config->services);
        free(config->path);
        free(counted_of(config));
        return NULL;
}

static int compare_name(const void *name, const void *service)
{
        return strcmp(name, (*(struct service_config *const *)service)->name);
}

struct service_config *config_find_service(const struct config *config, const char *name)
{
        struct service_config *const *found =
                bsearch(name, config->by_name, config->n_services, sizeof(struct service_config *),
                        compare_name);

        return found ? *found : NULL;
}

/* Changes */

/* Copies all of @base but its services. @n: how many services there will be. Return: 0; -ENOMEM. */
static int copy_settings(const struct config *base, size_t n, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = allocate();

        if (!config)
                return -ENOMEM;
        *config = *base;
        config->by_name = NULL;
        config->n_services = 0;
        config->path = base->path ? strdup(base->path) : NULL;
        config->services = calloc(n + 1, sizeof(struct service_config *));
        if (!config->services || (base->path && !config->path))
                return -ENOMEM;
        *out = config;
        config = NULL;
        return 0;
}

static void append(struct config *config, struct service_config *service)
{
        config->services[config->n_services++] = service_config_ref(service);
}

/* Sets the sorted services of a copy: those of @base without @old, and @service, unless it is NULL,
 * at its place. Return: 0; -ENOMEM. */
static int merge_names(const struct config *base, const struct service_config *old,
                       struct service_config *service, struct config *config)
{
        size_t n = 0;

        config->by_name = calloc(config->n_services + 1, sizeof(struct service_config *));
        if (!config->by_name)
                return -ENOMEM;
        for (size_t i = 0; i < base->n_services; i++) {
                if (service && strcmp(service->name, base->by_name[i]->name) <= 0) {
                        config->by_name[n++] = service;
                        service = NULL;
                }
                if (base->by_name[i] != old)
                        config->by_name[n++] = base->by_name[i];
        }
        if (service)
                config->by_name[n] = service;
        return 0;
}

int config_with(const struct config *base, struct service_config *service, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        const struct service_config *old = config_find_service(base, service->name);
        int r = copy_settings(base, base->n_services + 1, &config);

        if (r < 0)
                return r;
        for (size_t i = 0; i < base->n_services; i++)
                append(config, base->services[i] == old ? service : base->services[i]);
        if (!old)
                append(config, service);
        r = merge_names(base, old, service, config);
        if (r < 0)
                return r;
        *out = config;
        config = NULL;
        return 0;
}

int config_without(const struct config *base, const char *name, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        const struct service_config *old = config_find_service(base, name);
        int r = old ? copy_settings(base, base->n_services, &config) : -ENOENT;

        if (r < 0)
                return r;
        for (size_t i = 0; i < base->n_services; i++)
                if (base->services[i] != old)
                        append(config, base->services[i]);
        r = merge_names(base, old, NULL, config);
        if (r < 0)
                return r;
        *out = config;
        config = NULL;
        return 0;
}
