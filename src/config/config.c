/* SPDX-License-Identifier: MIT */
/*
 * Reading and lifetime of a configuration.
 *
 * libconfig parses the text. keys.c walks the tree by its tables, with the readers of values.c.
 * check.c checks what concerns more than one value.
 */
#include "config.h"
#include "address_index.h"
#include "bucket.h"
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
        config->by_name = calloc(config->n_services, sizeof(struct service_config *));
        if (!config->by_name)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++)
                config->by_name[i] = &config->services[i];
        qsort(config->by_name, config->n_services, sizeof(struct service_config *), compare_names);
        return 0;
}

int config_load(const char *path, config_mistake_fn *mistake, void *arg, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = calloc(1, sizeof(*config));
        _cleanup_(address_index_freep) struct address_index *listening = NULL;
        _cleanup_(source_freep) struct source *source = NULL;
        struct reader reader = { .mistake = mistake, .arg = arg, .config = config };
        int r;

        if (!config)
                return -ENOMEM;
        config->refs = 1;
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

struct config *config_ref(struct config *config)
{
        (void)__atomic_add_fetch(&config->refs, 1, __ATOMIC_RELAXED);
        return config;
}

struct config *config_unref(struct config *config)
{
        if (!config || __atomic_sub_fetch(&config->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        for (size_t i = 0; i < config->n_services; i++) {
                free(config->services[i].name);
                free(config->services[i].listen);
                free(config->services[i].proxy_from);
                tally_unref(config->services[i].dialing);
                bucket_unref(config->services[i].to_client.shared);
                bucket_unref(config->services[i].to_upstream.shared);
                for (size_t j = 0; j < config->services[i].n_upstreams; j++)
                        upstream_deinit(&config->services[i].upstreams[j]);
                free(config->services[i].upstreams);
        }
        free(config->by_name);
        free(config->services);
        free(config->path);
        free(config);
        return NULL;
}

static int compare_name(const void *name, const void *service)
{
        return strcmp(name, (*(struct service_config *const *)service)->name);
}

const struct service_config *config_find_service(const struct config *config, const char *name)
{
        struct service_config *const *found =
                bsearch(name, config->by_name, config->n_services, sizeof(struct service_config *),
                        compare_name);

        return found ? *found : NULL;
}

static void inherit(struct conditions *conditions, const struct conditions *older)
{
        if (!conditions->shared || !older->shared || conditions->rate != older->rate ||
            conditions->burst_bytes != older->burst_bytes)
                return;
        bucket_unref(conditions->shared);
        conditions->shared = bucket_ref(older->shared);
}

void config_inherit(struct config *config, const struct config *older)
{
        for (size_t i = 0; i < config->n_services; i++) {
                struct service_config *service = &config->services[i];
                const struct service_config *same = config_find_service(older, service->name);

                if (!same)
                        continue;
                tally_unref(service->dialing);
                service->dialing = tally_ref(same->dialing);
                inherit(&service->to_client, &same->to_client);
                inherit(&service->to_upstream, &same->to_upstream);
        }
}
