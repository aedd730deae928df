/* selectc, the client: arguments, connect, run, exit status. */
#include "dial.h"
#include "lines.h"
#include "ping.h"
#include "quantity.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_SERVER "127.0.0.1:8008"

/* More addresses of a name than these are not tried. */
#define ADDRESSES_MAX 16

#define PING_COUNT_MAX      1000000000
#define PING_INTERVAL_LEAST USEC_PER_MSEC
#define PING_INTERVAL_MOST  (24 * 3600 * USEC_PER_SEC)

static const char usage[] =
        "Usage: selectc [HOST:PORT | unix:PATH]\n"
        "       selectc --ping N [--interval SPAN] [--size BYTES] [HOST:PORT | unix:PATH]\n"
        "Sends each line of standard input and prints what comes back; default " DEFAULT_SERVER
        ".\n"
        "\n"
        "  -p, --ping N          time N round trips instead\n"
        "  -i, --interval SPAN   between two messages, such as 200ms; at least 1ms, default 1s\n"
        "  -s, --size BYTES      of a message, 1 to 64K, default 64\n"
        "  -V, --version         print the version and exit\n"
        "  -h, --help            print this and exit\n"
        "\n"
        "Exit status: 0 fine, 1 the server went away, 64 bad command line, 71 the system refused.\n"
        "See selectc(1).\n";

/* A number without a unit. */
static int parse_count(const char *text, uint64_t *out)
{
        char *end;

        if (!isdigit((unsigned char)text[0]))
                return -EINVAL;
        errno = 0;
        *out = strtoull(text, &end, 10);
        return *end || errno ? -EINVAL : 0;
}

/* Return: 0, or -EINVAL when @text is no number in the range. */
static int parse_number(const char *text, uint64_t min, uint64_t max,
                        int (*parse)(const char *, uint64_t *), uint64_t *out)
{
        uint64_t value;

        if (parse(text, &value) < 0 || value < min || value > max)
                return -EINVAL;
        *out = value;
        return 0;
}

static int bad_option(const char *option, const char *value, const char *legal)
{
        (void)fprintf(stderr, "selectc: %s: '%s' is not legal, expected %s\n", option, value,
                      legal);
        return EX_USAGE;
}

static int parse_option(int c, struct ping_options *ping)
{
        switch (c) {
        case 'p':
                if (parse_number(optarg, 1, PING_COUNT_MAX, parse_count, &ping->count) < 0)
                        return bad_option("--ping", optarg, "a number from 1 to 1000000000");
                return -1;
        case 'i':
                if (parse_number(optarg, PING_INTERVAL_LEAST, PING_INTERVAL_MOST,
                                 quantity_parse_usec, &ping->interval_usec) < 0)
                        return bad_option("--interval", optarg, "a time span from 1ms to 24h");
                return -1;
        case 's':
                if (parse_number(optarg, 1, PING_SIZE_MAX, quantity_parse_bytes, &ping->size) < 0)
                        return bad_option("--size", optarg, "bytes from 1 to 64K");
                return -1;
        case 'V':
                (void)puts("selectc " SELECTD_VERSION);
                return EX_OK;
        case 'h':
                (void)fputs(usage, stdout);
                return EX_OK;
        default:
                (void)fputs("Try 'selectc --help'.\n", stderr);
                return EX_USAGE;
        }
}

/* Return: -1 to go on, or the exit status. */
static int parse_arguments(int argc, char **argv, struct ping_options *ping)
{
        static const struct option options[] = {
                { "ping", required_argument, NULL, 'p' },
                { "interval", required_argument, NULL, 'i' },
                { "size", required_argument, NULL, 's' },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        const char *of_ping = NULL;
        int c, status;

        while ((c = getopt_long(argc, argv, "p:i:s:Vh", options, NULL)) >= 0) {
                status = parse_option(c, ping);
                if (status >= 0)
                        return status;
                if (c != 'p')
                        of_ping = c == 'i' ? "--interval" : "--size";
        }
        if (of_ping && !ping->count) {
                (void)fprintf(stderr, "selectc: %s goes with --ping\nTry 'selectc --help'.\n",
                              of_ping);
                return EX_USAGE;
        }
        if (optind < argc)
                ping->name = argv[optind++];
        if (optind < argc) {
                (void)fprintf(stderr, "selectc: unexpected argument '%s'\nTry 'selectc --help'.\n",
                              argv[optind]);
                return EX_USAGE;
        }
        return -1;
}

/* A loop that takes any descriptor, for input may be a file, and tells time well. */
static struct event_base *make_base(void)
{
        struct event_config *config = event_config_new();
        struct event_base *base = NULL;

        if (config && event_config_require_features(config, EV_FEATURE_FDS) == 0 &&
            event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
                base = event_base_new_with_config(config);
        if (config)
                event_config_free(config);
        return base;
}

/* Return: how many addresses were found; 0: none, and that has been said. @status: then set. */
static int resolve(const char *name, struct address *addresses, int *status)
{
        int n = address_resolve(name, addresses, ADDRESSES_MAX);

        if (n > 0)
                return n;
        *status = n == -EINVAL ? EX_USAGE : EXIT_FAILURE;
        (void)fprintf(stderr, "selectc: cannot connect to %s: %s\n", name,
                      n == -EINVAL   ? "not an address, expected HOST:PORT or unix:PATH"
                      : n == -ENOENT ? "no such host"
                      : n == -EAGAIN ? "the host cannot be looked up for now"
                                     : strerrordesc_np(-n));
        return 0;
}

int main(int argc, char **argv)
{
        struct ping_options ping = {
                .name = DEFAULT_SERVER,
                .interval_usec = USEC_PER_SEC,
                .size = 64,
        };
        struct address addresses[ADDRESSES_MAX];
        struct event_base *base;
        int status, fd, n, r;

        open_standard_fds();
        status = parse_arguments(argc, argv, &ping);
        if (status >= 0)
                return status;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return EX_OSERR;
        n = resolve(ping.name, addresses, &status);
        if (n == 0)
                return status;
        r = dial(addresses, n, &fd);
        if (r < 0) {
                (void)fprintf(stderr, "selectc: cannot connect to %s: %s\n", ping.name,
                              strerrordesc_np(-r));
                return EXIT_FAILURE;
        }
        base = make_base();
        if (!base) {
                (void)close(fd);
                return EX_OSERR;
        }
        status = ping.count ? ping_run(base, fd, &ping) : lines_run(base, fd);
        event_base_free(base);
        libevent_global_shutdown();
        return status;
}
