/* SPDX-License-Identifier: MIT */
/*
 * Readers of values. A value is stored only if it is legal.
 */
#include "values.h"
#include "address_index.h"
#include "quantity.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static bool is_integer(const config_setting_t *setting)
{
        int type = config_setting_type(setting);

        return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

/* Stores @value if it is in range, else reports it. @ok: whether the setting could be read. */
static void store(struct reader *r, const struct key *key, config_setting_t *setting, bool ok,
                  uint64_t value, void *out)
{
        if (ok && value >= key->min && value <= key->max)
                *(uint64_t *)out = value;
        else
                reader_report_value(r, setting, key->legal);
}

void read_count(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        long long value = is_integer(setting) ? config_setting_get_int64(setting) : -1;

        store(r, key, setting, value >= 0, (uint64_t)value, out);
}

void read_bytes(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        uint64_t value = 0;
        bool ok;

        if (!text) {
                read_count(r, key, setting, out);
                return;
        }
        ok = quantity_parse_bytes(text, &value) == 0;
        store(r, key, setting, ok, value, out);
}

void read_usec(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        double seconds = -1;
        uint64_t value = 0;
        bool ok;

        if (text) {
                ok = quantity_parse_usec(text, &value) == 0;
        } else {
                if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
                        seconds = config_setting_get_float(setting);
                else if (is_integer(setting))
                        seconds = (double)config_setting_get_int64(setting);
                /* In this range a double holds microseconds exactly. A NaN is in no range. */
                ok = seconds >= 0 && seconds <= (double)key->max / (double)USEC_PER_SEC;
                if (ok)
                        value = (uint64_t)(seconds * (double)USEC_PER_SEC + 0.5);
        }
        store(r, key, setting, ok, value, out);
}

void read_share(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        double value = -1;

        if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
                value = config_setting_get_float(setting);
        else if (is_integer(setting))
                value = (double)config_setting_get_int64(setting);
        if (value >= 0 && value <= 1)
                *(double *)out = value;
        else
                reader_report_value(r, setting, key->legal);
}

/* "never", a time span or a size. A number without a unit is a size. */
void read_stall_after(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        const struct key span = { .max = YEAR_USEC, .legal = key->legal };
        struct conditions *conditions = out;
        uint64_t value;

        conditions->stall_after_bytes = conditions->stall_after_usec = CONDITIONS_NEVER;
        if (text && strcmp(text, "never") == 0)
                return;
        if (text && quantity_parse_bytes(text, &value) < 0)
                read_usec(r, &span, setting, &conditions->stall_after_usec);
        else
                read_bytes(r, key, setting, &conditions->stall_after_bytes);
}

/* A number, or "random". */
void read_seed(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        struct config *config = out;

        config->seeded = !text || strcmp(text, "random") != 0;
        if (config->seeded)
                read_count(r, key, setting, &config->seed);
        else
                arc4random_buf(&config->seed, sizeof(config->seed));
}

void read_bool(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        if (config_setting_type(setting) == CONFIG_TYPE_BOOL)
                *(bool *)out = config_setting_get_bool(setting);
        else
                reader_report_value(r, setting, key->legal);
}

void read_name(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        size_t n = text ? strlen(text) : 0;

        if (text && n >= key->min && n <= key->max)
                memcpy(out, text, n + 1);
        else
                reader_report_value(r, setting, key->legal);
}

/* Return: the index of the setting's string in @words; -1: it is none of them, and reported. */
static int find_word(struct reader *r, const struct key *key, config_setting_t *setting,
                     const char *const *words)
{
        const char *text = config_setting_get_string(setting);

        for (int i = 0; text && words[i]; i++)
                if (strcmp(words[i], text) == 0)
                        return i;
        reader_report_value(r, setting, key->legal);
        return -1;
}

void read_log_level(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        static const char *const words[] = { "error", "warning", "notice", "info", "debug", NULL };
        int i = find_word(r, key, setting, words);

        if (i >= 0)
                *(enum log_level *)out = (enum log_level)(LOG_LEVEL_ERROR + i);
}

void read_backend(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        static const char *const words[] = { "auto", "epoll", "poll", "select", NULL };
        int i = find_word(r, key, setting, words);

        if (i >= 0)
                *(const char **)out = words[i];
}

void read_mode(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        static const char *const words[] = { "echo", "relay", "hub", NULL };
        int i = find_word(r, key, setting, words);

        r->skip_mode_checks |= i < 0;
        if (i >= 0)
                *(enum service_mode *)out = (enum service_mode)i;
}

void read_proxy_protocol(struct reader *r, const struct key *key, config_setting_t *setting,
                         void *out)
{
        static const char *const words[] = { "off", "accept", NULL };
        int i = find_word(r, key, setting, words);

        r->skip_mode_checks |= i < 0;
        if (i >= 0)
                *(bool *)out = i;
}

/* Access to unix sockets */

/* A mode is octal, which libconfig's integers are not: so it is a string. */
void read_socket_mode(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        const char *text = config_setting_get_string(setting);
        size_t n = text ? strlen(text) : 0;

        if (n >= 3 && n <= 4 && strspn(text, "01234567") == n && (n == 3 || text[0] == '0'))
                *(mode_t *)out = (mode_t)strtoul(text, NULL, 8);
        else
                reader_report_value(r, setting, key->legal);
}

void read_socket_group(struct reader *r, const struct key *key, config_setting_t *setting,
                       void *out)
{
        const char *text = config_setting_get_string(setting);
        struct socket_access *access = out;
        char number[32];
        int error;

        if (is_integer(setting)) {
                (void)snprintf(number, sizeof(number), "%lld", config_setting_get_int64(setting));
                text = number;
        }
        error = text ? socket_group_find(text, &access->group) : -ENOENT;
        access->has_group = error == 0;
        if (error == -ENOMEM)
                r->no_memory = true;
        else if (error < 0)
                reader_report_value(r, setting, key->legal);
}

/* Addresses */

/* Counts one more address, and reports the first one beyond @max. */
static bool is_too_many(struct reader *r, config_setting_t *setting, unsigned *n, unsigned max)
{
        char path[SETTING_PATH_SIZE], value[SETTING_VALUE_SIZE];

        if (++*n == max + 1)
                reader_report(r, setting, "%s: %s is one too many, expected at most %u addresses",
                              setting_path(setting, path), setting_value(setting, value), max);
        return *n > max;
}

static void read_address(struct reader *r, const struct key *key, config_setting_t *setting,
                         struct service_config *service)
{
        const char *text = config_setting_get_string(setting);
        struct address address, *listen;
        const struct address *other;
        const void *owner;
        char path[SETTING_PATH_SIZE], value[SETTING_VALUE_SIZE], part[ADDRESS_TEXT_SIZE];
        int error;

        error = text ? address_parse(text, &address) : -EINVAL;
        if (error == -ENOMEM) {
                r->no_memory = true;
                return;
        }
        if (error < 0) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        if (is_too_many(r, setting, &r->n_listen, LISTEN_MAX))
                return;
        /* Only one of the two sockets would get a connection that matches both. */
        other = address_index_find_overlap(r->listening, &address, &owner);
        if (other) {
                reader_report(r, setting, "%s: %s is listened on already, by service %s%s%s",
                              setting_path(setting, path), setting_value(setting, value),
                              (const char *)owner, address_equal(other, &address) ? "" : " on ",
                              address_equal(other, &address) ? "" : address_format(other, part));
                return;
        }
        listen = reallocarray(service->listen, service->n_listen + 1, sizeof(*listen));
        if (!listen) {
                r->no_memory = true;
                return;
        }
        service->listen = listen;
        listen[service->n_listen++] = address;
        address_index_add(r->listening, &address, service->name);
}

static void read_control_address(struct reader *r, const struct key *key, config_setting_t *setting)
{
        const char *text = config_setting_get_string(setting);
        struct address address;
        int error = text && r->config->n_control < CONFIG_CONTROL_MAX
                            ? address_parse(text, &address)
                            : -EINVAL;

        if (error == -ENOMEM)
                r->no_memory = true;
        else if (error < 0)
                reader_report_value(r, setting, key->legal);
        else
                r->config->control[r->config->n_control++] = address;
}

void read_control(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        int type = config_setting_type(setting), n = config_setting_length(setting);

        (void)out;
        if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY)
                read_control_address(r, key, setting);
        for (int i = 0; i < n; i++)
                read_control_address(r, key, config_setting_get_elem(setting, (unsigned)i));
}

/* Splits "NAME:PORT". A name has letters, digits, dots, hyphens and underscores. */
static int split_name(const char *text, struct upstream *upstream)
{
        static const char legal[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
        size_t n = strspn(text, legal);
        const char *port = text + n + 1;
        unsigned long number;
        char *end;

        if (n == 0 || n > NAME_MAX || text[n] != ':' || port[0] < '0' || port[0] > '9')
                return -EINVAL;
        number = strtoul(port, &end, 10);
        if (*end || number < 1 || number > UINT16_MAX)
                return -EINVAL;
        upstream->host = strndup(text, n);
        upstream->port = (uint16_t)number;
        return upstream->host ? 0 : -ENOMEM;
}

static int parse_upstream(const char *text, struct upstream *out)
{
        struct upstream upstream = { .text = malloc(ESCAPE_SIZE(strlen(text))) };
        int r = upstream.text ? address_parse(text, &upstream.address) : -ENOMEM;

        if (upstream.text)
                escape_bytes(upstream.text, text, strlen(text));
        if (r == 0 && (upstream.address.any || (upstream.address.sa.sa_family != AF_UNIX &&
                                                address_port(&upstream.address) == 0)))
                r = -ERANGE;
        if (r == -EINVAL && strncmp(text, "unix:", 5) != 0)
                r = split_name(text, &upstream);
        if (r < 0)
                upstream_deinit(&upstream);
        else
                *out = upstream;
        return r;
}

static void read_one_upstream(struct reader *r, const struct key *key, config_setting_t *setting,
                              struct service_config *service)
{
        const char *text = config_setting_get_string(setting);
        struct upstream upstream, *upstreams;
        int error;

        if (is_too_many(r, setting, &r->n_upstream, UPSTREAM_MAX))
                return;
        error = text ? parse_upstream(text, &upstream) : -EINVAL;

        if (error < 0 && error != -ENOMEM) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        upstreams = error < 0 ? NULL
                              : reallocarray(service->upstreams, service->n_upstreams + 1,
                                             sizeof(*upstreams));
        if (!upstreams) {
                r->no_memory = true;
                if (error == 0)
                        upstream_deinit(&upstream);
                return;
        }
        service->upstreams = upstreams;
        upstreams[service->n_upstreams++] = upstream;
}

/* Reads one value, or each value of a list. */
static void read_each(struct reader *r, const struct key *key, config_setting_t *setting,
                      void (*read)(struct reader *r, const struct key *key,
                                   config_setting_t *setting, struct service_config *service),
                      struct service_config *service)
{
        int type = config_setting_type(setting), n = config_setting_length(setting);

        if ((type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) || n == 0) {
                read(r, key, setting, service);
                return;
        }
        for (int i = 0; i < n; i++)
                read(r, key, config_setting_get_elem(setting, (unsigned)i), service);
}

void read_listen(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        read_each(r, key, setting, read_address, out);
}

void read_upstream(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        read_each(r, key, setting, read_one_upstream, out);
}

static void read_network(struct reader *r, const struct key *key, config_setting_t *setting,
                         struct service_config *service)
{
        const char *text = config_setting_get_string(setting);
        struct network network, *networks;

        if (!text || network_parse(text, &network) < 0) {
                reader_report_value(r, setting, key->legal);
                return;
        }
        networks = reallocarray(service->proxy_from, service->n_proxy_from + 1, sizeof(*networks));
        if (!networks) {
                r->no_memory = true;
                return;
        }
        service->proxy_from = networks;
        networks[service->n_proxy_from++] = network;
}

void read_proxy_from(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        read_each(r, key, setting, read_network, out);
}
