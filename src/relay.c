/*
 * Relay. Nothing is read from the client before the upstream is there, so what it sends meanwhile
 * waits in its socket, which bounds it.
 */
#include "relay.h"
#include "dialer.h"

#include <errno.h>

struct relay {
        struct side upstream;
        struct dialer *dialer; /* NULL once it is done */
        char name[DIALER_NAME_SIZE];
};

static void on_dialed(void *arg, int fd, const char *name)
{
        struct connection *c = arg;
        struct relay *relay = c->relay;
        char reason[DIALER_NAME_SIZE + 128];
        int r = fd;

        (void)snprintf(relay->name, sizeof(relay->name), "%s", name);
        relay->dialer = dialer_free(relay->dialer);
        if (fd >= 0) {
                r = side_init(&relay->upstream, c, fd, relay->name);
                if (r < 0)
                        (void)close(fd);
                else
                        c->peer = &relay->upstream;
        }
        if (r == 0)
                r = connection_start(c);
        if (r < 0) {
                (void)snprintf(reason, sizeof(reason), "upstream %s: %s", relay->name,
                               connection_error_reason(r));
                connection_reset(c, reason);
        }
}

static int relay_open(struct connection *c)
{
        c->relay = calloc(1, sizeof(*c->relay));
        if (!c->relay)
                return -ENOMEM;
        return dialer_new(c->loop, c->config, c->service, on_dialed, c, &c->relay->dialer);
}

static void relay_stop(struct connection *c)
{
        if (!c->relay)
                return;
        c->relay->dialer = dialer_free(c->relay->dialer);
        if (c->peer)
                stream_stop(&c->relay->upstream.stream);
}

static void relay_free(struct connection *c)
{
        if (c->relay && c->peer)
                stream_deinit(&c->relay->upstream.stream);
        free(c->relay);
        c->relay = NULL;
}

const struct mode relay_mode = {
        .open = relay_open,
        .stop = relay_stop,
        .free = relay_free,
};
