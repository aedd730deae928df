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
                        reader_report(r, member, "%s: needs %s, which is missing",
                                      setting_path(member, path), key->needs);
        }
}

void check_top(struct reader *r, config_setting_t *root)
{
        check_needs(r, root, &key_groups[GROUP_TOP]);
}

void check_conditions(struct reader *r, config_setting_t *setting, const struct conditions *c)
{
        check_needs(r, setting, &key_groups[GROUP_CONDITIONS]);
        if (c->slice_bytes && c->slice_variation_bytes >= c->slice_bytes)
                reader_report_value(r, config_setting_get_member(setting, "slice_variation"),
                                    "less than slice_size");
}

/* Return: the setting of group @i in the setting to_client or to_upstream. */
static config_setting_t *group_setting(config_setting_t *setting, unsigned i)
{
        return config_setting_is_list(setting) ? config_setting_get_elem(setting, i) : setting;
}

/*
 * Whether an earlier group has the name of group @i of @direction; "" is a name too. The groups of
 * to_client come before those of to_upstream.
 */
static bool is_name_taken(const struct service_config *service, enum direction direction, size_t i)
{
        const struct condition_list *list = &service->conditions[direction];
        const char *name = list->groups[i].name;
        const struct condition_list before = { .groups = list->groups, .n = i };

        return condition_list_find(&before, name) ||
               (direction == TO_UPSTREAM && name[0] != '\0' &&
                condition_list_find(&service->conditions[TO_CLIENT], name));
}

/* Reports groups of conditions with the name of an earlier group. */
static void check_names(struct reader *r, config_setting_t *setting,
                        const struct service_config *service, enum direction direction)
{
        static const char *const keys[DIRECTIONS] = { "to_upstream", "to_client" };
        config_setting_t *conditions = config_setting_get_member(setting, keys[direction]);
        char path[SETTING_PATH_SIZE], value[SETTING_VALUE_SIZE];

        for (unsigned i = 0; i < service->conditions[direction].n; i++) {
                config_setting_t *group = group_setting(conditions, i), *name;

                if (!config_setting_is_group(group) || !is_name_taken(service, direction, i))
                        continue;
                name = config_setting_get_member(group, "name");
                if (!name)
                        reader_report(r, group,
                                      "%s: name is missing, and another group has none either",
                                      setting_path(group, path));
                else if (service->conditions[direction].groups[i].name[0] != '\0') /* legal */
                        reader_report(r, name, "%s: %s is the name of another group already",
                                      setting_path(name, path), setting_value(name, value));
        }
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

/* Reports keys for unix sockets in a service that has no unix socket. */
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
        check_names(r, setting, service, TO_CLIENT);
        check_names(r, setting, service, TO_UPSTREAM);
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

/* The relays of a file as a graph. Each upstream leads to at most one relay. */
struct routes {
        const struct config *config;
        size_t *first; /* of each service: the index of its first upstream in @next */
        size_t *next;  /* of each upstream: the index of a service; NOWHERE */
        bool *seen;    /* of each service: it has been visited */
};

#define NOWHERE SIZE_MAX

static void routes_deinit(struct routes *routes)
{
        free(routes->first);
        free(routes->next);
        free(routes->seen);
}

/* Adds the addresses of all relays, each owned by its element of @config->services. */
static void index_relays(const struct config *config, struct address_index *relays)
{
        for (size_t i = 0; i < config->n_services; i++) {
                const struct service_config *service = config->services[i];

                for (size_t j = 0; service->mode == SERVICE_RELAY && j < service->n_listen; j++)
                        address_index_add(relays, &service->listen[j], &config->services[i]);
        }
}

/* Return: the relay that listens on the address of @upstream; NOWHERE: none in this file. */
static size_t find_relay(const struct config *config, const struct address_index *relays,
                         const struct upstream *upstream)
{
        const void *relay;

        if (upstream->host || !address_index_find_reached(relays, &upstream->address, &relay))
                return NOWHERE;
        return (size_t)((struct service_config *const *)relay - config->services);
}

/* Return: 0; -ENOMEM. */
static int routes_find(struct routes *routes, const struct config *config, size_t n_listen,
                       size_t n_upstream)
{
        _cleanup_(address_index_freep) struct address_index *relays = NULL;
        int r = address_index_new(n_listen, &relays);
        size_t n = 0;

        *routes = (struct routes){ .config = config };
        routes->first = calloc(config->n_services, sizeof(*routes->first));
        routes->next = calloc(n_upstream + 1, sizeof(*routes->next));
        routes->seen = calloc(config->n_services, sizeof(*routes->seen));
        if (r < 0 || !routes->first || !routes->next || !routes->seen)
                return -ENOMEM;
        index_relays(config, relays);
        for (size_t i = 0; i < config->n_services; i++) {
                const struct service_config *service = config->services[i];

                routes->first[i] = n;
                for (size_t j = 0; j < service->n_upstreams; j++)
                        routes->next[n++] = find_relay(config, relays, &service->upstreams[j]);
        }
        return 0;
}

/* Whether a connection to the service @from may reach @to. */
static bool leads_to(struct routes *routes, size_t from, size_t to)
{
        if (from == NOWHERE || from == to)
                return from == to;
        if (routes->seen[from])
                return false;
        routes->seen[from] = true;
        for (size_t i = 0; i < routes->config->services[from]->n_upstreams; i++)
                if (leads_to(routes, routes->next[routes->first[from] + i], to))
                        return true;
        return false;
}

static void report_loops(struct reader *r, struct routes *routes, size_t index,
                         config_setting_t *key)
{
        const struct config *config = routes->config;
        const struct service_config *service = config->services[index];
        char path[SETTING_PATH_SIZE];

        for (size_t i = 0; i < service->n_upstreams; i++) {
                const char *text = service->upstreams[i].text;
                size_t next = routes->next[routes->first[index] + i];

                memset(routes->seen, 0, config->n_services * sizeof(*routes->seen));
                if (!leads_to(routes, next, index))
                        continue;
                if (next == index)
                        reader_report(r, key, "%s: \"%s\" is where the service itself listens",
                                      setting_path(key, path), text);
                else
                        reader_report(r, key, "%s: \"%s\" leads back here, by service %s",
                                      setting_path(key, path), text, config->services[next]->name);
        }
}

void check_loops(struct reader *r, config_setting_t *services)
{
        _cleanup_(routes_deinit) struct routes routes;

        if (routes_find(&routes, r->config, r->n_listen, r->n_upstream) < 0) {
                r->no_memory = true;
                return;
        }
        for (size_t i = 0; i < r->config->n_services; i++) {
                config_setting_t *service = config_setting_get_elem(services, (unsigned)i);

                if (r->config->services[i]->n_upstreams > 0)
                        report_loops(r, &routes, i, config_setting_get_member(service, "upstream"));
        }
}
