/* SPDX-License-Identifier: MIT */
/*
 * Input is read only while few bytes wait to be sent, and the server is read only while few bytes
 * wait to be printed. So neither direction blocks the other, and a file of any size passes through.
 */
#include "lines.h"
#include "channel.h"
#include "escape.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sysexits.h>

/* Input is not read while more than this is unsent. */
#define UNSENT_BYTES ((size_t)256 * 1024)

/* A longer line is printed in parts, before its end has arrived. */
#define LINE_BYTES ((size_t)64 * 1024)

/* Printed in front of each line. */
#define PREFIX "RECEIVE: "

struct lines {
        const struct client *client;
        struct channel *server;
        struct event *input;
        struct evbuffer *received; /* an incomplete line */
        bool input_ended;
        bool on_terminal; /* standard output is a terminal */
        bool in_line;     /* a part of a line has been printed, but not its end */
        bool done;
        int status;
};

static void finish(struct lines *lines, int status)
{
        lines->status = status;
        lines->done = true;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
        static char buffer[LINE_BYTES];
        struct lines *lines = arg;
        ssize_t n = read(fd, buffer, sizeof(buffer));

        (void)what;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                output_printf(lines->client->err, "selectc: cannot read input: %s\n",
                              strerrordesc_np(errno));
                lines->status = EXIT_FAILURE;
        }
        if (n <= 0) {
                (void)event_del(lines->input);
                lines->input_ended = true;
                channel_end(lines->server);
                return;
        }
        if (channel_send(lines->server, buffer, (size_t)n) < 0)
                finish(lines, EX_OSERR);
        else if (channel_unsent_bytes(lines->server) > UNSENT_BYTES)
                (void)event_del(lines->input);
}

static void on_sent(void *arg)
{
        struct lines *lines = arg;

        if (!lines->input_ended && channel_unsent_bytes(lines->server) <= UNSENT_BYTES &&
            event_add(lines->input, NULL) < 0)
                finish(lines, EX_OSERR);
}

static void print_text(struct lines *lines, const char *text, size_t n)
{
        _cleanup_(freep) char *escaped = NULL;

        if (!lines->on_terminal) {
                output_write(lines->client->out, text, n);
                return;
        }
        escaped = malloc(ESCAPE_SIZE(n));
        if (escaped)
                output_write(lines->client->out, escaped, escape_for_terminal(escaped, text, n));
        else
                finish(lines, EX_OSERR);
}

static void print(struct lines *lines, const char *text, size_t n, bool ends)
{
        if (!lines->in_line)
                output_write(lines->client->out, PREFIX, strlen(PREFIX));
        print_text(lines, text, n);
        if (ends)
                output_write(lines->client->out, "\n", 1);
        lines->in_line = !ends;
}

/* Prints all complete lines, and the parts of a line that is longer than LINE_BYTES. */
static void print_lines(struct lines *lines)
{
        char *line, beginning[LINE_BYTES];
        size_t n;

        while ((line = evbuffer_readln(lines->received, &n, EVBUFFER_EOL_LF))) {
                print(lines, line, n, true);
                free(line);
        }
        while (evbuffer_get_length(lines->received) >= sizeof(beginning)) {
                (void)evbuffer_remove(lines->received, beginning, sizeof(beginning));
                print(lines, beginning, sizeof(beginning), false);
        }
}

/* Prints the last line, which does not end with a newline. */
static void print_rest(struct lines *lines)
{
        char rest[LINE_BYTES];
        int n = evbuffer_remove(lines->received, rest, sizeof(rest));

        if (n > 0 || lines->in_line)
                print(lines, rest, n > 0 ? (size_t)n : 0, true);
}

static void on_data(void *arg, const uint8_t *data, size_t n)
{
        struct lines *lines = arg;

        if (evbuffer_add(lines->received, data, n) < 0)
                finish(lines, EX_OSERR);
        print_lines(lines);
        if (output_is_full(lines->client->out))
                channel_pause(lines->server);
}

static void on_end(void *arg, int error)
{
        struct lines *lines = arg;

        print_rest(lines);
        lines->done = true;
        if (error == 0 && channel_has_ended(lines->server))
                return;
        output_printf(lines->client->err, CLIENT_SERVER_DOWN);
        lines->status = EXIT_FAILURE;
}

static void on_room(void *arg)
{
        struct lines *lines = arg;

        if (channel_resume(lines->server) < 0)
                finish(lines, EX_OSERR);
}

static void on_output_failed(void *arg, int error)
{
        (void)error; /* output_finish() returns it again */
        finish(arg, EXIT_FAILURE);
}

static int start(struct lines *lines)
{
        static const struct channel_events events = { on_data, on_sent, on_end };
        struct loop *loop = lines->client->loop;

        lines->received = evbuffer_new();
        lines->input =
                event_new(loop_base(loop), STDIN_FILENO, EV_READ | EV_PERSIST, on_input, lines);
        if (!lines->received || !lines->input || event_add(lines->input, NULL) < 0)
                return -ENOMEM;
        return channel_new(loop, lines->client->fd, &events, lines, &lines->server);
}

int lines_run(const struct client *client)
{
        static const struct output_events events = { on_room, on_output_failed };
        struct lines lines = { .client = client, .on_terminal = isatty(STDOUT_FILENO) };

        if (start(&lines) < 0)
                finish(&lines, EX_OSERR);
        output_set_events(client->out, &events, &lines);
        while (!lines.done)
                if (loop_turn(client->loop) < 0)
                        finish(&lines, EX_OSERR);
        output_set_events(client->out, NULL, NULL);
        channel_free(lines.server);
        if (lines.input)
                event_free(lines.input);
        if (lines.received)
                evbuffer_free(lines.received);
        return lines.status;
}
