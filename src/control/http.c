/* SPDX-License-Identifier: MIT */
/*
 * The server works around these properties of libevent 2.1.12 (http.c, listener.c):
 *
 * - evhttp does not report that a client has come or left. But it asks for a bufferevent for each
 *   client, which shows a new client. Later, the connection is the argument of the bufferevent's
 *   callbacks, and a connection can have a callback for its end.
 * - Its timeouts start again with each byte. So a timer here counts from the first byte of a
 *   request, which a callback on the input buffer notices.
 * - While it writes an answer, it goes on reading without a bound, and drops the answer at an end
 *   of stream. So reading is disabled until the answer has been written.
 * - The line in front of a chunk may have any length. So the input buffer has a bound.
 * - It closes the socket right after an answer of its own, such as a 413. The kernel answers later
 *   bytes with a reset, which may discard the answer. So such a socket is duplicated, and read for
 *   a moment until its end.
 * - Its listener repeats a failing accept(2) in each turn of the loop.
 * - It knows "Connection: close" only without other words, and "Transfer-Encoding" only if it is
 *   "chunked".
 */
#include "http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* The first line and the headers. Each header costs about 100 bytes more than its length. */
#define HEADERS_MAX ((size_t)16 << 10)

/* A body in one chunk, the line in front of it, and further requests that are read with it. */
#define INPUT_MAX (HTTP_BODY_MAX + ((size_t)64 << 10))

/* How long the rest of a refused request is read. */
#define LINGER_USEC (2 * USEC_PER_SEC)

/* The pause after accept(2) has failed. */
#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)

enum client_state {
        CLIENT_NEW,       /* evhttp does not know it yet */
        CLIENT_IDLE,      /* between two requests */
        CLIENT_READING,   /* reading a request, or writing evhttp's own answer to a bad one */
        CLIENT_SERVED,    /* the request waits for its answer */
        CLIENT_WRITING,   /* writing the answer */
        CLIENT_DROPPED,   /* the connection is closed at once */
        CLIENT_LINGERING, /* evhttp has finished with it */
};

struct http_request {
        struct evhttp_request *request;
};

struct http_client {
        TAILQ_ENTRY(http_client) others;
        struct http *http;
        enum client_state state;
        struct bufferevent *bev;              /* NULL: evhttp has closed it */
        struct evhttp_connection *connection; /* NULL: not known yet, or freed */
        struct http_request request;          /* in CLIENT_SERVED */
        uint64_t idle_since_usec;
        struct timer deadline;
        struct event *linger; /* the duplicated socket is readable */
};

TAILQ_HEAD(http_clients, http_client);

struct http {
        struct loop *loop;
        struct evhttp *evhttp;
        uint64_t request_usec;
        http_request_fn *on_request;
        void *arg;
        struct http_clients clients;
        size_t n_clients;
        struct loop_task update; /* after clients came, went or changed their state */
        bool updating;
};

/* Clients */

static void update_later(struct http *http)
{
        if (http->updating)
                return;
        http->updating = true;
        loop_defer(http->loop, &http->update);
}

static void set_deadline(struct http_client *client, uint64_t usec)
{
        /* If the timer cannot be set, the client is served without a deadline. */
        (void)!timer_set(&client->deadline, now_usec() + usec);
}

static void set_state(struct http_client *client, enum client_state state)
{
        client->state = state;
        if (state == CLIENT_IDLE)
                client->idle_since_usec = now_usec();
        if (state == CLIENT_READING || state == CLIENT_WRITING)
                set_deadline(client, client->http->request_usec);
        else
                timer_stop(&client->deadline);
        update_later(client->http);
}

static struct http_client *client_free(struct http_client *client)
{
        struct http *http = client->http;

        timer_stop(&client->deadline);
        if (client->linger) {
                (void)close(event_get_fd(client->linger));
                event_free(client->linger);
        }
        TAILQ_REMOVE(&http->clients, client, others);
        http->n_clients--;
        update_later(http);
        free(client);
        return NULL;
}

/* Closes the connection without lingering. on_close() frees the client. */
static void drop(struct http_client *client)
{
        client->state = CLIENT_DROPPED;
        evhttp_connection_free(client->connection);
}

static void on_deadline(struct timer *timer)
{
        struct http_client *client = container_of(timer, struct http_client, deadline);

        if (client->state == CLIENT_LINGERING)
                client_free(client);
        else
                drop(client);
}

/* Lingering */

static void on_lingering(evutil_socket_t fd, short what, void *arg)
{
        struct http_client *client = arg;
        uint8_t *scratch = loop_scratch(client->http->loop);
        ssize_t n = recv(fd, scratch, LOOP_SCRATCH_BYTES, MSG_DONTWAIT);

        (void)what;
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                client_free(client);
}

/* Keeps reading a socket that evhttp closes. Return: 0; -ENOMEM; -EMFILE, …. */
static int linger(struct http_client *client, int socket)
{
        struct event_base *base = loop_base(client->http->loop);
        int fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        client->linger = event_new(base, fd, EV_READ | EV_PERSIST, on_lingering, client);
        if (!client->linger) {
                (void)close(fd);
                return -ENOMEM;
        }
        set_state(client, CLIENT_LINGERING);
        set_deadline(client, LINGER_USEC);
        return loop_add_event(client->linger);
}

/*
 * Whether bytes of the client would arrive at a closed socket: some are unread, or evhttp has
 * refused a request before it was read completely.
 */
static bool may_send_more(const struct http_client *client, int fd)
{
        char byte;
        ssize_t n = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

        return n > 0 || (n < 0 && errno == EAGAIN && client->state == CLIENT_READING);
}

static void on_close(struct evhttp_connection *connection, void *arg)
{
        struct http_client *client = arg;
        int fd = bufferevent_getfd(client->bev);

        (void)connection;
        /* evhttp frees both. A new connection may get the same memory; see find_client(). */
        client->connection = NULL;
        client->bev = NULL;
        if (client->state == CLIENT_DROPPED || !may_send_more(client, fd) || linger(client, fd) < 0)
                client_free(client);
}

/* Requests */

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
        struct http_client *client = arg;

        (void)buffer;
        if (info->n_added > 0 && client->state == CLIENT_IDLE)
                set_state(client, CLIENT_READING);
}

/* The answer has been written. */
static void on_complete(struct evhttp_request *request, void *arg)
{
        struct http_client *client = arg;
        bool pipelined = evbuffer_get_length(bufferevent_get_input(client->bev)) > 0;

        (void)request;
        set_state(client, pipelined ? CLIENT_READING : CLIENT_IDLE);
}

static struct http_client *find_client(struct http *http, struct evhttp_request *request)
{
        const struct evhttp_connection *connection = evhttp_request_get_connection(request);
        struct http_client *client;

        TAILQ_FOREACH(client, &http->clients, others)
                if (client->connection == connection)
                        return client;
        return NULL;
}

static void on_request(struct evhttp_request *request, void *arg)
{
        struct http *http = arg;
        struct http_client *client = find_client(http, request);

        if (!client) {
                evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
                return;
        }
        set_state(client, CLIENT_SERVED);
        client->request.request = request;
        http->on_request(http->arg, &client->request);
}

enum http_method http_request_method(const struct http_request *request)
{
        switch (evhttp_request_get_command(request->request)) {
        case EVHTTP_REQ_GET:
                return HTTP_GET;
        case EVHTTP_REQ_POST:
                return HTTP_POST;
        case EVHTTP_REQ_PATCH:
                return HTTP_PATCH;
        case EVHTTP_REQ_DELETE:
                return HTTP_DELETE;
        default:
                return HTTP_OTHER;
        }
}

const char *http_request_target(const struct http_request *request)
{
        return evhttp_request_get_uri(request->request);
}

const char *http_request_header(const struct http_request *request, const char *name)
{
        return evhttp_find_header(evhttp_request_get_input_headers(request->request), name);
}

bool http_request_is_by_unix_socket(const struct http_request *request)
{
        struct evhttp_connection *connection = evhttp_request_get_connection(request->request);

        return evhttp_connection_get_addr(connection)->sa_family == AF_UNIX;
}

const char *http_request_body(const struct http_request *request, size_t *n)
{
        struct evbuffer *buffer = evhttp_request_get_input_buffer(request->request);
        const unsigned char *body = evbuffer_pullup(buffer, -1);

        *n = body ? evbuffer_get_length(buffer) : 0;
        return body ? (const char *)body : "";
}

/* Answers */

/* Whether @word is in a header that is a list separated by commas. */
static bool has_word(const char *header, const char *word)
{
        while (*header) {
                size_t n;

                header += strspn(header, " \t,");
                n = strcspn(header, " \t,;");
                if (n == strlen(word) && strncasecmp(header, word, n) == 0)
                        return true;
                header += n + strcspn(header + n, ",");
        }
        return false;
}

/*
 * Whether the connection must end: the client asks for it, or evhttp has not read the request's
 * body.
 */
static bool has_to_close(struct evhttp_request *request)
{
        const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
        const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
        const struct evkeyval *header;

        TAILQ_FOREACH(header, headers, next)
                if (strcasecmp(header->key, "Connection") == 0 && has_word(header->value, "close"))
                        return true;
        if (coding && strcasecmp(coding, "chunked") != 0)
                return true;
        switch (evhttp_request_get_command(request)) {
        case EVHTTP_REQ_GET:
        case EVHTTP_REQ_POST:
        case EVHTTP_REQ_PUT:
        case EVHTTP_REQ_PATCH:
        case EVHTTP_REQ_DELETE:
        case EVHTTP_REQ_OPTIONS:
                return false;
        default:
                return coding || evhttp_find_header(headers, "Content-Length");
        }
}

void http_answer(struct http_request *request, int status, const char *content_type,
                 const char *body, size_t n)
{
        struct http_client *client = container_of(request, struct http_client, request);
        struct evhttp_request *to = request->request;
        struct evkeyvalq *headers = evhttp_request_get_output_headers(to);
        struct evbuffer *buffer = evhttp_request_get_output_buffer(to);

        request->request = NULL;
        if (content_type)
                (void)evhttp_add_header(headers, "Content-Type", content_type);
        if (has_to_close(to))
                (void)evhttp_add_header(headers, "Connection", "close");
        if (n > 0 && evhttp_request_get_command(to) != EVHTTP_REQ_HEAD &&
            evbuffer_add(buffer, body, n) < 0)
                status = HTTP_INTERNAL;
        set_state(client, CLIENT_WRITING);
        evhttp_request_set_on_complete_cb(to, on_complete, client);
        evhttp_send_reply(to, status, NULL, NULL);
        (void)bufferevent_disable(client->bev, EV_READ);
}

/* Coming and going */

/* Return: the client that has been idle longest; NULL: none is idle. */
static struct http_client *find_idle(const struct http *http)
{
        struct http_client *client, *found = NULL;

        TAILQ_FOREACH(client, &http->clients, others)
                if (client->state == CLIENT_IDLE &&
                    (!found || client->idle_since_usec < found->idle_since_usec))
                        found = client;
        return found;
}

static void enable_listener(struct evhttp_bound_socket *socket, void *arg)
{
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(socket);
        const bool *enable = arg;

        (void)(*enable ? evconnlistener_enable(listener) : evconnlistener_disable(listener));
}

/* Makes room for new clients, or makes them wait. */
static void make_room(struct http *http)
{
        struct http_client *idle = find_idle(http);
        bool enable;

        while (http->n_clients > HTTP_CLIENTS_MAX && idle) {
                drop(idle);
                idle = find_idle(http);
        }
        enable = http->n_clients < HTTP_CLIENTS_MAX || idle;
        evhttp_foreach_bound_socket(http->evhttp, enable_listener, &enable);
}

/* Takes over a client for which evhttp has made a connection. */
static void begin(struct http_client *client)
{
        void *connection;

        bufferevent_getcb(client->bev, NULL, NULL, NULL, &connection);
        bufferevent_decref(client->bev);
        if (!connection) {
                client_free(client);
                return;
        }
        client->connection = connection;
        evhttp_connection_set_closecb(connection, on_close, client);
        set_state(client, CLIENT_IDLE);
}

static void update(struct loop_task *task)
{
        struct http *http = container_of(task, struct http, update);
        struct http_client *client, *next;

        for (client = TAILQ_FIRST(&http->clients); client; client = next) {
                next = TAILQ_NEXT(client, others);
                if (client->state == CLIENT_NEW)
                        begin(client);
        }
        make_room(http);
        http->updating = false;
}

static struct http_client *client_new(struct http *http)
{
        struct http_client *client = calloc(1, sizeof(*client));

        if (!client)
                return NULL;
        client->bev = bufferevent_socket_new(loop_base(http->loop), -1, 0);
        if (client->bev && evbuffer_add_cb(bufferevent_get_input(client->bev), on_input, client)) {
                client->http = http;
                bufferevent_setwatermark(client->bev, EV_READ, 0, INPUT_MAX);
                timer_init(&client->deadline, loop_timers(http->loop), on_deadline);
                return client;
        }
        if (client->bev)
                bufferevent_free(client->bev);
        free(client);
        return NULL;
}

/* evhttp asks for the bufferevent of a new client. It makes one itself if this returns NULL; that
 * client is refused in on_request(). */
static struct bufferevent *on_client(struct event_base *base, void *arg)
{
        struct http *http = arg;
        struct http_client *client = client_new(http);
        bool enable = false;

        (void)base;
        if (!client)
                return NULL;
        bufferevent_incref(client->bev); /* until begin() */
        TAILQ_INSERT_TAIL(&http->clients, client, others);
        http->n_clients++;
        update_later(http);
        /* The listener accepts all waiting clients in the same turn of the loop. */
        if (http->n_clients >= HTTP_CLIENTS_MAX)
                evhttp_foreach_bound_socket(http->evhttp, enable_listener, &enable);
        return client->bev;
}

static void on_accept_pause_end(evutil_socket_t fd, short what, void *arg)
{
        (void)fd;
        (void)what;
        (void)evconnlistener_enable(arg);
}

/* The argument is evhttp's own. So the listener itself has to outlive the pause, and it does: it is
 * freed only after the last turn of the loop. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
        const struct timeval pause = loop_timeval(ACCEPT_PAUSE_USEC);

        (void)arg;
        if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_accept_pause_end,
                            listener, &pause) == 0)
                (void)evconnlistener_disable(listener);
}

int http_listen(struct http *http, int fd)
{
        struct evhttp_bound_socket *socket = evhttp_accept_socket_with_handle(http->evhttp, fd);

        if (!socket)
                return -ENOMEM;
        evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(socket), on_accept_error);
        return 0;
}

int http_new(struct loop *loop, uint64_t request_usec, http_request_fn *on_request_fn, void *arg,
             struct http **out)
{
        struct http *http = calloc(1, sizeof(*http));

        if (!http)
                return -ENOMEM;
        http->evhttp = evhttp_new(loop_base(loop));
        if (!http->evhttp) {
                free(http);
                return -ENOMEM;
        }
        http->loop = loop;
        http->request_usec = request_usec;
        http->on_request = on_request_fn;
        http->arg = arg;
        http->update.run = update;
        TAILQ_INIT(&http->clients);
        evhttp_set_gencb(http->evhttp, on_request, http);
        evhttp_set_bevcb(http->evhttp, on_client, http);
        evhttp_set_default_content_type(http->evhttp, NULL);
        evhttp_set_max_headers_size(http->evhttp, (ev_ssize_t)HEADERS_MAX);
        evhttp_set_max_body_size(http->evhttp, (ev_ssize_t)HTTP_BODY_MAX);
        /* Also unknown methods, which the user refuses. */
        evhttp_set_allowed_methods(http->evhttp, UINT16_MAX);
        *out = http;
        return 0;
}

struct http *http_free(struct http *http)
{
        struct http_client *client;

        if (!http)
                return NULL;
        http->updating = true; /* no task runs any more */
        evhttp_free(http->evhttp);
        while ((client = TAILQ_FIRST(&http->clients)))
                client_free(client);
        free(http);
        return NULL;
}
