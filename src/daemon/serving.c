/* SPDX-License-Identifier: MIT */
/*
 * Steps that can fail come first. After the listeners have changed, nothing fails any more.
 */
#include "serving.h"

#include <errno.h>

static void run_check(struct loop_task *task)
{
        struct serving *serving = container_of(task, struct serving, check);

        serving->checking = false;
        serving_check(serving);
}

int serving_init(struct serving *serving, struct loop *loop, struct workers *workers,
                 const struct listeners_events *events, void *arg, char *why)
{
        TAILQ_INIT(&serving->waits);
        serving->loop = loop;
        serving->workers = workers;
        serving->registry.n_shards = workers->n;
        serving->check.run = run_check;
        return listeners_new(loop, events, arg, why, &serving->listeners);
}

void serving_deinit(struct serving *serving)
{
        serving->listeners = listeners_free(serving->listeners);
        registry_deinit(&serving->registry);
        serving->config = config_unref(serving->config);
}

/* Waits */

void serving_stop_waiting(struct serving *serving, struct apply_wait *wait)
{
        if (!apply_wait_is_set(wait))
                return;
        TAILQ_REMOVE(&serving->waits, wait, entry);
        wait->generation = 0;
}

/* Waits are in the order of their generations, because each waits for the newest configuration. */
static void start_waiting(struct serving *serving, struct apply_wait *wait, uint64_t generation)
{
        serving_stop_waiting(serving, wait);
        wait->generation = generation;
        TAILQ_INSERT_TAIL(&serving->waits, wait, entry);
        if (serving->checking)
                return;
        serving->checking = true;
        loop_defer(serving->loop, &serving->check);
}

void serving_check(struct serving *serving)
{
        uint64_t applied = workers_applied(serving->workers);

        for (struct apply_wait *wait;
             (wait = TAILQ_FIRST(&serving->waits)) && wait->generation <= applied;) {
                serving_stop_waiting(serving, wait);
                wait->on_applied(wait);
        }
}

/* Applying */

/* Gives the workers each service whose settings differ from those in force. */
static void change_services(struct serving *serving, const struct config *config)
{
        const struct config *old = serving->config;

        for (size_t i = 0; i < config->n_services; i++) {
                struct service_config *next = config->services[i];

                if (!old || config_find_service(old, next->name) != next)
                        workers_change_service(serving->workers,
                                               registry_find(&serving->registry, next->name), next);
        }
}

int serving_apply(struct serving *serving, struct config *config, struct apply_wait *wait,
                  char *why)
{
        uint64_t generation;
        int r = registry_add(&serving->registry, config);

        if (r < 0)
                (void)snprintf(why, SERVING_WHY_SIZE, "out of memory");
        if (r == 0)
                r = listeners_match(serving->listeners, config, why);
        if (r == 0)
                r = listeners_apply(serving->listeners, config, &serving->registry, why);
        if (r < 0) {
                registry_prune(&serving->registry, serving->config);
                return r;
        }
        change_services(serving, config);
        generation = workers_apply(serving->workers, config);
        config_ref(config);
        config_unref(serving->config);
        serving->config = config;
        registry_prune(&serving->registry, config);
        if (wait)
                start_waiting(serving, wait, generation);
        return 0;
}

struct service *const *serving_services(struct serving *serving, size_t *n)
{
        registry_prune(&serving->registry, serving->config);
        *n = serving->registry.n;
        return serving->registry.services;
}
