/* SPDX-License-Identifier: MIT */
/* selectd: arguments, --check, and the exit status. */
#include "endpoint.h"
#include "escape.h"
#include "log.h"
#include "mistake.h"
#include "server.h"
#include "signals.h"
#include "source.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include <event2/event.h>

static const char usage[] =
        "Usage: selectd [-c FILE] [-t] [--control ADDRESS]… [--populate FILE]\n"
        "TCP echo and relay daemon; runs in the foreground.\n"
        "\n"
        "  -c, --config FILE   read FILE instead of " DEFAULT_CONFIG "\n"
        "      --control ADDRESS\n"
        "                      let programs change services at this address; without -c no\n"
        "                      configuration file is read\n"
        "      --populate FILE make the proxies of this JSON file\n"
        "  -t, --check         read the configuration, report its mistakes, and exit\n"
        "  -V, --version       print the version and exit\n"
        "  -h, --help          print this and exit\n"
        "\n"
        "Exit status: 0 fine, 64 bad command line, 71 the system refused, 78 bad configuration.\n"
        "See selectd(8) and selectd.conf(5).\n";

struct arguments {
        const char *config; /* NULL: not given */
        struct server_options server;
        bool check;
};

enum { OPTION_CONTROL = 256, OPTION_POPULATE };

/* Return: whether it is an address, and not one too many. */
static bool add_control(struct server_options *options, const char *text)
{
        if (options->n_control < CONFIG_CONTROL_MAX &&
            endpoint_parse_listen(text, &options->control[options->n_control]) == 0) {
                options->n_control++;
                return true;
        }
        (void)fprintf(stderr,
                      "selectd: --control '%s': expected \"ADDRESS:PORT\", \"localhost:PORT\" or "
                      "\"unix:/PATH\", at most %d times\nTry 'selectd --help'.\n",
                      text, CONFIG_CONTROL_MAX);
        return false;
}

/* Return: -1 to go on, or the exit status. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "control", required_argument, NULL, OPTION_CONTROL },
                { "populate", required_argument, NULL, OPTION_POPULATE },
                { "check", no_argument, NULL, 't' },
                { "version", no_argument, NULL, 'V' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:tVh", options, NULL)) >= 0) {
                switch (c) {
                case 'c':
                        arguments->config = optarg;
                        break;
                case OPTION_CONTROL:
                        if (!add_control(&arguments->server, optarg))
                                return EX_USAGE;
                        break;
                case OPTION_POPULATE:
                        arguments->server.populate = optarg;
                        break;
                case 't':
                        arguments->check = true;
                        break;
                case 'V':
                        (void)puts("selectd " SELECTD_VERSION);
                        return EX_OK;
                case 'h':
                        (void)fputs(usage, stdout);
                        return EX_OK;
                default:
                        (void)fputs("Try 'selectd --help'.\n", stderr);
                        return EX_USAGE;
                }
        }
        if (optind < argc) {
                (void)fprintf(stderr, "selectd: unexpected argument '%s'\nTry 'selectd --help'.\n",
                              argv[optind]);
                return EX_USAGE;
        }
        return -1;
}

static void on_library_message(int severity, const char *message)
{
        int error = errno; /* libevent's caller may read it afterwards */

        if (severity >= EVENT_LOG_WARN)
                log_write(LOG_LIBRARY, NULL, "libevent: %s", message);
        errno = error;
}

/* Checking */

static void on_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        (void)arg; /* load() has logged it */
        (void)file;
        (void)line;
        (void)text;
}

static void report_private(const struct source_file *file)
{
        const struct passwd *user = getpwuid(file->owner);
        char path[ESCAPE_PATH_SIZE], owner[32];
        const struct log_about about = { .config_file = path, .config_line = 1 };

        escape_path(file->path, path);
        if (user)
                (void)snprintf(owner, sizeof(owner), "%s", user->pw_name);
        else
                (void)snprintf(owner, sizeof(owner), "%u", file->owner);
        log_write(LOG_CONFIG_PRIVATE, &about,
                  "%s:1: the user of the service can't read this file: its owner is %s, its mode "
                  "%04o; run chmod o+r %s, or set User= in the unit",
                  path, owner, file->mode & ALLPERMS, path);
}

/*
 * Checks that the user of the service can read the files. Only root needs this check: root can read
 * every file. It is skipped under ExecReload=, for which systemd sets MAINPID (systemd.exec(5)) and
 * which runs as that user already.
 *
 * Return: the exit status. For the default file a wrong mode is an error. Any other file may be a
 * draft, whose mode changes when it is installed.
 */
static int check_modes(const char *path)
{
        _cleanup_(source_freep) struct source *source = NULL;
        const struct source_file *files;
        size_t n, n_private = 0;

        if (geteuid() != 0 || getenv("MAINPID"))
                return EX_OK;
        if (source_read(path, on_mistake, NULL, &source) < 0)
                return EX_OSERR;
        files = source_files(source, &n);
        for (size_t i = 0; i < n; i++) {
                if (files[i].mode & S_IROTH)
                        continue;
                report_private(&files[i]);
                n_private++;
        }
        return n_private && strcmp(path, DEFAULT_CONFIG) == 0 ? EX_CONFIG : EX_OK;
}

/* Makes the configuration of a server for tests, without a file. */
static int make_default(struct config **out)
{
        int r = config_new(out);

        if (r < 0)
                log_write(LOG_START_FAILED, NULL, "%s", strerrordesc_np(-r));
        return r;
}

/* Reads a configuration and logs its mistakes. Return: as config_load(). */
static int load(const char *path, struct config **out)
{
        int r = config_load(path, mistake_log, NULL, out);
        char shown[ESCAPE_PATH_SIZE];

        if (r < 0 && r != -EINVAL)
                log_write(LOG_CONFIG_INVALID, NULL, "%s: %s", escape_path(path, shown),
                          strerrordesc_np(-r));
        return r;
}

/* Gets the configuration: of a file, or without one. Return: as config_load(). */
static int get_config(const struct arguments *arguments, struct config **out)
{
        bool without_file = !arguments->config && !arguments->check &&
                            (arguments->server.n_control || arguments->server.populate);

        if (without_file)
                return make_default(out);
        return load(arguments->config ? arguments->config : DEFAULT_CONFIG, out);
}

/*
 * SIGPIPE and SIGXFSZ come with an error of write(2) or send(2), which the caller handles. SIGTTOU
 * would stop a background process that logs to a terminal (stty tostop). SIGUSR1 and SIGUSR2 have a
 * meaning for other daemons, such as "open the log again", and would end this one.
 */
static void ignore_signals(void)
{
        static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGTTOU, SIGUSR1, SIGUSR2 };

        for (size_t i = 0; i < ELEMENTS(ignored); i++)
                (void)signal(ignored[i], SIG_IGN);
}

int main(int argc, char **argv)
{
        struct arguments arguments = { 0 };
        struct config *config;
        sigset_t before;
        int status, r;

        /* This comes first, so that a stop during the start takes effect in order after it. */
        signals_hold(&before);
        ignore_signals();
        (void)signal(SIGCHLD, SIG_DFL); /* if it were ignored, waitpid(2) would fail */
        open_standard_fds();
        status = parse_arguments(argc, argv, &arguments);
        if (status >= 0)
                return status;
        if (arguments.check)
                (void)sigprocmask(SIG_SETMASK, &before, NULL);
        log_init();
        event_set_log_callback(on_library_message);
        r = get_config(&arguments, &config);
        if (r < 0)
                return r == -EINVAL ? EX_CONFIG : EX_OSERR;
        status =
                arguments.check ? check_modes(config->path) : server_run(config, &arguments.server);
        config_unref(config);
        libevent_global_shutdown();
        log_flush();
        return status;
}
