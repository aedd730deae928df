/* SPDX-License-Identifier: MIT */
#include "service_config.h"
#include "keys.h"

#include <errno.h>
#include <string.h>

/* The count is kept apart, so that struct service_config holds values alone. */
struct counted {
        unsigned refs;
        struct service_config config;
};

static struct counted *counted_of(struct service_config *config)
{
        return container_of(config, struct counted, config);
}

struct service_config *service_config_ref(struct service_config *config)
{
        (void)__atomic_add_fetch(&counted_of(config)->refs, 1, __ATOMIC_RELAXED);
        return config;
}

void upstream_deinit(struct upstream *upstream)
{
        free(upstream->text);
        free(upstream->host);
}

struct service_config *service_config_unref(struct service_config *config)
{
        if (!config || __atomic_sub_fetch(&counted_of(config)->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        for (size_t i = 0; i < config->n_upstreams; i++)
                upstream_deinit(&config->upstreams[i]);
        free(config->upstreams);
        free(config->proxy_from);
        free(config->listen);
        free(config->name);
        for (size_t d = 0; d < DIRECTIONS; d++)
                condition_list_deinit(&config->conditions[d]);
        free(counted_of(config));
        return NULL;
}

/* Copying */

/* Sets @out to a copy of @n values; to NULL if there are none. Return: 0; -ENOMEM. */
static int copy_array(const void *from, size_t n, size_t size, void **out)
{
        *out = n ? calloc(n, size) : NULL;
        if (!*out)
                return n ? -ENOMEM : 0;
        memcpy(*out, from, n * size);
        return 0;
}

static int copy_upstream(const struct upstream *from, struct upstream *out)
{
        *out = *from;
        out->text = strdup(from->text);
        out->host = from->host ? strdup(from->host) : NULL;
        if (out->text && (out->host || !from->host))
                return 0;
        upstream_deinit(out);
        return -ENOMEM;
}

static int copy_upstreams(const struct service_config *from, struct service_config *to)
{
        int r = 0;

        to->upstreams = calloc(from->n_upstreams + 1, sizeof(*to->upstreams));
        if (!to->upstreams)
                return -ENOMEM;
        while (r == 0 && to->n_upstreams < from->n_upstreams) {
                r = copy_upstream(&from->upstreams[to->n_upstreams],
                                  &to->upstreams[to->n_upstreams]);
                to->n_upstreams += r == 0;
        }
        return r;
}

/* Sets the members of @to that are pointers, all NULL before. Return: 0; -ENOMEM. */
static int copy_pointers(const char *name, const struct service_config *from,
                         struct service_config *to)
{
        int r;

        to->name = strdup(name);
        r = to->name ? 0 : -ENOMEM;
        if (r == 0)
                r = copy_array(from->listen, from->n_listen, sizeof(*from->listen),
                               (void **)&to->listen);
        if (r == 0)
                r = copy_array(from->proxy_from, from->n_proxy_from, sizeof(*from->proxy_from),
                               (void **)&to->proxy_from);
        if (r == 0)
                r = copy_upstreams(from, to);
        for (size_t d = 0; r == 0 && d < DIRECTIONS; d++)
                r = condition_list_copy(&from->conditions[d], &to->conditions[d]);
        return r;
}

int service_config_copy(const char *name, const struct service_config *from,
                        struct service_config **out)
{
        _cleanup_(service_config_unrefp) struct service_config *config = NULL;
        struct counted *counted = calloc(1, sizeof(*counted));
        int r;

        if (!counted)
                return -ENOMEM;
        counted->refs = 1;
        config = &counted->config;
        *config = *from;
        config->name = NULL;
        config->listen = NULL;
        config->proxy_from = NULL;
        config->upstreams = NULL;
        config->n_upstreams = 0;
        memset(config->conditions, 0, sizeof(config->conditions));
        r = copy_pointers(name, from, config);
        if (r < 0)
                return r;
        *out = config;
        config = NULL;
        return 0;
}

int service_config_new(const char *name, struct service_config **out)
{
        struct service_config values;
        int r = keys_service_defaults(&values);

        return r < 0 ? r : service_config_copy(name, &values, out);
}

/* In an echo, urgent data ends the connection; the other modes read the urgent byte at its place.
 */
void service_config_set_mode(struct service_config *config, enum service_mode mode)
{
        config->mode = mode;
        config->socket.urgent_inline = mode != SERVICE_ECHO;
}
