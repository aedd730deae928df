/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "quantity.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <sysexits.h>

#define DEFAULT_SERVER "127.0.0.1:8008"

#define COUNT_MAX         1000000000
#define INTERVAL_MAX_USEC (24 * 3600 * USEC_PER_SEC)
#define SPAN_MAX_USEC     (365 * INTERVAL_MAX_USEC)

static const char usage[] =
        "Usage: selectc [-t SPAN] [HOST:PORT | unix:PATH]\n"
        "       selectc -c N [-q] [-i SPAN] [-s BYTES] [-w SPAN] [-W SPAN] [-t SPAN]\n"
        "               [HOST:PORT | unix:PATH]\n"
        "Sends each line of standard input and prints what comes back; default " DEFAULT_SERVER
        ".\n"
        "\n"
        "  -t, --timeout SPAN    give up connecting after this time; default 10s, 0: the system's\n"
        "  -V, --version         print the version and exit\n"
        "  -h, --help            print this and exit\n"
        "\n"
        "To time round trips instead, as ping(8) does:\n"
        "  -c, --count N         send N messages; 0: until Ctrl-C\n"
        "  -p, --ping N          the same\n"
        "  -i, --interval SPAN   time between messages, such as 200ms; at least 1ms, default 1s\n"
        "  -s, --size BYTES      size of a message, 1 to 64K, default 64\n"
        "  -w, --deadline SPAN   end after this time in any case\n"
        "  -W, --wait SPAN       after the last message, wait so long for each answer;\n"
        "                        default 10s, 0: forever\n"
        "  -q, --quiet           print only the statistics\n"
        "\n"
        "Exit status: 0 fine, 1 the server went away or an answer did not come,\n"
        "64 bad command line, 71 the system refused. See selectc(1).\n";

typedef int parse_number(const char *text, uint64_t *out);

/* Reads a number without a unit. */
static int parse_count(const char *text, uint64_t *out)
{
        char *end;

        if (!isdigit((unsigned char)text[0]))
                return -EINVAL;
        errno = 0;
        *out = strtoull(text, &end, 10);
        return *end || errno ? -EINVAL : 0;
}

struct number {
        int option;
        bool ping_only; /* legal only together with --count */
        const char *name;
        parse_number *parse;
        uint64_t min, max;
        size_t member; /* of struct options, a uint64_t */
        const char *legal;
};

#define MEMBER(m) offsetof(struct options, m)

static const struct number numbers[] = {
        { 'c', false, "--count", parse_count, 0, COUNT_MAX, MEMBER(ping.count),
          "a number from 0 to 1000000000" },
        { 'p', false, "--ping", parse_count, 0, COUNT_MAX, MEMBER(ping.count),
          "a number from 0 to 1000000000" },
        { 'i', true, "--interval", quantity_parse_usec, USEC_PER_MSEC, INTERVAL_MAX_USEC,
          MEMBER(ping.interval_usec), "a time span from 1ms to 24h" },
        { 's', true, "--size", quantity_parse_bytes, 1, PROBE_SIZE_MAX, MEMBER(ping.size_bytes),
          "bytes from 1 to 64K" },
        { 'w', true, "--deadline", quantity_parse_usec, 0, SPAN_MAX_USEC,
          MEMBER(ping.deadline_usec), "a time span from 0 to 365d" },
        { 'W', true, "--wait", quantity_parse_usec, 0, SPAN_MAX_USEC, MEMBER(ping.wait_usec),
          "a time span from 0 to 365d" },
        { 't', false, "--timeout", quantity_parse_usec, 0, SPAN_MAX_USEC, MEMBER(timeout_usec),
          "a time span from 0 to 365d" },
};

static int bad_usage(void)
{
        (void)fputs("Try 'selectc --help'.\n", stderr);
        return EX_USAGE;
}

static const struct number *find_number(int option)
{
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                if (numbers[i].option == option)
                        return &numbers[i];
        return NULL;
}

/* Return: whether @text is a number in the range; if not, an error has been printed. */
static bool take_number(const struct number *number, const char *text, struct options *options)
{
        uint64_t value;

        if (number->parse(text, &value) < 0 || value < number->min || value > number->max) {
                (void)fprintf(stderr, "selectc: %s: '%s' is not legal, expected %s\n", number->name,
                              text, number->legal);
                return false;
        }
        *(uint64_t *)(void *)((char *)options + number->member) = value;
        return true;
}

/*
 * @ping_only: set to the option's name if it is legal only together with --count
 *
 * Return: whether to go on; if not, @status is set.
 */
static bool take_option(int option, struct options *options, const char **ping_only, int *status)
{
        const struct number *number = find_number(option);

        if (number) {
                if (number->ping_only)
                        *ping_only = number->name;
                options->pings |= option == 'c' || option == 'p';
                *status = EX_USAGE;
                return take_number(number, optarg, options);
        }
        *status = EX_OK;
        switch (option) {
        case 'q':
                options->ping.quiet = true;
                *ping_only = "--quiet";
                return true;
        case 'V':
                (void)puts("selectc " SELECTD_VERSION);
                return false;
        case 'h':
                (void)fputs(usage, stdout);
                return false;
        default:
                *status = bad_usage();
                return false;
        }
}

static bool take_arguments(int argc, char **argv, struct options *options)
{
        if (optind < argc)
                options->server = argv[optind++];
        if (optind == argc)
                return true;
        (void)fprintf(stderr, "selectc: unexpected argument '%s'\n", argv[optind]);
        return false;
}

bool options_parse(int argc, char **argv, struct options *out, int *status)
{
        static const struct option options[] = {
                { "count", required_argument, NULL, 'c' },
                { "ping", required_argument, NULL, 'p' },
                { "interval", required_argument, NULL, 'i' },
                { "size", required_argument, NULL, 's' },
                { "deadline", required_argument, NULL, 'w' },
                { "wait", required_argument, NULL, 'W' },
                { "timeout", required_argument, NULL, 't' },
                { "quiet", no_argument, NULL, 'q' },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        struct options result = {
                .server = DEFAULT_SERVER,
                .timeout_usec = 10 * USEC_PER_SEC,
                .ping = { .interval_usec = USEC_PER_SEC,
                          .size_bytes = 64,
                          .wait_usec = 10 * USEC_PER_SEC },
        };
        const char *ping_only = NULL;
        int option;

        while ((option = getopt_long(argc, argv, "c:p:i:s:w:W:t:qVh", options, NULL)) >= 0)
                if (!take_option(option, &result, &ping_only, status))
                        return false;
        if (ping_only && !result.pings)
                (void)fprintf(stderr, "selectc: %s needs --count\n", ping_only);
        else if (take_arguments(argc, argv, &result)) {
                *out = result;
                return true;
        }
        *status = bad_usage();
        return false;
}
