/* SPDX-License-Identifier: MIT */
#include "reload.h"
#include "escape.h"
#include "loader.h"

#include <string.h>

_Static_assert(RELOAD_WHY_SIZE >= LOADER_WHY_SIZE, "on_loaded() has one buffer for both");

/* Every connection has the new configuration. */
static void on_applied(struct apply_wait *wait)
{
        struct reload *reload = container_of(wait, struct reload, applied);
        char path[ESCAPE_PATH_SIZE];

        if (reload->cancelled)
                return;
        log_write(LOG_RELOADED, NULL, "reloaded %s: %zu service%s", escape_path(reload->path, path),
                  reload->n_services, reload->n_services == 1 ? "" : "s");
        reload->events->on_end(reload->arg);
}

void reload_init(struct reload *reload, struct loop *loop, const char *path,
                 const struct reload_events *events, void *arg)
{
        *reload = (struct reload){
                .loop = loop,
                .path = path,
                .events = events,
                .arg = arg,
                .applied.on_applied = on_applied,
        };
}

void reload_deinit(struct reload *reload)
{
        reload->loader = loader_free(reload->loader);
}

static void fail(struct reload *reload, const char *why)
{
        char path[ESCAPE_PATH_SIZE];

        reload->failed = true;
        reload->n_failed++;
        log_write(LOG_RELOAD_FAILED, NULL, "cannot reload %s: %s; keeping the old configuration",
                  escape_path(reload->path, path), why);
        if (!apply_wait_is_set(&reload->applied)) /* otherwise the previous reload ends later */
                reload->events->on_end(reload->arg);
}

static void begin(struct reload *reload);

static void on_loaded(void *arg)
{
        _cleanup_(config_unrefp) struct config *config = NULL;
        char why[RELOAD_WHY_SIZE];
        struct reload *reload = arg;
        int r = loader_result(reload->loader, &config, why);

        reload->loader = loader_free(reload->loader);
        if (reload->cancelled)
                return;
        if (r == 0)
                r = reload->events->apply(reload->arg, config, &reload->applied, why);
        if (r == 0) {
                reload->failed = false;
                reload->n_applied++;
                reload->n_services = config->n_services;
        } else {
                fail(reload, why);
        }
        if (reload->again)
                begin(reload);
}

static void begin(struct reload *reload)
{
        int r;

        reload->again = false;
        reload->events->on_begin(reload->arg);
        r = loader_new(reload->loop, reload->path, on_loaded, reload, &reload->loader);
        if (r < 0)
                fail(reload, strerrordesc_np(-r));
}

void reload_request(struct reload *reload)
{
        if (reload->cancelled)
                return;
        if (!reload->path) {
                reload->n_failed++;
                log_write(LOG_RELOAD_FAILED, NULL, "there is no configuration file to reload");
        } else if (reload->loader) {
                reload->again = true;
        } else {
                begin(reload);
        }
}

void reload_cancel(struct reload *reload)
{
        reload->cancelled = true;
        if (reload->loader)
                loader_cancel(reload->loader);
}
