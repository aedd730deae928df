/* SPDX-License-Identifier: MIT */
/* The table of routes, and the requests that change nothing. */
#include "routes.h"
#include "answer.h"
#include "changes.h"
#include "guard.h"
#include "metrics.h"
#include "view.h"

#include <errno.h>
#include <string.h>

/* The version of toxiproxy that this interface follows. */
#define TOXIPROXY_VERSION "2.12.0"

typedef void look_fn(const struct control *control, struct http_request *request,
                     const struct path *path);

struct route {
        const char *parts[PATH_PARTS_MAX]; /* "*" is any name */
        size_t n;
        look_fn *get;                                /* NULL: the method is not allowed */
        const struct change_kind *kinds[HTTP_OTHER]; /* by method; NULL: likewise */
};

/* Requests that change nothing */

static void get_proxies(const struct control *control, struct http_request *request,
                        const struct path *path)
{
        (void)path;
        answer_json(request, 200, view_write_all(control));
}

static void get_proxy(const struct control *control, struct http_request *request,
                      const struct path *path)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct refusal refusal;

        if (view_find(control, path->parts[1], &managed, &refusal) < 0)
                answer_refusal(request, &refusal);
        else
                answer_json(request, 200, view_write(control, managed));
}

static void get_toxics(const struct control *control, struct http_request *request,
                       const struct path *path)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        struct refusal refusal;

        if (view_find(control, path->parts[1], &managed, &refusal) < 0)
                answer_refusal(request, &refusal);
        else
                answer_json(request, 200, toxic_list_write(&managed->toxics));
}

static void get_toxic(const struct control *control, struct http_request *request,
                      const struct path *path)
{
        _cleanup_(managed_unrefp) struct managed *managed = NULL;
        const struct toxic *toxic = NULL;
        struct refusal refusal;
        int r = view_find(control, path->parts[1], &managed, &refusal);

        if (r == 0)
                toxic = toxic_list_find(&managed->toxics, path->parts[3]);
        if (r == 0 && !toxic)
                r = refuse(&refusal, 404, "toxic not found");
        if (r < 0)
                answer_refusal(request, &refusal);
        else
                answer_json(request, 200, toxic_write(toxic));
}

static void get_version(const struct control *control, struct http_request *request,
                        const struct path *path)
{
        static const char text[] =
                "{\"version\": \"" TOXIPROXY_VERSION "\", \"selectd\": \"" SELECTD_VERSION "\"}\n";

        (void)control;
        (void)path;
        http_answer(request, 200, "application/json", text, strlen(text));
}

static void get_metrics(const struct control *control, struct http_request *request,
                        const struct path *path)
{
        _cleanup_(freep) char *text = NULL;
        size_t n;

        (void)path;
        if (metrics_write(control, &text, &n) < 0)
                answer_nothing(request, 500);
        else
                http_answer(request, 200, METRICS_CONTENT_TYPE, text, n);
}

static const struct route routes[] = {
        { { "proxies" }, 1, get_proxies, { [HTTP_POST] = &proxy_create } },
        { { "proxies", "*" },
          2,
          get_proxy,
          { [HTTP_POST] = &proxy_update,
            [HTTP_PATCH] = &proxy_update,
            [HTTP_DELETE] = &proxy_delete } },
        { { "proxies", "*", "toxics" }, 3, get_toxics, { [HTTP_POST] = &toxic_create } },
        { { "proxies", "*", "toxics", "*" },
          4,
          get_toxic,
          { [HTTP_POST] = &toxic_change,
            [HTTP_PATCH] = &toxic_change,
            [HTTP_DELETE] = &toxic_delete } },
        { { "populate" }, 1, NULL, { [HTTP_POST] = &populate } },
        { { "reset" }, 1, NULL, { [HTTP_POST] = &reset_all } },
        { { "version" }, 1, get_version, { NULL } },
        { { "metrics" }, 1, get_metrics, { NULL } },
};

static bool fits(const struct route *route, const struct path *path)
{
        if (route->n != path->n)
                return false;
        for (size_t i = 0; i < path->n; i++)
                if (strcmp(route->parts[i], "*") != 0 &&
                    strcmp(route->parts[i], path->parts[i]) != 0)
                        return false;
        return true;
}

static const struct route *find_route(const struct path *path)
{
        for (size_t i = 0; i < ELEMENTS(routes); i++)
                if (fits(&routes[i], path))
                        return &routes[i];
        return NULL;
}

static void serve_route(struct control *control, const struct route *route,
                        struct http_request *request, struct path *path)
{
        enum http_method method = http_request_method(request);
        struct refusal refusal;

        if (method == HTTP_GET && route->get) {
                route->get(control, request, path);
        } else if (method == HTTP_OTHER || !route->kinds[method]) {
                answer_nothing(request, 405);
        } else if (change_ask(control, route->kinds[method], request, path) < 0) {
                (void)refuse_no_memory(&refusal);
                answer_refusal(request, &refusal);
        }
}

void routes_serve(struct control *control, struct http_request *request)
{
        const struct guard_headers headers = {
                .host = http_request_header(request, "Host"),
                .origin = http_request_header(request, "Origin"),
                .user_agent = http_request_header(request, "User-Agent"),
        };
        const struct route *route = NULL;
        struct path path = { 0 };
        struct refusal refusal;

        if (!guard_admits(&headers, http_request_is_by_unix_socket(request), &refusal)) {
                answer_text(request, refusal.status, refusal.words);
                return;
        }
        if (path_parse(http_request_target(request), &path) == 0)
                route = find_route(&path);
        if (route)
                serve_route(control, route, request, &path);
        else
                answer_text(request, 404, "404 page not found");
        path_deinit(&path);
}
