/* SPDX-License-Identifier: MIT */
/*
 * A family is a metric with all its rows. Each family has the same rows for each of its subjects.
 *
 * The labels of a row are in alphabetical order, as in toxiproxy: the one that belongs to the
 * family comes first.
 */
#include "metrics.h"
#include "endpoint.h"
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The kinds of subjects. */
enum scope {
        SCOPE_PROCESS,
        SCOPE_SERVICE,
        SCOPE_PROXY,
        SCOPES,
};

/* What rows are about. */
struct subject {
        char *labels;                 /* "service=\"echo\""; NULL: none */
        struct control_totals totals; /* of the process */
        struct counters counters;     /* of a service or a proxy */
};

struct family {
        const char *name, *type, *help;
        enum scope scope;
        const char *label; /* tells the rows of a subject apart; NULL: there is one row */
        size_t n_rows;
        const char *(*value)(size_t row); /* of @label */
        uint64_t (*read)(const struct subject *subject, size_t row);
};

/* Values of labels */

static const char *version(size_t row)
{
        (void)row;
        return SELECTD_VERSION;
}

static const char *result(size_t row)
{
        return row == 0 ? "success" : "failure";
}

static const char *source(size_t row)
{
        return row == 0 ? "from_client" : "from_upstream";
}

static const char *destination(size_t row)
{
        return row == 0 ? "to_client" : "to_upstream";
}

static const char *stream(size_t row)
{
        return row == 0 ? "upstream" : "downstream";
}

static const char *turned_away(size_t row)
{
        return turned_away_name((enum turned_away)row);
}

static const char *reason(size_t row)
{
        return reason_name((enum reason)row);
}

/* Values of rows */

static uint64_t read_one(const struct subject *subject, size_t row)
{
        (void)subject;
        (void)row;
        return 1;
}

static uint64_t read_reloads(const struct subject *subject, size_t row)
{
        return row == 0 ? subject->totals.reloads : subject->totals.failed_reloads;
}

static uint64_t read_lost_records(const struct subject *subject, size_t row)
{
        (void)row;
        return subject->totals.lost_records;
}

static uint64_t read_open(const struct subject *subject, size_t row)
{
        (void)row;
        return counters_open(&subject->counters);
}

static uint64_t read_accepted(const struct subject *subject, size_t row)
{
        (void)row;
        return subject->counters.accepted;
}

static uint64_t read_turned_away(const struct subject *subject, size_t row)
{
        return subject->counters.turned_away[row];
}

static uint64_t read_closed(const struct subject *subject, size_t row)
{
        return subject->counters.closed[row];
}

static uint64_t read_faults(const struct subject *subject, size_t row)
{
        return subject->counters.faults[row];
}

static uint64_t read_failed_dials(const struct subject *subject, size_t row)
{
        (void)row;
        return subject->counters.failed_dials;
}

/* The first row is about clients, and the second about upstreams. */
static const struct stream_bytes *bytes_of(const struct subject *subject, size_t row)
{
        return row == 0 ? &subject->counters.client : &subject->counters.upstream;
}

static uint64_t read_received(const struct subject *subject, size_t row)
{
        return bytes_of(subject, row)->received;
}

static uint64_t read_sent(const struct subject *subject, size_t row)
{
        return bytes_of(subject, row)->sent;
}

static uint64_t read_held(const struct subject *subject, size_t row)
{
        return bytes_of(subject, row)->held;
}

/* What is received from clients goes upstream, and what is sent to upstreams as well. */
static uint64_t read_stream_sent(const struct subject *subject, size_t row)
{
        return bytes_of(subject, row == 0)->sent;
}

static const struct family families[] = {
        { "selectd_build_info", "gauge", "The version of selectd. The value is 1.", SCOPE_PROCESS,
          "version", 1, version, read_one },
        { "selectd_reloads_total", "counter", "Reloads of the configuration file.", SCOPE_PROCESS,
          "result", 2, result, read_reloads },
        { "selectd_log_records_lost_total", "counter",
          "Log records that were lost because they could not be written.", SCOPE_PROCESS, NULL, 1,
          NULL, read_lost_records },
        { "selectd_connections_open", "gauge", "Connections of clients that are open.",
          SCOPE_SERVICE, NULL, 1, NULL, read_open },
        { "selectd_connections_accepted_total", "counter",
          "Connections of clients that were accepted.", SCOPE_SERVICE, NULL, 1, NULL,
          read_accepted },
        { "selectd_connections_turned_away_total", "counter",
          "Clients that were turned away before their connection began.", SCOPE_SERVICE, "reason",
          TURNED_AWAY_KINDS, turned_away, read_turned_away },
        { "selectd_connections_closed_total", "counter", "Connections of clients that have ended.",
          SCOPE_SERVICE, "reason", REASONS, reason, read_closed },
        { "selectd_received_bytes_total", "counter", "Bytes that were received.", SCOPE_SERVICE,
          "direction", 2, source, read_received },
        { "selectd_sent_bytes_total", "counter", "Bytes that the sockets of peers have taken.",
          SCOPE_SERVICE, "direction", 2, destination, read_sent },
        { "selectd_held_bytes", "gauge",
          "Bytes that were received and are not sent yet, with their book-keeping.", SCOPE_SERVICE,
          "direction", 2, destination, read_held },
        { "selectd_faults_total", "counter",
          "Faults that were played, once for each connection and direction.", SCOPE_SERVICE, "kind",
          FAULT_KINDS, conditions_fault_name, read_faults },
        { "selectd_upstream_dials_failed_total", "counter",
          "Attempts to connect to an address of an upstream that have failed.", SCOPE_SERVICE, NULL,
          1, NULL, read_failed_dials },
        { "toxiproxy_proxy_received_bytes_total", "counter",
          "Bytes that a proxy has received, by the stream that they belong to.", SCOPE_PROXY,
          "direction", 2, stream, read_received },
        { "toxiproxy_proxy_sent_bytes_total", "counter",
          "Bytes that a proxy has sent, by the stream that they belong to.", SCOPE_PROXY,
          "direction", 2, stream, read_stream_sent },
};

/* Subjects */

struct subjects {
        struct subject *all;
        size_t n;
};

/* Writes to a text of open_memstream(), which only this thread uses. end_text() finds failures. */
static void put(FILE *out, const char *words)
{
        (void)fputs_unlocked(words, out);
}

/* Ends a text of open_memstream(). @out: set to it. Return: 0; -ENOMEM: it has been freed. */
static int end_text(FILE *file, char **text, char **out)
{
        bool failed = ferror(file) != 0;

        if (fclose(file) != 0 || failed) {
                free(*text);
                return -ENOMEM;
        }
        *out = *text;
        return 0;
}

struct label {
        const char *name, *value;
};

/* Writes NAME="VALUE", with the characters escaped that the format reserves. */
static void write_label(FILE *out, const struct label *label)
{
        const char *value = label->value;
        size_t n = strcspn(value, "\\\"\n");

        put(out, label->name);
        put(out, "=\"");
        for (; value[n]; n = strcspn(value, "\\\"\n")) {
                (void)fwrite_unlocked(value, 1, n, out);
                put(out, value[n] == '\n' ? "\\n" : value[n] == '"' ? "\\\"" : "\\\\");
                value += n + 1;
        }
        put(out, value);
        put(out, "\"");
}

/* Sets the labels that all rows of a subject have. Return: 0; -ENOMEM. */
static int set_labels(struct subject *subject, const struct label *labels, size_t n)
{
        size_t length;
        char *text;
        FILE *out = open_memstream(&text, &length);

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        put(out, ",");
                write_label(out, &labels[i]);
        }
        return end_text(out, &text, &subject->labels);
}

static void subjects_deinit(struct subjects *subjects)
{
        for (size_t i = 0; i < subjects->n; i++)
                free(subjects->all[i].labels);
        free(subjects->all);
}

/* Makes @n subjects, all zero. Return: 0; -ENOMEM. */
static int subjects_init(struct subjects *subjects, size_t n)
{
        subjects->all = calloc(n ? n : 1, sizeof(*subjects->all));
        if (!subjects->all)
                return -ENOMEM;
        subjects->n = n;
        return 0;
}

static int find_process(const struct control *control, struct subjects *process)
{
        int r = subjects_init(process, 1);

        if (r == 0)
                control->target->count(control->target_arg, &process->all[0].totals);
        return r;
}

static int find_services(struct service *const *all, size_t n, struct subjects *services)
{
        int r = subjects_init(services, n);

        for (size_t i = 0; i < n && r == 0; i++) {
                const struct label label = { "service", service_name(all[i]) };

                service_count(all[i], &services->all[i].counters);
                r = set_labels(&services->all[i], &label, 1);
        }
        return r;
}

static int compare_name(const void *name, const void *service)
{
        return strcmp(name, service_name(*(struct service *const *)service));
}

/* Sets a proxy's counters, which are those of its service, and its labels. */
static int describe_proxy(const struct control *control, struct managed *managed,
                          const struct service *service, struct subject *proxy)
{
        const struct address listen = control_listen_address(control, managed);
        char text[ADDRESS_TEXT_SIZE];
        const struct label labels[] = {
                { "listener", endpoint_format_listen(&listen, text) },
                { "proxy", managed->name },
                { "upstream", managed_upstream(managed) },
        };

        service_count(service, &proxy->counters);
        return set_labels(proxy, labels, ELEMENTS(labels));
}

/* Finds the proxies, whose services are among @all. */
static int find_proxies(const struct control *control, struct service *const *all, size_t n,
                        struct subjects *proxies)
{
        struct view_list list = { 0 };
        int r = view_list(control, &list);

        if (r == 0)
                r = subjects_init(proxies, list.n);
        for (size_t i = 0; i < list.n && r == 0; i++) {
                struct service *const *service = bsearch(list.all[i]->service->name, all, n,
                                                         sizeof(struct service *), compare_name);

                r = describe_proxy(control, list.all[i], *service, &proxies->all[i]);
        }
        view_free_list(&list);
        return r;
}

/* Writing */

static void write_row(FILE *out, const struct family *family, const struct subject *subject,
                      size_t row)
{
        const char *labels = subject->labels;

        put(out, family->name);
        if (family->label || labels) {
                put(out, "{");
                if (family->label)
                        write_label(out, &(struct label){ family->label, family->value(row) });
                if (family->label && labels)
                        put(out, ",");
                put(out, labels ? labels : "");
                put(out, "}");
        }
        (void)fprintf(out, " %" PRIu64 "\n", family->read(subject, row));
}

static void write_family(FILE *out, const struct family *family, const struct subjects *subjects)
{
        if (subjects->n == 0)
                return;
        (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                      family->type);
        for (size_t i = 0; i < subjects->n; i++)
                for (size_t row = 0; row < family->n_rows; row++)
                        write_row(out, family, &subjects->all[i], row);
}

static int write_all(const struct subjects subjects[SCOPES], char **out, size_t *n)
{
        size_t length;
        char *text;
        FILE *file = open_memstream(&text, &length);
        int r;

        if (!file)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(families); i++)
                write_family(file, &families[i], &subjects[families[i].scope]);
        r = end_text(file, &text, out);
        if (r == 0)
                *n = length;
        return r;
}

int metrics_write(const struct control *control, char **out, size_t *n)
{
        size_t n_services;
        struct service *const *services =
                control->target->services(control->target_arg, &n_services);
        struct subjects subjects[SCOPES] = { 0 };
        int r = find_process(control, &subjects[SCOPE_PROCESS]);

        if (r == 0)
                r = find_services(services, n_services, &subjects[SCOPE_SERVICE]);
        if (r == 0)
                r = find_proxies(control, services, n_services, &subjects[SCOPE_PROXY]);
        if (r == 0)
                r = write_all(subjects, out, n);
        for (size_t i = 0; i < SCOPES; i++)
                subjects_deinit(&subjects[i]);
        return r;
}
