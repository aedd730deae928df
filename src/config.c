/*
 * Reading of the configuration. libconfig parses; then the tree is walked against three tables of
 * keys, one a kind of group. A value is taken only if it is legal, and every mistake is reported in
 * the same form: "KEY: VALUE is not legal, expected RANGE".
 */
#include "config.h"
#include "address_index.h"
#include "bucket.h"
#include "escape.h"
#include "quantity.h"
#include "source.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#define YEAR_USEC (365 * 24 * 3600 * USEC_PER_SEC)

/* More than these are not reported: nobody reads them, and the file has none that is known. */
#define MISTAKES_MAX 1000

/* In all services together. */
#define LISTEN_MAX   4096
#define UPSTREAM_MAX 4096

#define BYTES_MAX  ((uint64_t)1 << 40)
#define RATE_LEGAL "bytes a second, such as \"64K\", to \"1024G\"; 0: no limit"

/* How much of a value a message shows. */
#define SHOWN_BYTES 64
#define KEY_SIZE    256
#define VALUE_SIZE  (ESCAPE_SIZE(SHOWN_BYTES) + 8)

struct reader {
        config_mistake_fn *mistake;
        void *arg;
        struct source *source;
        struct config *config;
        bool skip_mode_checks; /* the service's mode or proxy_protocol is illegal */
        unsigned n_mistakes;
        unsigned n_listen, n_upstream;
        struct address_index *listening; /* every "listen" read so far; owner: the service's name */
        bool no_memory;
};

/* One key of a group: how its value is read, and what is legal. */
struct key {
        const char *name;
        void (*read)(struct reader *r, const struct key *key, config_setting_t *setting, void *out);
        size_t offset; /* of the value, in what the group fills */
        uint64_t min, max;
        const char *legal;
};

/* The keys of one kind of group, and where it stands. */
struct group {
        const struct key *keys;
        size_t n;
        const char *where;
};

enum { GROUP_TOP, GROUP_SERVICE, GROUP_CONDITIONS, GROUPS };

static const struct group groups[GROUPS];

static void tell(struct reader *r, const char *file, unsigned line, const char *text)
{
        char last[64];

        if (++r->n_mistakes > MISTAKES_MAX + 1)
                return;
        (void)snprintf(last, sizeof(last), "more than %d mistakes, no more are reported",
                       MISTAKES_MAX);
        r->mistake(r->arg, file, line, r->n_mistakes > MISTAKES_MAX ? last : text);
}

_printf_(4, 0) static void vreport(struct reader *r, const char *file, unsigned line,
                                   const char *format, va_list args)
{
        char text[KEY_SIZE + ESCAPE_SIZE(SHOWN_BYTES) + 256];

        (void)vsnprintf(text, sizeof(text), format, args);
        tell(r, file, line, text);
}

/* Reports a mistake at a line of a file. */
_printf_(4, 5) static void report_at(struct reader *r, const char *file, unsigned line,
                                     const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vreport(r, file, line, format, args);
        va_end(args);
}

/* Reports a mistake at a setting. */
_printf_(3, 4) static void report(struct reader *r, const config_setting_t *setting,
                                  const char *format, ...)
{
        const char *file;
        unsigned line;
        va_list args;

        source_locate(r->source, config_setting_source_line(setting), &file, &line);
        va_start(args, format);
        vreport(r, file, line, format, args);
        va_end(args);
}

/* "services.echo.backlog"; elements of a list count for the list. */
static const char *key_path(const config_setting_t *setting, char *out)
{
        const config_setting_t *parent = config_setting_parent(setting);
        const char *name = config_setting_name(setting);
        size_t n;

        out[0] = '\0';
        if (!parent)
                return out;
        key_path(parent, out);
        n = strlen(out);
        if (name)
                (void)snprintf(out + n, KEY_SIZE - n, "%s%.*s", n ? "." : "", SHOWN_BYTES, name);
        return out;
}

/* The value as it would stand in the file. */
static const char *show_value(config_setting_t *setting, char *out)
{
        const size_t size = VALUE_SIZE;
        char text[ESCAPE_SIZE(SHOWN_BYTES)];
        const char *string;
        size_t n;

        switch (config_setting_type(setting)) {
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                (void)snprintf(out, size, "%lld", config_setting_get_int64(setting));
                break;
        case CONFIG_TYPE_FLOAT:
                (void)snprintf(out, size, "%.15g", config_setting_get_float(setting));
                if (!strpbrk(out, ".en")) /* or it would look like an integer */
                        (void)snprintf(out + strlen(out), size - strlen(out), ".0");
                break;
        case CONFIG_TYPE_BOOL:
                (void)snprintf(out, size, "%s",
                               config_setting_get_bool(setting) ? "true" : "false");
                break;
        case CONFIG_TYPE_STRING:
                string = config_setting_get_string(setting);
                n = strlen(string);
                escape_bytes(text, string, n < SHOWN_BYTES ? n : SHOWN_BYTES);
                (void)snprintf(out, size, "\"%s\"%s", text, n > SHOWN_BYTES ? "…" : "");
                break;
        case CONFIG_TYPE_GROUP:
                (void)snprintf(out, size, "a group { … }");
                break;
        default:
                (void)snprintf(out, size, "a list of %d", config_setting_length(setting));
        }
        return out;
}

static void report_value(struct reader *r, config_setting_t *setting, const char *legal)
{
        char path[KEY_SIZE], value[VALUE_SIZE];

        report(r, setting, "%s: %s is not legal, expected %s", key_path(setting, path),
               show_value(setting, value), legal);
}

/* Values */

static bool is_integer(const config_setting_t *setting)
{
        int type = config_setting_type(setting);

        return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

/* Stores @value if it is in range, else reports it. @ok: whether it could be read at all. */
static void store(struct reader *r, const struct key *key, config_setting_t *setting, bool ok,
                  uint64_t value, void *out)
{
        if (ok && value >= key->min && value <= key->max)
                *(uint64_t *)out = value;
        else
                report_value(r, setting, key->legal);
}

static void read_count(struct reader *r, const struct key *key, config_setting_t *setting,
                       void *out)
{
        long long value = is_integer(setting) ? config_setting_get_int64(setting) : -1;

        store(r, key, setting, value >= 0, (uint64_t)value, out);
}

static void read_bytes(struct reader *r, const struct key *key, config_setting_t *setting,
                       void *out)
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

static void read_usec(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
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
                /* In this range a double holds microseconds exactly; NaN is in none. */
                ok = seconds >= 0 && seconds <= (double)key->max / (double)USEC_PER_SEC;
                if (ok)
                        value = (uint64_t)(seconds * (double)USEC_PER_SEC + 0.5);
        }
        store(r, key, setting, ok, value, out);
}

/* Whether the value is the string @word. */
static bool is_word(const config_setting_t *setting, const char *word)
{
        const char *text = config_setting_get_string(setting);

        return text && strcmp(text, word) == 0;
}

/* A duration, or "forever". */
static void read_usec_or_forever(struct reader *r, const struct key *key, config_setting_t *setting,
                                 void *out)
{
        if (is_word(setting, "forever"))
                *(uint64_t *)out = CONDITIONS_FOREVER;
        else
                read_usec(r, key, setting, out);
}

/* A duration, or "never". */
static void read_usec_or_never(struct reader *r, const struct key *key, config_setting_t *setting,
                               void *out)
{
        if (is_word(setting, "never"))
                *(uint64_t *)out = CONDITIONS_NEVER;
        else
                read_usec(r, key, setting, out);
}

/* A size, or "never". */
static void read_bytes_or_never(struct reader *r, const struct key *key, config_setting_t *setting,
                                void *out)
{
        if (is_word(setting, "never"))
                *(uint64_t *)out = CONDITIONS_NEVER;
        else
                read_bytes(r, key, setting, out);
}

/* A size, or "auto". */
static void read_bytes_or_auto(struct reader *r, const struct key *key, config_setting_t *setting,
                               void *out)
{
        if (is_word(setting, "auto"))
                *(uint64_t *)out = CONDITIONS_AUTO;
        else
                read_bytes(r, key, setting, out);
}

/* A part of all, 0 to 1. */
static void read_share(struct reader *r, const struct key *key, config_setting_t *setting,
                       void *out)
{
        double value = -1;

        if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
                value = config_setting_get_float(setting);
        else if (is_integer(setting))
                value = (double)config_setting_get_int64(setting);
        if (value >= 0 && value <= 1)
                *(double *)out = value;
        else
                report_value(r, setting, key->legal);
}

/* "never", a time span or a size. A number without a unit is a size. */
static void read_stall_after(struct reader *r, const struct key *key, config_setting_t *setting,
                             void *out)
{
        const char *text = config_setting_get_string(setting);
        const struct key span = { .max = YEAR_USEC, .legal = key->legal };
        struct conditions *conditions = out;
        uint64_t value;

        if (is_word(setting, "never"))
                return; /* the default */
        if (text && quantity_parse_bytes(text, &value) < 0)
                read_usec(r, &span, setting, &conditions->stall_after_usec);
        else
                read_bytes(r, key, setting, &conditions->stall_after_bytes);
}

static void read_seed(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        struct config *config = out;

        if (is_word(setting, "random"))
                return; /* the default */
        read_count(r, key, setting, &config->seed);
        config->seeded = true;
}

static void read_bool(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        if (config_setting_type(setting) == CONFIG_TYPE_BOOL)
                *(bool *)out = config_setting_get_bool(setting);
        else
                report_value(r, setting, key->legal);
}

static void read_shared(struct reader *r, const struct key *key, config_setting_t *setting,
                        void *out)
{
        struct conditions *conditions = out;
        bool shared = false;

        read_bool(r, key, setting, &shared);
        if (shared && bucket_new(&conditions->shared) < 0)
                r->no_memory = true;
}

/* The place of the setting's string in @words; -1 and a report if it is none of them. */
static int find_word(struct reader *r, const struct key *key, config_setting_t *setting,
                     const char *const *words)
{
        const char *text = config_setting_get_string(setting);

        for (int i = 0; text && words[i]; i++)
                if (strcmp(words[i], text) == 0)
                        return i;
        report_value(r, setting, key->legal);
        return -1;
}

static void read_log_level(struct reader *r, const struct key *key, config_setting_t *setting,
                           void *out)
{
        static const char *const words[] = { "error", "warning", "notice", "info", "debug", NULL };
        int i = find_word(r, key, setting, words);

        if (i >= 0)
                *(enum log_level *)out = (enum log_level)(LOG_LEVEL_ERROR + i);
}

static void read_backend(struct reader *r, const struct key *key, config_setting_t *setting,
                         void *out)
{
        static const char *const words[] = { "auto", "epoll", "poll", "select", NULL };
        int i = find_word(r, key, setting, words);

        if (i >= 0)
                *(const char **)out = words[i];
}

static void read_mode(struct reader *r, const struct key *key, config_setting_t *setting, void *out)
{
        static const char *const words[] = { "echo", "relay", "hub", NULL };
        int i = find_word(r, key, setting, words);

        r->skip_mode_checks |= i < 0;
        if (i >= 0)
                *(enum service_mode *)out = (enum service_mode)i;
}

/* 0 stands for "auto". */
static void read_workers(struct reader *r, const struct key *key, config_setting_t *setting,
                         void *out)
{
        if (is_word(setting, "auto"))
                *(uint64_t *)out = 0;
        else
                read_count(r, key, setting, out);
}

static void read_proxy_protocol(struct reader *r, const struct key *key, config_setting_t *setting,
                                void *out)
{
        static const char *const words[] = { "off", "accept", NULL };
        int i = find_word(r, key, setting, words);

        r->skip_mode_checks |= i < 0;
        if (i >= 0)
                *(bool *)out = i;
}

/* Addresses */

/* Counts one more address; the first one too many is reported. */
static bool is_too_many(struct reader *r, config_setting_t *setting, unsigned *n, unsigned max)
{
        char path[KEY_SIZE], value[VALUE_SIZE];

        if (++*n == max + 1)
                report(r, setting, "%s: %s is one too many, expected at most %u addresses",
                       key_path(setting, path), show_value(setting, value), max);
        return *n > max;
}

static void read_address(struct reader *r, const struct key *key, config_setting_t *setting,
                         struct service *service)
{
        const char *text = config_setting_get_string(setting);
        struct address address, *listen;
        const struct address *other;
        const void *owner;
        char path[KEY_SIZE], value[VALUE_SIZE], part[ADDRESS_TEXT_SIZE];
        int error;

        error = text ? address_parse(text, &address) : -EINVAL;
        if (error == -ENOMEM) {
                r->no_memory = true;
                return;
        }
        if (error < 0) {
                report_value(r, setting, key->legal);
                return;
        }
        if (is_too_many(r, setting, &r->n_listen, LISTEN_MAX))
                return;
        /* The system lets one socket have what both are. */
        other = address_index_find_overlap(r->listening, &address, &owner);
        if (other) {
                report(r, setting, "%s: %s is listened on already, by service %s%s%s",
                       key_path(setting, path), show_value(setting, value), (const char *)owner,
                       address_equal(other, &address) ? "" : " on ",
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

/* Splits "NAME:PORT"; a name is of letters, digits, dots, hyphens and underscores. */
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

static void upstream_deinit(struct upstream *upstream)
{
        free(upstream->text);
        free(upstream->host);
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
                              struct service *service)
{
        const char *text = config_setting_get_string(setting);
        struct upstream upstream, *upstreams;
        int error;

        if (is_too_many(r, setting, &r->n_upstream, UPSTREAM_MAX))
                return;
        error = text ? parse_upstream(text, &upstream) : -EINVAL;

        if (error < 0 && error != -ENOMEM) {
                report_value(r, setting, key->legal);
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

/* Reads a value, or each of a list of them. */
static void read_each(struct reader *r, const struct key *key, config_setting_t *setting,
                      void (*read)(struct reader *r, const struct key *key,
                                   config_setting_t *setting, struct service *service),
                      struct service *service)
{
        int type = config_setting_type(setting), n = config_setting_length(setting);

        if ((type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) || n == 0) {
                read(r, key, setting, service);
                return;
        }
        for (int i = 0; i < n; i++)
                read(r, key, config_setting_get_elem(setting, (unsigned)i), service);
}

static void read_listen(struct reader *r, const struct key *key, config_setting_t *setting,
                        void *out)
{
        read_each(r, key, setting, read_address, out);
}

static void read_upstream(struct reader *r, const struct key *key, config_setting_t *setting,
                          void *out)
{
        read_each(r, key, setting, read_one_upstream, out);
}

static void read_network(struct reader *r, const struct key *key, config_setting_t *setting,
                         struct service *service)
{
        const char *text = config_setting_get_string(setting);
        struct network network, *networks;

        if (!text || network_parse(text, &network) < 0) {
                report_value(r, setting, key->legal);
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

static void read_proxy_from(struct reader *r, const struct key *key, config_setting_t *setting,
                            void *out)
{
        read_each(r, key, setting, read_network, out);
}

/* Groups */

/* Levenshtein's distance, of the first SHOWN_BYTES of each. */
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

static const struct key *find_key(const struct group *group, const char *name)
{
        for (size_t i = 0; i < group->n; i++)
                if (strcmp(group->keys[i].name, name) == 0)
                        return &group->keys[i];
        return NULL;
}

/* The key that @name most likely means: at most one letter in three differs; NULL: none. */
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
        char path[KEY_SIZE];

        for (size_t i = 0; i < GROUPS; i++) {
                if (!find_key(&groups[i], name))
                        continue;
                report(r, setting, "%s: unknown key here, it is one of %s", key_path(setting, path),
                       groups[i].where);
                return;
        }
        nearest = find_nearest(group, name);
        if (nearest)
                report(r, setting, "%s: unknown key, the nearest known one is \"%s\"",
                       key_path(setting, path), nearest->name);
        else
                report(r, setting, "%s: unknown key, see selectd.conf(5) for those of %s",
                       key_path(setting, path), group->where);
}

/* Reads each setting of @setting as one of @group, into @out. */
static void read_group(struct reader *r, config_setting_t *setting, const struct group *group,
                       void *out)
{
        for (int i = 0; i < config_setting_length(setting); i++) {
                config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
                const struct key *key = find_key(group, config_setting_name(member));

                if (key)
                        key->read(r, key, member, (char *)out + key->offset);
                else
                        report_unknown(r, member, group);
        }
}

#define ADDRESS_LEGAL                                                                              \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"*:PORT\", \"unix:/PATH\" or a list of them, PORT 0 " \
        "to 65535"
#define UPSTREAM_LEGAL                                                                         \
        "\"ADDRESS:PORT\", \"[IPV6]:PORT\", \"NAME:PORT\", \"unix:/PATH\" or a list of them, " \
        "PORT 1 to 65535"
#define SHARE_LEGAL "a share from 0 to 1"
#define NETWORK_LEGAL                                                                     \
        "\"ADDRESS/BITS\" such as \"10.0.0.0/8\", no bits set behind them, \"ADDRESS\", " \
        "\"unix:\" or a list of them"
#define BYTES_LEGAL "bytes such as 1000 or \"64K\", to \"1024G\""
#define SPAN_LEGAL  "seconds or a time span such as \"200ms\" or \"1min 30s\", 0 to 365 days"

#define CONDITION(member) offsetof(struct conditions, member)

static const struct key condition_keys[] = {
        { "latency", read_usec, CONDITION(latency_usec), 0, YEAR_USEC, SPAN_LEGAL },
        { "jitter", read_usec, CONDITION(jitter_usec), 0, YEAR_USEC, SPAN_LEGAL },
        { "rate", read_bytes, CONDITION(rate), 0, BYTES_MAX, RATE_LEGAL },
        { "burst", read_bytes_or_auto, CONDITION(burst_bytes), 0, BYTES_MAX,
          BYTES_LEGAL ", or \"auto\"" },
        { "shared", read_shared, 0, 0, 0, "true or false" },
        { "slice_size", read_bytes, CONDITION(slice_bytes), 0, BYTES_MAX, BYTES_LEGAL },
        { "slice_variation", read_bytes, CONDITION(slice_variation_bytes), 0, BYTES_MAX,
          BYTES_LEGAL },
        { "slice_delay", read_usec, CONDITION(slice_delay_usec), 0, YEAR_USEC, SPAN_LEGAL },
        { "limit", read_bytes_or_never, CONDITION(limit_bytes), 0, BYTES_MAX,
          BYTES_LEGAL ", or \"never\"" },
        { "stall_after", read_stall_after, 0, 0, BYTES_MAX,
          "a time span such as \"2s\", 0 to 365 days, or bytes such as 1000 or \"64K\", to "
          "\"1024G\", or \"never\"" },
        { "stall_for", read_usec_or_forever, CONDITION(stall_for_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"forever\"" },
        { "reset_after", read_usec_or_never, CONDITION(reset_after_usec), 0, YEAR_USEC,
          SPAN_LEGAL ", or \"never\"" },
        { "close_delay", read_usec, CONDITION(close_delay_usec), 0, YEAR_USEC, SPAN_LEGAL },
        { "drop_new", read_share, CONDITION(drop_new), 0, 0, SHARE_LEGAL },
        { "probability", read_share, CONDITION(probability), 0, 0, SHARE_LEGAL },
};

/* Reports a key of a group that stands there without the other one it goes with. */
static void check_needs(struct reader *r, config_setting_t *group, const char *name,
                        const char *other)
{
        config_setting_t *key = config_setting_get_member(group, name);
        char path[KEY_SIZE];

        if (key && !config_setting_get_member(group, other))
                report(r, key, "%s: goes with %s, which is missing", key_path(key, path), other);
}

static void read_conditions(struct reader *r, const struct key *key, config_setting_t *setting,
                            void *out)
{
        struct conditions *c = out;

        if (!config_setting_is_group(setting)) {
                report_value(r, setting, key->legal);
                return;
        }
        read_group(r, setting, &groups[GROUP_CONDITIONS], c);
        check_needs(r, setting, "burst", "rate");
        check_needs(r, setting, "shared", "rate");
        check_needs(r, setting, "slice_variation", "slice_size");
        check_needs(r, setting, "stall_after", "stall_for");
        check_needs(r, setting, "stall_for", "stall_after");
        if (c->slice_bytes && c->slice_variation_bytes >= c->slice_bytes)
                report_value(r, config_setting_get_member(setting, "slice_variation"),
                             "less than slice_size");
        if (c->rate && c->burst_bytes == CONDITIONS_AUTO)
                c->burst_bytes = c->rate > 10 ? c->rate / 10 : 1;
}

static const struct key service_keys[] = {
        { "listen", read_listen, 0, 0, 0, ADDRESS_LEGAL },
        { "mode", read_mode, offsetof(struct service, mode), 0, 0,
          "\"echo\", \"relay\" or \"hub\"" },
        { "backlog", read_count, offsetof(struct service, backlog), 1, 65535,
          "a number from 1 to 65535" },
        { "send_delay", read_usec, offsetof(struct service, send_delay_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "message_size", read_bytes, offsetof(struct service, message_bytes), 1, 65536,
          "bytes from 1 to \"64K\"" },
        { "idle_timeout", read_usec, offsetof(struct service, idle_timeout_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "upstream", read_upstream, 0, 0, 0, UPSTREAM_LEGAL },
        { "connect_timeout", read_usec, offsetof(struct service, connect_timeout_usec), 1,
          YEAR_USEC, "seconds or a time span such as \"200ms\", more than 0, to 365 days" },
        { "connect_wait", read_usec, offsetof(struct service, connect_wait_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "connect_delay", read_usec, offsetof(struct service, connect_delay_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "to_client", read_conditions, offsetof(struct service, to_client), 0, 0,
          "a group { latency = …; }" },
        { "to_upstream", read_conditions, offsetof(struct service, to_upstream), 0, 0,
          "a group { latency = …; }" },
        { "hold", read_bytes, offsetof(struct service, hold_bytes), 1, (uint64_t)1 << 30,
          "bytes from 1 to \"1G\"" },
        { "send_proxy", read_count, offsetof(struct service, send_proxy), 0, 2,
          "0, or 1 or 2, the version" },
        { "quota", read_bytes, offsetof(struct service, quota_bytes), 1, (uint64_t)1 << 30,
          "bytes from 1 to \"1G\"" },
        { "proxy_protocol", read_proxy_protocol, offsetof(struct service, proxy_accept), 0, 0,
          "\"off\" or \"accept\"" },
        { "proxy_from", read_proxy_from, 0, 0, 0, NETWORK_LEGAL },
};

/* Keys that mean something in one mode only. */
static const struct {
        const char *name;
        enum service_mode mode;
        const char *text;
} mode_keys[] = {
        { "upstream", SERVICE_RELAY, "relay" },
        { "connect_timeout", SERVICE_RELAY, "relay" },
        { "connect_wait", SERVICE_RELAY, "relay" },
        { "send_proxy", SERVICE_RELAY, "relay" },
        { "connect_delay", SERVICE_RELAY, "relay" },
        { "to_upstream", SERVICE_RELAY, "relay" },
        { "quota", SERVICE_HUB, "hub" },
};

/* Mistakes of a service as a whole. */
static void check_service(struct reader *r, config_setting_t *setting,
                          const struct service *service)
{
        config_setting_t *from = config_setting_get_member(setting, "proxy_from");
        char path[KEY_SIZE];

        if (!config_setting_get_member(setting, "listen"))
                report(r, setting, "%s: listen is missing, expected " ADDRESS_LEGAL,
                       key_path(setting, path));
        if (r->skip_mode_checks)
                return;
        if (service->mode == SERVICE_RELAY && !config_setting_get_member(setting, "upstream"))
                report(r, setting, "%s: upstream is missing, expected " UPSTREAM_LEGAL,
                       key_path(setting, path));
        if (service->proxy_accept && !from)
                report(r, setting, "%s: proxy_from is missing, expected " NETWORK_LEGAL,
                       key_path(setting, path));
        if (!service->proxy_accept && from)
                report(r, from, "%s: is for proxy_protocol = \"accept\" only",
                       key_path(from, path));
        for (size_t i = 0; i < ELEMENTS(mode_keys); i++) {
                config_setting_t *key = config_setting_get_member(setting, mode_keys[i].name);

                if (key && service->mode != mode_keys[i].mode)
                        report(r, key, "%s: is for mode = \"%s\" only", key_path(key, path),
                               mode_keys[i].text);
        }
}

static void read_service(struct reader *r, config_setting_t *setting)
{
        struct service *service = &r->config->services[r->config->n_services++];

        *service = (struct service){
                .name = strdup(config_setting_name(setting)),
                .mode = SERVICE_ECHO,
                .backlog = 4096,
                .message_bytes = 1024,
                .connect_timeout_usec = 5 * USEC_PER_SEC,
                .quota_bytes = 256 * 1024,
                .to_client = conditions_none,
                .to_upstream = conditions_none,
                .hold_bytes = (uint64_t)1 << 20,
        };
        if (!service->name) {
                r->no_memory = true;
                return;
        }
        if (!config_setting_is_group(setting)) {
                report_value(r, setting, "a group { listen = …; }");
                return;
        }
        r->skip_mode_checks = false;
        read_group(r, setting, &groups[GROUP_SERVICE], service);
        check_service(r, setting, service);
}

/* Relays that lead to themselves */

/* The relay that listens where @upstream leads, as far as the file tells; NULL: none. */
static const struct service *find_relay(const struct address_index *relays,
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

/* Whether @from leads to @to. @seen: services that have been looked at, one flag each. */
static bool leads_to(const struct config *config, const struct service *from,
                     const struct service *to, bool *seen)
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

static void report_loops(struct reader *r, const struct service *service, config_setting_t *key,
                         bool *seen)
{
        char path[KEY_SIZE];

        for (size_t i = 0; i < service->n_upstreams; i++) {
                const struct upstream *upstream = &service->upstreams[i];

                memset(seen, 0, r->config->n_services);
                if (!leads_to(r->config, upstream->relay, service, seen))
                        continue;
                if (upstream->relay == service)
                        report(r, key, "%s: \"%s\" is where the service itself listens",
                               key_path(key, path), upstream->text);
                else
                        report(r, key, "%s: \"%s\" leads back here, by service %s",
                               key_path(key, path), upstream->text, upstream->relay->name);
        }
}

static void check_loops(struct reader *r, config_setting_t *services)
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

static int compare_names(const void *a, const void *b)
{
        return strcmp((*(struct service *const *)a)->name, (*(struct service *const *)b)->name);
}

/* Makes what config_find_service() searches. Return: 0; -ENOMEM. */
static int sort_names(struct config *config)
{
        config->by_name = calloc(config->n_services, sizeof(*config->by_name));
        if (!config->by_name)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++)
                config->by_name[i] = &config->services[i];
        qsort(config->by_name, config->n_services, sizeof(*config->by_name), compare_names);
        return 0;
}

static void read_services(struct reader *r, const struct key *key, config_setting_t *setting,
                          void *out)
{
        int n = config_setting_length(setting);

        (void)out;
        if (!config_setting_is_group(setting) || n == 0) {
                report_value(r, setting, key->legal);
                return;
        }
        r->config->services = calloc((size_t)n, sizeof(*r->config->services));
        if (!r->config->services) {
                r->no_memory = true;
                return;
        }
        for (int i = 0; i < n; i++)
                read_service(r, config_setting_get_elem(setting, (unsigned)i));
        if (!r->no_memory)
                check_loops(r, setting);
        if (!r->no_memory)
                r->no_memory = sort_names(r->config) < 0;
}

static const struct key top_keys[] = {
        { "log_level", read_log_level, offsetof(struct config, log_level), 0, 0,
          "\"error\", \"warning\", \"notice\", \"info\" or \"debug\"" },
        { "log_payload", read_bool, offsetof(struct config, log_payload), 0, 0, "true or false" },
        { "backend", read_backend, offsetof(struct config, backend), 0, 0,
          "\"auto\", \"epoll\", \"poll\" or \"select\"" },
        { "workers", read_workers, offsetof(struct config, workers), 1, CONFIG_WORKERS_MAX,
          "a number from 1 to 64, or \"auto\"" },
        { "max_connections", read_count, offsetof(struct config, max_connections), 0, 1000000,
          "a number from 0 to 1000000" },
        { "exit_on_idle", read_usec, offsetof(struct config, exit_on_idle_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "drain_timeout", read_usec, offsetof(struct config, drain_timeout_usec), 0, YEAR_USEC,
          SPAN_LEGAL },
        { "seed", read_seed, 0, 0, INT64_MAX,
          "a number from 0 to 9223372036854775807, or \"random\"" },
        { "services", read_services, 0, 0, 0, "a group of at least one service" },
};

static const struct group groups[GROUPS] = {
        [GROUP_TOP] = { top_keys, ELEMENTS(top_keys), "the top level" },
        [GROUP_SERVICE] = { service_keys, ELEMENTS(service_keys), "a service" },
        [GROUP_CONDITIONS] = { condition_keys, ELEMENTS(condition_keys),
                               "to_client and to_upstream" },
};

/* The file as a whole */

static void report_syntax(struct reader *r, const config_t *tree)
{
        const unsigned line = (unsigned)config_error_line(tree);
        const char *text, *file;
        char shown[ESCAPE_SIZE(SHOWN_BYTES)];
        size_t n = source_line(r->source, line, &text);
        unsigned at;

        escape_bytes(shown, text, n < SHOWN_BYTES ? n : SHOWN_BYTES);
        source_locate(r->source, line, &file, &at);
        report_at(r, file, at, "%s: \"%s\"%s", config_error_text(tree), shown,
                  n > SHOWN_BYTES ? "…" : "");
}

/* An error of syntax is reported alone: what stands behind it may be meant otherwise. */
static void read_tree(struct reader *r)
{
        config_setting_t *root;
        config_t tree;

        config_init(&tree);
        if (config_read_string(&tree, source_text(r->source)) == CONFIG_TRUE) {
                root = config_root_setting(&tree);
                read_group(r, root, &groups[GROUP_TOP], r->config);
                if (!config_setting_get_member(root, "services"))
                        report_at(r, r->config->path, 1,
                                  "services is missing, expected a group of at least one service");
        } else {
                report_syntax(r, &tree);
        }
        config_destroy(&tree);
}

static void on_source_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        tell(arg, file, line, text);
}

/* A path that means the same after a change of directory. */
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

int config_load(const char *path, config_mistake_fn *mistake, void *arg, struct config **out)
{
        _cleanup_(config_unrefp) struct config *config = calloc(1, sizeof(*config));
        _cleanup_(address_index_freep) struct address_index *listening = NULL;
        _cleanup_(source_freep) struct source *source = NULL;
        struct reader reader = { .mistake = mistake, .arg = arg, .config = config };
        int r;

        if (!config)
                return -ENOMEM;
        *config = (struct config){
                .refs = 1,
                .log_level = LOG_LEVEL_INFO,
                .backend = "auto",
                .workers = 1,
                .drain_timeout_usec = 30 * USEC_PER_SEC,
        };
        arc4random_buf(&config->seed, sizeof(config->seed));
        r = address_index_new(LISTEN_MAX, &listening);
        if (r == 0)
                r = absolute_path(path, &config->path);
        if (r == 0)
                r = source_read(config->path, on_source_mistake, &reader, &source);
        if (r < 0)
                return r;
        reader.source = source;
        reader.listening = listening;
        if (reader.n_mistakes == 0) /* the files could be read */
                read_tree(&reader);
        if (reader.no_memory)
                return -ENOMEM;
        if (reader.n_mistakes)
                return -EINVAL;
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
        return strcmp(name, (*(struct service *const *)service)->name);
}

const struct service *config_find_service(const struct config *config, const char *name)
{
        struct service *const *found = bsearch(name, config->by_name, config->n_services,
                                               sizeof(*config->by_name), compare_name);

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
                struct service *service = &config->services[i];
                const struct service *same = config_find_service(older, service->name);

                if (!same)
                        continue;
                inherit(&service->to_client, &same->to_client);
                inherit(&service->to_upstream, &same->to_upstream);
        }
}
