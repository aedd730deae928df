/* SPDX-License-Identifier: MIT */
/*
 * The tables of keys, one for each kind of group, and the reading of groups by these tables.
 */
#include "keys.h"
#include "check.h"
#include "reader.h"
#include "values.h"

#include <errno.h>
#include <string.h>

#define BYTES_MAX ((uint64_t)1 << 40)

#define ADDRESS_LEGAL                                                                              \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of them, PORT 0 " \
        "to 65535"
#define UPSTREAM_LEGAL                                                                         \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"NAME:PORT\", \"unix:/PATH\" or a list of them, " \
        "PORT 1 to 65535"
#define CONTROL_LEGAL                                                                         \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of up to 8 " \
        "of them"
#define SHARE_LEGAL "a share from 0 to 1"
#define NETWORK_LEGAL                                                                         \
        "\"ADDRESS/BITS\" such as \"10.0.0.0/8\" with no bits set behind BITS, \"ADDRESS\", " \
        "\"unix:\" or a list of them"
#define BYTES_LEGAL "bytes such as 1000 or \"64K\", to \"1024G\""
#define SPAN_LEGAL  "seconds or a time span such as \"200ms\" or \"1min 30s\", 0 to 365 days"
#define RATE_LEGAL                                                                            \
        "bytes a second such as 1000 or \"64K\", to \"1024G\", or \"unlimited\"; 0: nothing " \
        "moves"
#define GROUPS_LEGAL "a group { latency = …; }, or a list of up to 64: ( { … }, { … } )"

#define TOP(member)       offsetof(struct config, member)
#define SERVICE(member)   offsetof(struct service_config, member)
#define CONDITION(member) offsetof(struct conditions, member)

#define RELAY (1U << SERVICE_RELAY)
#define HUB   (1U << SERVICE_HUB)

static key_read_fn read_services, read_conditions;

static const struct key top_keys[] = {
        { "log_level", read_log_level, TOP(log_level), 0, 0,
          "\"error\", \"warning\", \"notice\", \"info\" or \"debug\"", .value = "\"info\"" },
        { "log_payload", read_bool, TOP(log_payload), 0, 0, "true or false", .value = "false" },
        { "backend", read_backend, TOP(backend), 0, 0,
          "\"auto\", \"epoll\", \"poll\" or \"select\"", .value = "\"auto\"",
          .reload = KEY_RESTART },
        { "workers", read_count, TOP(workers), 1, CONFIG_WORKERS_MAX,
          "a number from 1 to 64, or \"auto\"", .value = "1", .word = "auto", .word_value = 0,
          .reload = KEY_RESTART },
        { "max_connections", read_count, TOP(max_connections), 0, 1000000,
          "a number from 0 to 1000000", .value = "0" },
        { "max_held", read_bytes, TOP(max_held_bytes), 0, BYTES_MAX,
          "bytes such as \"1G\", to \"1024G\", or \"auto\"; 0: no limit", .value = "\"auto\"",
          .word = "auto", .word_value = CONFIG_HELD_AUTO },
        { "exit_on_idle", read_usec, TOP(exit_on_idle_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        { "drain_timeout", read_usec, TOP(drain_timeout_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"30s\"" },
        { "control", read_control, 0, 0, 0, CONTROL_LEGAL, .reload = KEY_RESTART },
        { "control_mode", read_socket_mode, TOP(control_access.mode), 0, 0,
          "an octal mode in quotes, from \"0000\" to \"0777\"", .value = "\"0660\"",
          .needs = "control", .reload = KEY_RESTART },
        { "control_group", read_socket_group, TOP(control_access), 0, 0,
          "the name or the number of a group of this system", .needs = "control",
          .reload = KEY_RESTART },
        { "seed", read_seed, 0, 0, INT64_MAX,
          "a number from 0 to 9223372036854775807, or \"random\"", .value = "\"random\"",
          .reload = KEY_NEW_CONNECTIONS },
        { "services", read_services, 0, 0, 0, "a group of at least one service", .required = true },
};

static const struct key service_keys[] = {
        { "listen", read_listen, 0, 0, 0, ADDRESS_LEGAL, .required = true },
        { "mode", read_mode, SERVICE(mode), 0, 0, "\"echo\", \"relay\" or \"hub\"",
          .value = "\"echo\"", .reload = KEY_NEW_CONNECTIONS },
        { "backlog", read_count, SERVICE(backlog), 1, 65535, "a number from 1 to 65535",
          .value = "4096" },
        { "socket_mode", read_socket_mode, SERVICE(socket_access.mode), 0, 0,
          "an octal mode in quotes, from \"0000\" to \"0777\"", .value = "\"0666\"" },
        { "socket_group", read_socket_group, SERVICE(socket_access), 0, 0,
          "the name or the number of a group of this system", .reload = KEY_AT_ONCE },
        { "send_delay", read_usec, SERVICE(send_delay_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        { "message_size", read_bytes, SERVICE(message_bytes), 1, 65536, "bytes from 1 to \"64K\"",
          .value = "1024" },
        { "idle_timeout", read_usec, SERVICE(idle_timeout_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        /* Most load balancers and NATs forget an idle connection after 4 minutes or more. */
        { "keepalive", read_usec, SERVICE(socket.keepalive_usec), 0, SOCKET_KEEPALIVE_MAX_USEC,
          "seconds or a time span such as \"2min\", 0 to 32767 s", .value = "\"2min\"",
          .reload = KEY_NEW_CONNECTIONS },
        { "user_timeout", read_usec, SERVICE(socket.user_timeout_usec), 0,
          SOCKET_USER_TIMEOUT_MAX_USEC, "seconds or a time span such as \"30s\", 0 to 2147483 s",
          .value = "\"0\"", .reload = KEY_NEW_CONNECTIONS },
        /* A Linux sender has no more in flight, unless its tcp_wmem was raised. */
        { "receive_buffer", read_bytes, SERVICE(socket.receive_buffer_bytes), 0, (uint64_t)1 << 30,
          "bytes such as \"256K\", to \"1G\"; 0: the system's", .value = "\"4M\"",
          .reload = KEY_NEW_CONNECTIONS },
        /* At 280 MB/s over 10 ms, 128K cost a tenth of the throughput and 512K nothing measurable.
         */
        { "send_buffer", read_bytes, SERVICE(socket.send_buffer_bytes), 0, (uint64_t)1 << 30,
          "bytes such as \"128K\", to \"1G\"; 0: the system's", .value = "\"512K\"",
          .reload = KEY_NEW_CONNECTIONS },
        { "upstream", read_upstream, 0, 0, 0, UPSTREAM_LEGAL, .modes = RELAY, .required = true,
          .reload = KEY_NEW_CONNECTIONS },
        { "connect_timeout", read_usec, SERVICE(connect_timeout_usec), 1, YEAR_USEC,
          "seconds or a time span such as \"200ms\", more than 0, to 365 days", .value = "\"5s\"",
          .modes = RELAY, .reload = KEY_NEW_CONNECTIONS },
        { "connect_wait", read_usec, SERVICE(connect_wait_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"", .modes = RELAY, .reload = KEY_NEW_CONNECTIONS },
        { "connect_delay", read_usec, SERVICE(connect_delay_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"", .modes = RELAY, .reload = KEY_NEW_CONNECTIONS },
        { "max_dialing", read_count, SERVICE(max_dialing), 0, 1000000, "a number from 0 to 1000000",
          .value = "1024", .modes = RELAY, .reload = KEY_NEW_CONNECTIONS },
        { "to_client", read_conditions, SERVICE(conditions[TO_CLIENT]), 0, 0, GROUPS_LEGAL,
          .value = "( )" },
        { "to_upstream", read_conditions, SERVICE(conditions[TO_UPSTREAM]), 0, 0, GROUPS_LEGAL,
          .value = "( )", .modes = RELAY },
        { "hold", read_bytes, SERVICE(hold_bytes), 1, (uint64_t)1 << 30, "bytes from 1 to \"1G\"",
          .value = "\"1M\"" },
        { "send_proxy", read_count, SERVICE(send_proxy), 0, 2, "0, or a version: 1 or 2",
          .value = "0", .modes = RELAY, .reload = KEY_NEW_CONNECTIONS },
        { "quota", read_bytes, SERVICE(quota_bytes), 1, (uint64_t)1 << 30, "bytes from 1 to \"1G\"",
          .value = "\"256K\"", .modes = HUB },
        { "proxy_protocol", read_proxy_protocol, SERVICE(proxy_accept), 0, 0,
          "\"off\" or \"accept\"", .value = "\"off\"", .reload = KEY_NEW_CONNECTIONS },
        { "proxy_from", read_proxy_from, 0, 0, 0, NETWORK_LEGAL, .reload = KEY_NEW_CONNECTIONS },
};

static const struct key condition_keys[] = {
        { "name", read_name, CONDITION(name), 1, CONDITIONS_NAME_SIZE - 1,
          "a text of 1 to 255 bytes", .reload = KEY_AT_ONCE },
        { "latency", read_usec, CONDITION(latency_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        { "jitter", read_usec, CONDITION(jitter_usec), 0, YEAR_USEC, SPAN_LEGAL, .value = "\"0\"" },
        { "rate", read_bytes, CONDITION(rate), 0, BYTES_MAX, RATE_LEGAL, .value = "\"unlimited\"",
          .word = "unlimited", .word_value = CONDITIONS_UNLIMITED },
        { "burst", read_bytes, CONDITION(burst_bytes), 0, BYTES_MAX, BYTES_LEGAL ", or \"auto\"",
          .value = "\"auto\"", .word = "auto", .word_value = CONDITIONS_AUTO, .needs = "rate" },
        { "shared", read_bool, CONDITION(shared), 0, 0, "true or false", .value = "false",
          .needs = "rate" },
        { "slice_size", read_bytes, CONDITION(slice_bytes), 0, BYTES_MAX, BYTES_LEGAL,
          .value = "0" },
        { "slice_variation", read_bytes, CONDITION(slice_variation_bytes), 0, BYTES_MAX,
          BYTES_LEGAL, .value = "0", .needs = "slice_size" },
        { "slice_delay", read_usec, CONDITION(slice_delay_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        { "limit", read_bytes, CONDITION(limit_bytes), 0, BYTES_MAX, BYTES_LEGAL ", or \"never\"",
          .value = "\"never\"", .word = "never", .word_value = CONDITIONS_NEVER },
        { "stall_after", read_stall_after, 0, 0, BYTES_MAX,
          "a time span such as \"2s\", 0 to 365 days, or bytes such as 1000 or \"64K\", to "
          "\"1024G\", or \"never\"",
          .value = "\"never\"", .needs = "stall_for" },
        { "stall_for", read_usec, CONDITION(stall_for_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"forever\"", .value = "\"0\"", .word = "forever",
          .word_value = CONDITIONS_FOREVER, .needs = "stall_after" },
        { "reset_after", read_usec, CONDITION(reset_after_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"never\"", .value = "\"never\"", .word = "never",
          .word_value = CONDITIONS_NEVER },
        { "discard", read_bool, CONDITION(discard), 0, 0, "true or false", .value = "false" },
        { "discard_idle", read_usec, CONDITION(discard_idle_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"never\"", .value = "\"never\"", .word = "never",
          .word_value = CONDITIONS_NEVER, .needs = "discard" },
        { "reset_after_data", read_usec, CONDITION(reset_after_data_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"never\"", .value = "\"never\"", .word = "never",
          .word_value = CONDITIONS_NEVER },
        { "close_delay", read_usec, CONDITION(close_delay_usec), 0, YEAR_USEC, SPAN_LEGAL,
          .value = "\"0\"" },
        { "drop_new", read_share, CONDITION(drop_new), 0, 0, SHARE_LEGAL, .value = "0.0",
          .reload = KEY_NEW_CONNECTIONS },
        { "probability", read_share, CONDITION(probability), 0, 0, SHARE_LEGAL, .value = "1.0" },
};

const struct group key_groups[GROUPS] = {
        [GROUP_TOP] = { "the top level", top_keys, ELEMENTS(top_keys) },
        [GROUP_SERVICE] = { "a service", service_keys, ELEMENTS(service_keys) },
        [GROUP_CONDITIONS] = { "to_client and to_upstream", condition_keys,
                               ELEMENTS(condition_keys) },
};

const struct key *keys_find(const struct group *group, const char *name)
{
        for (size_t i = 0; i < group->n; i++)
                if (strcmp(group->keys[i].name, name) == 0)
                        return &group->keys[i];
        return NULL;
}

/* Unknown keys */

/* The Levenshtein distance between the first SHOWN_BYTES of @a and @b. */
static unsigned distance(const char *a, const char *b)
{
        unsigned row[SHOWN_BYTES + 1], n = (unsigned)strnlen(b, SHOWN_BYTES);

        for (unsigned j = 0; j <= n; j++)
                row[j] = j;
        for (unsigned i = 0; i < SHOWN_BYTES && a[i]; i++) {
                unsigned diagonal = row[0];

                row[0] = i + 1;
                for (unsigned j = 0; j < n; j++) {
                        unsigned best = diagonal + (a[i] != b[j]);

                        diagonal = row[j + 1];
                        best = best < diagonal + 1 ? best : diagonal + 1;
                        row[j + 1] = best < row[j] + 1 ? best : row[j] + 1;
                }
        }
        return row[n];
}

/* Return: the key nearest to @name, with at most one letter in three different; NULL: none. */
static const struct key *find_nearest(const struct group *group, const char *name)
{
        const struct key *nearest = NULL;
        size_t least = strnlen(name, SHOWN_BYTES) / 3 + 1;

        for (size_t i = 0; i < group->n; i++) {
                unsigned d = distance(name, group->keys[i].name);

                if (d >= least)
                        continue;
                least = d;
                nearest = &group->keys[i];
        }
        return nearest;
}

static void report_unknown(struct reader *r, const config_setting_t *setting,
                           const struct group *group)
{
        const char *name = config_setting_name(setting);
        const struct key *nearest;
        char path[SETTING_PATH_SIZE];

        for (size_t i = 0; i < GROUPS; i++) {
                if (!keys_find(&key_groups[i], name))
                        continue;
                reader_report(r, setting, "%s: unknown key here, it is one of %s",
                              setting_path(setting, path), key_groups[i].where);
                return;
        }
        nearest = find_nearest(group, name);
        if (nearest)
                reader_report(r, setting, "%s: unknown key, the nearest known one is \"%s\"",
                              setting_path(setting, path), nearest->name);
        else
                reader_report(r, setting, "%s: unknown key, see selectd.conf(5) for those of %s",
                              setting_path(setting, path), group->where);
}

/* Groups */

static void read_key(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);

        if (key->word && text && strcmp(key->word, text) == 0)
                *(uint64_t *)out = key->word_value;
        else
                key->read(r, key, setting, out);
}

void keys_read(struct reader *r, config_setting_t *setting, const struct group *group, void *out)
{
        for (int i = 0; i < config_setting_length(setting); i++) {
                config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
                const struct key *key = keys_find(group, config_setting_name(member));

                if (key)
                        read_key(r, key, member, (char *)out + key->offset);
                else
                        report_unknown(r, member, group);
        }
}

static void read_group(struct reader *r, const struct key *key, config_setting_t *setting,
                       struct conditions *c)
{
        *c = r->default_conditions;
        if (!config_setting_is_group(setting)) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        keys_read(r, setting, &key_groups[GROUP_CONDITIONS], c);
        check_conditions(r, setting, c);
        if (c->rate != CONDITIONS_UNLIMITED && c->burst_bytes == CONDITIONS_AUTO)
                c->burst_bytes = c->rate > 10 ? c->rate / 10 : 1;
}

/* Reads one group, or each group of a list, in the order of the file. */
static void read_conditions(struct reader *r, const struct key *key, config_setting_t *setting,
                            void *out)
{
        bool single = !config_setting_is_list(setting);
        size_t n = single ? 1 : (size_t)config_setting_length(setting);
        struct condition_list *list = out;

        if (n > CONDITIONS_GROUPS_MAX) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        list->groups = n > 0 ? calloc(n, sizeof(*list->groups)) : NULL;
        if (n > 0 && !list->groups) {
                r->no_memory = true;
                return;
        }
        for (unsigned i = 0; i < n; i++)
                read_group(r, key, single ? setting : config_setting_get_elem(setting, i),
                           &list->groups[list->n++]);
}

/* Appends a service to the configuration, under the name of @setting. Return: it, or NULL. */
static struct service_config *add_service(struct reader *r, const config_setting_t *setting)
{
        struct service_config *service;
        int error =
                service_config_copy(config_setting_name(setting), &r->default_service, &service);

        if (error < 0) {
                r->no_memory = true;
                return NULL;
        }
        r->config->services[r->config->n_services++] = service;
        return service;
}

static void read_service(struct reader *r, config_setting_t *setting)
{
        struct service_config *service = add_service(r, setting);

        if (!service)
                return;
        if (!config_setting_is_group(setting)) {
                reader_report_value(r, setting, "a group { listen = …; }");
                return;
        }
        r->skip_mode_checks = false;
        keys_read(r, setting, &key_groups[GROUP_SERVICE], service);
        service_config_set_mode(service, service->mode);
        check_service(r, setting, service);
}

static void read_services(struct reader *r, const struct key *key, config_setting_t *setting,
                          void *out)
{
        int n = config_setting_length(setting);

        (void)out;
        if (!config_setting_is_group(setting) || n == 0) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        r->config->services = calloc((size_t)n, sizeof(struct service_config *));
        if (!r->config->services) {
                r->no_memory = true;
                return;
        }
        for (int i = 0; i < n; i++)
                read_service(r, config_setting_get_elem(setting, (unsigned)i));
        if (!r->no_memory)
                check_loops(r, setting);
}

/* Defaults */

/* Writes the defaults of a group as the text of a file. Return: 0; -ENOMEM. */
static int write_defaults(const struct group *group, char **text)
{
        size_t size;
        FILE *out = open_memstream(text, &size);

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < group->n; i++)
                if (group->keys[i].value)
                        (void)fprintf(out, "%s = %s;\n", group->keys[i].name, group->keys[i].value);
        return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int read_defaults(struct reader *r, const struct group *group, void *out)
{
        _cleanup_(freep) char *text = NULL;
        config_t tree;
        int error = write_defaults(group, &text);

        if (error < 0)
                return error;
        config_init(&tree);
        if (config_read_string(&tree, text) == CONFIG_TRUE)
                keys_read(r, config_root_setting(&tree), group, out);
        else
                error = -ENOMEM;
        config_destroy(&tree);
        return error;
}

static int read_service_defaults(struct reader *r)
{
        int error = read_defaults(r, &key_groups[GROUP_CONDITIONS], &r->default_conditions);

        r->default_service.enabled = true;
        if (error == 0)
                error = read_defaults(r, &key_groups[GROUP_SERVICE], &r->default_service);
        return error;
}

int keys_read_defaults(struct reader *r)
{
        int error = read_service_defaults(r);

        return error < 0 ? error : read_defaults(r, &key_groups[GROUP_TOP], r->config);
}

int keys_service_defaults(struct service_config *out)
{
        struct reader reader = { 0 };
        int error = read_service_defaults(&reader);

        if (error == 0)
                *out = reader.default_service;
        return error;
}
