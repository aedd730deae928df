/* Echo. The connection's one stream is both ends of its one link. */
#include "echo.h"

static int echo_open(struct connection *c)
{
        connection_link_client(c, &c->client);
        return 0;
}

static void echo_receive(struct connection *c, struct stream *stream, const uint8_t *data, size_t n)
{
        (void)stream;
        link_put(&c->to_client, data, n);
}

static void echo_end(struct connection *c, struct stream *stream)
{
        (void)stream;
        link_end(&c->to_client);
}

static void echo_done(struct connection *c, struct link *link)
{
        (void)link;
        connection_close(c, "end of stream");
}

const struct mode echo_mode = {
        .name = "echo",
        .open = echo_open,
        .receive = echo_receive,
        .end = echo_end,
        .done = echo_done,
};
