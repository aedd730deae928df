/* SPDX-License-Identifier: MIT */
/* The functions that the control interface calls. */
#include "controlled.h"
#include "http.h"
#include "server.h"

#include <string.h>

_Static_assert(CONTROL_WHY_SIZE >= SERVING_WHY_SIZE, "apply() passes its buffer on");

static const struct config *get_config(void *arg)
{
        const struct controlled *controlled = arg;

        return controlled->serving->config;
}

static int apply(void *arg, struct config *config, char *why)
{
        struct controlled *controlled = arg;

        return server_apply(controlled->server, config, &controlled->wait, why);
}

static bool get_bound(void *arg, const char *service, struct address *out)
{
        const struct controlled *controlled = arg;
        const struct listeners *listeners = controlled->serving->listeners;

        return listeners && listeners_find_address(listeners, service, out);
}

static const char *get_taken(void *arg, const struct address *address, const char *service)
{
        const struct controlled *controlled = arg;
        const struct listeners *listeners = controlled->serving->listeners;

        return listeners ? listeners_find_other(listeners, address, service) : NULL;
}

static struct service *const *get_services(void *arg, size_t *n)
{
        const struct controlled *controlled = arg;

        return serving_services(controlled->serving, n);
}

static void count(void *arg, struct control_totals *out)
{
        const struct controlled *controlled = arg;

        server_count_reloads(controlled->server, &out->reloads, &out->failed_reloads);
        out->lost_records = log_count_lost();
}

static const struct control_target target = {
        .config = get_config,
        .apply = apply,
        .bound = get_bound,
        .taken = get_taken,
        .services = get_services,
        .count = count,
};

static void on_applied(struct apply_wait *wait)
{
        control_applied(container_of(wait, struct controlled, wait)->control);
}

int controlled_init(struct controlled *controlled, struct loop *loop, struct server *server,
                    struct serving *serving)
{
        *controlled = (struct controlled){
                .server = server,
                .serving = serving,
                .wait.on_applied = on_applied,
        };
        return control_new(loop, &target, controlled, &controlled->control);
}

/* Whether other hosts may reach an address. */
static bool is_open(const struct address *address)
{
        return address->sa.sa_family != AF_UNIX && !address_is_loopback(address);
}

int controlled_listen(struct controlled *controlled, const struct address *addresses, size_t n,
                      const struct socket_access *access, char *why)
{
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < n; i++) {
                struct address bound;
                int r = control_listen(controlled->control, &addresses[i], access, &bound);

                if (r < 0) {
                        (void)snprintf(why, SERVING_WHY_SIZE,
                                       "the control interface cannot listen on %s: %s",
                                       address_format(&addresses[i], text), strerrordesc_np(-r));
                        return r;
                }
                controlled->n_sockets++;
                log_write(LOG_CONTROL_LISTENING, NULL, "control interface: listening on %s",
                          address_format(&bound, text));
                if (is_open(&bound))
                        log_write(LOG_CONTROL_OPEN, NULL,
                                  "control interface: every host that reaches %s may change the "
                                  "services, without a password",
                                  text);
        }
        return 0;
}

size_t controlled_descriptors(const struct controlled *controlled)
{
        /* A client that is closed may take two descriptors for a moment. */
        return controlled->n_sockets ? controlled->n_sockets + HTTP_CLIENTS_MAX + 16 : 0;
}

bool controlled_is_same(const struct config *a, const struct config *b)
{
        if (a->n_control != b->n_control ||
            !socket_access_equal(&a->control_access, &b->control_access))
                return false;
        for (size_t i = 0; i < a->n_control; i++)
                if (!address_equal(&a->control[i], &b->control[i]))
                        return false;
        return true;
}

int controlled_merge(const struct controlled *controlled, struct config *config,
                     struct config **out)
{
        if (controlled->control)
                return control_keep(controlled->control, config, out);
        *out = config_ref(config);
        return 0;
}

void controlled_deinit(struct controlled *controlled)
{
        controlled->control = control_free(controlled->control);
}
