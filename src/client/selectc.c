/* SPDX-License-Identifier: MIT */
/* selectc, the client: connect, run, exit status. */
#include "dial.h"
#include "lines.h"
#include "options.h"
#include "ping.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

static int exit_status_of(int error)
{
        switch (error) {
        case -EINVAL:
                return EX_USAGE;
        case -ENOMEM:
        case -EMFILE:
        case -ENFILE:
        case -ENOBUFS:
                return EX_OSERR;
        default:
                return EXIT_FAILURE;
        }
}

/* Prints why there is no connection. Return: the exit status. */
static int cannot_connect(const char *server, const char *why, int error)
{
        (void)fprintf(stderr, "selectc: cannot connect to %s: %s\n", server, why);
        return exit_status_of(error);
}

static const char *why_not_found(int error)
{
        switch (error) {
        case -EINVAL:
                return "not an address, expected HOST:PORT or unix:PATH";
        case -ENOENT:
                return "no such host";
        case -EAGAIN:
                return "the host cannot be looked up for now";
        case -ETIMEDOUT:
                return "looking the host up timed out";
        default:
                return strerrordesc_np(-error);
        }
}

/* Return: whether there is a connection: @fd to @address; if not, @status is set. */
static bool connect_to(const struct options *options, int *fd, struct address *address, int *status)
{
        struct address addresses[DIAL_ADDRESSES_MAX];
        uint64_t deadline =
                options->timeout_usec ? now_usec() + options->timeout_usec : DIAL_NO_DEADLINE;
        size_t n;
        int r;

        r = dial_look_up(options->server, deadline, addresses, &n);
        if (r < 0) {
                *status = cannot_connect(options->server, why_not_found(r), r);
                return false;
        }
        r = dial(addresses, n, deadline, fd, address);
        if (r < 0) {
                *status = cannot_connect(options->server, strerrordesc_np(-r), r);
                return false;
        }
        return true;
}

/*
 * The source of answers in ping's output: "NAME (ADDRESS)", or the server as the user gave it if no
 * name was looked up.
 *
 * Return: a string for the caller to free; NULL: out of memory.
 */
static char *describe(const char *server, const struct address *address)
{
        char text[ADDRESS_TEXT_SIZE], *description;
        struct address same;
        int name_length = (int)(strrchr(server, ':') - server);

        if (address->sa.sa_family == AF_UNIX || address_parse(server, &same) == 0)
                return strdup(server);
        if (asprintf(&description, "%.*s (%s)", name_length, server,
                     address_format(address, text)) < 0)
                return NULL;
        return description;
}

static int run(const struct client *client, const struct options *options,
               const struct address *address)
{
        _cleanup_(freep) char *source = describe(options->server, address);
        const struct ping_server server = { .name = options->server, .source = source };

        if (!source)
                return EX_OSERR;
        return options->pings ? ping_run(client, &server, &options->ping) : lines_run(client);
}

/* Writes the queued output. Return: the exit status. */
static int finish(const struct client *client, int status)
{
        int r = output_finish(client->out);

        if (status == EX_OSERR)
                output_printf(client->err, "selectc: out of memory\n");
        if (r < 0) {
                output_printf(client->err, "selectc: cannot write output: %s\n",
                              strerrordesc_np(-r));
                status = EXIT_FAILURE;
        }
        (void)!output_finish(client->err); /* a failure could not be printed anywhere */
        return status;
}

static int run_connected(const struct options *options, int fd, const struct address *address)
{
        struct client client = { .fd = fd };
        int status = EX_OSERR;
        int r = loop_new("poll", &client.loop);

        if (r == 0)
                r = output_new(client.loop, STDOUT_FILENO, &client.out);
        if (r == 0)
                r = output_new(client.loop, STDERR_FILENO, &client.err);
        if (r == 0)
                status = finish(&client, run(&client, options, address));
        else
                (void)fprintf(stderr, "selectc: cannot start: %s\n", strerrordesc_np(-r));
        output_free(client.out);
        output_free(client.err);
        loop_free(client.loop);
        return status;
}

int main(int argc, char **argv)
{
        struct options options;
        struct address address;
        int status, fd;

        open_standard_fds();
        (void)setlocale(LC_CTYPE, ""); /* for escape_for_terminal() */
        if (!options_parse(argc, argv, &options, &status))
                return status;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return EX_OSERR;
        if (!connect_to(&options, &fd, &address, &status))
                return status;
        status = run_connected(&options, fd, &address);
        (void)close(fd);
        libevent_global_shutdown();
        return status;
}
