/* SPDX-License-Identifier: MIT */
/* Checks of a group by its table of keys, and of all services together. */
#include "check.h"
#include "address_index.h"
#include "keys.h"

#include <errno.h>
#include <string.h>

static bool has(const config_setting_t *group, const char *name)
{
        return config_setting_get_member(group, name) != NULL;
}

/* Reports each key that is set without the key that it needs. */
static void check_needs(struct reader *r, config_setting_t *setting, const struct group *group)
{
        char path[SETTING_PATH_SIZE];

        for (size_t i = 0; i < group->n; i++) {
                const struct key *key = &group->keys[i];
                config_setting_t *member = config_setting_get_member(setting, key->name);

                if (member && key->needs && !has(setting, key->needs))
                        reader_report(r, member, "%s: goes with %s, which is missing",
                                      setting_path(member, path), key->needs);
        }
}

void check_conditions(struct reader *r, config_setting_t *setting, const struct conditions *c)
{
        check_needs(r, setting, &key_groups[GROUP_CONDITIONS]);
        if (c->slice_bytes && c->slice_variation_bytes >= c->slice_bytes)
                reader_report_value(r, config_setting_get_member(setting, "slice_variation"),
                                    "less than slice_size");
}

/* Reports a key that is required and missing, or set and for other modes only. */
static void check_mode(struct reader *r, config_setting_t *setting, const struct key *key,
                       const struct service_config *service)
{
        static const char *const modes[] = { "echo", "relay", "hub" };
        config_setting_t *member = config_setting_get_member(setting, key->name);
        bool fits = !key->modes || key->modes & 1U << service->mode;
        char path[SETTING_PATH_SIZE];

        if (key->modes && r->skip_mode_checks)
                return;
        if (key->required && fits && !member)
                reader_report(r, setting, "%s: %s is missing, expected %s",
                              setting_path(setting, path), key->name, key->legal);
        if (member && !fits)
                reader_report(r, member, "%s: is for mode = \"%s\" only",
                              setting_path(member, path), modes[ffs((int)key->modes) - 1]);
}

static bool has_unix_socket(const struct service_config *service)
{
        for (size_t i = 0; i < service->n_listen; i++)
                if (service->listen[i].sa.sa_family == AF_UNIX)
                        return true;
        return false;
}

/* Reports keys that are for unix sockets where the service has none. */
static void check_unix_keys(struct reader *r, config_setting_t *setting,
                            const struct service_config *service)
{
        static const char *const names[] = { "socket_mode", "socket_group" };
        char path[SETTING_PATH_SIZE];

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                config_setting_t *key = config_setting_get_member(setting, names[i]);

                if (key && service->n_listen > 0 && !has_unix_socket(service))
                        reader_report(r, key, "%s: is for unix sockets, and listen has none",
                                      setting_path(key, path));
        }
}

void check_service(struct reader *r, config_setting_t *setting,
                   const struct service_config *service)
{
        const struct group *group = &key_groups[GROUP_SERVICE];
        config_setting_t *from = config_setting_get_member(setting, "proxy_from");
        char path[SETTING_PATH_SIZE];

        check_needs(r, setting, group);
        check_unix_keys(r, setting, service);
        for (size_t i = 0; i < group->n; i++)
                check_mode(r, setting, &group->keys[i], service);
        if (r->skip_mode_checks)
                return;
        if (service->proxy_accept && !from)
                reader_report(r, setting, "%s: proxy_from is missing, expected %s",
                              setting_path(setting, path), keys_find(group, "proxy_from")->legal);
        if (!service->proxy_accept && from)
                reader_report(r, from, "%s: is for proxy_protocol = \"accept\" only",
                              setting_path(from, path));
}

/* Relays that lead to themselves */

/* Return: the relay that listens where @upstream leads, as far as the file tells; NULL: none. */
static const struct service_config *find_relay(const struct address_index *relays,
                                               const struct upstream *upstream)
{
        const void *relay;

        if (upstream->host || !address_index_find_reached(relays, &upstream->address, &relay))
                return NULL;
        return relay;
}

/* Sets the relay of every upstream. Return: 0; -ENOMEM. */
static int find_relays(struct config *config, size_t n_listen)
{
        _cleanup_(address_index_freep) struct address_index *relays = NULL;
        int r = address_index_new(n_listen, &relays);

        if (r < 0)
                return r;
        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0; j < config->services[i].n_listen; j++)
                        if (config->services[i].mode == SERVICE_RELAY)
                                address_index_add(relays, &config->services[i].listen[j],
                                                  &config->services[i]);
        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0; j < config->services[i].n_upstreams; j++)
                        config->services[i].upstreams[j].relay =
                                find_relay(relays, &config->services[i].upstreams[j]);
        return 0;
}

/* Whether a connection to @from may reach @to. @seen: a flag for each service already visited. */
static bool leads_to(const struct config *config, const struct service_config *from,
                     const struct service_config *to, bool *seen)
{
        if (!from || from == to)
                return from;
        if (seen[from - config->services])
                return false;
        seen[from - config->services] = true;
        for (size_t i = 0; i < from->n_upstreams; i++)
                if (leads_to(config, from->upstreams[i].relay, to, seen))
                        return true;
        return false;
}

static void report_loops(struct reader *r, const struct service_config *service,
                         config_setting_t *key, bool *seen)
{
        char path[SETTING_PATH_SIZE];

        for (size_t i = 0; i < service->n_upstreams; i++) {
                const struct upstream *upstream = &service->upstreams[i];

                memset(seen, 0, r->config->n_services);
                if (!leads_to(r->config, upstream->relay, service, seen))
                        continue;
                if (upstream->relay == service)
                        reader_report(r, key, "%s: \"%s\" is where the service itself listens",
                                      setting_path(key, path), upstream->text);
                else
                        reader_report(r, key, "%s: \"%s\" leads back here, by service %s",
                                      setting_path(key, path), upstream->text,
                                      upstream->relay->name);
        }
}

void check_loops(struct reader *r, config_setting_t *services)
{
        _cleanup_(freep) bool *seen = malloc(r->config->n_services);

        if (!seen || find_relays(r->config, r->n_listen) < 0) {
                r->no_memory = true;
                return;
        }
        for (size_t i = 0; i < r->config->n_services; i++) {
                config_setting_t *service = config_setting_get_elem(services, (unsigned)i);

                if (r->config->services[i].n_upstreams > 0)
                        report_loops(r, &r->config->services[i],
                                     config_setting_get_member(service, "upstream"), seen);
        }
}
