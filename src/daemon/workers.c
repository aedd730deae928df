/* SPDX-License-Identifier: MIT */
#include "workers.h"
#include "resolver.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

size_t workers_wanted(const struct config *config)
{
        cpu_set_t cpus;
        size_t n;

        if (config->workers)
                return config->workers;
        n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
        return n < CONFIG_WORKERS_MAX ? n : CONFIG_WORKERS_MAX;
}

int workers_start(struct workers *workers, const struct config *config, struct loop *main_loop,
                  const struct worker_events *events, void *arg)
{
        size_t n = workers_wanted(config);
        int r;

        workers->list = calloc(n, sizeof(struct worker *));
        if (!workers->list)
                return -ENOMEM;
        r = resolver_new(&workers->resolver);
        while (r == 0 && workers->n < n) {
                r = worker_new(n > 1 ? config->backend : NULL, main_loop, workers->resolver,
                               workers->n, events, arg, &workers->list[workers->n]);
                workers->n += r == 0;
        }
        return r;
}

size_t workers_stop(struct workers *workers, uint64_t until_usec)
{
        size_t n = 0;

        for (size_t i = 0; i < workers->n; i++)
                worker_begin_stop(workers->list[i]);
        for (size_t i = 0; i < workers->n; i++)
                n += worker_stop(workers->list[i], until_usec) < 0;
        return n;
}

void workers_free(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                worker_free(workers->list[i]);
        resolver_free(workers->resolver);
        free(workers->list);
}

size_t workers_count_loops(const struct workers *workers)
{
        return workers->n > 1 ? workers->n + 1 : 1;
}

size_t workers_count_connections(const struct workers *workers)
{
        size_t n = 0;

        for (size_t i = 0; i < workers->n; i++)
                n += worker_count(workers->list[i]);
        return n;
}

/* Return: a number that depends only on the name. */
static size_t hash_name(const char *name)
{
        size_t hash = 5381;

        for (; *name; name++)
                hash = hash * 33 + (unsigned char)*name;
        return hash;
}

struct worker *workers_choose(const struct workers *workers, const struct service_config *config)
{
        struct worker *least = workers->list[0];

        if (config->mode == SERVICE_HUB)
                return workers->list[hash_name(config->name) % workers->n];
        for (size_t i = 1; i < workers->n; i++)
                if (worker_count(workers->list[i]) < worker_count(least))
                        least = workers->list[i];
        return least;
}

void workers_change_service(struct workers *workers, struct service *service,
                            struct service_config *config)
{
        for (size_t i = 0; i < workers->n; i++)
                worker_change_service(workers->list[i], service, config);
}

uint64_t workers_apply(struct workers *workers, const struct config *config)
{
        const struct session_settings settings = {
                .log_payload = config->log_payload,
                .seed = config->seed,
        };

        workers->generation++;
        for (size_t i = 0; i < workers->n; i++)
                worker_apply(workers->list[i], &settings, workers->generation);
        return workers->generation;
}

uint64_t workers_applied(const struct workers *workers)
{
        uint64_t oldest = workers->generation;

        for (size_t i = 0; i < workers->n; i++)
                if (worker_applied(workers->list[i]) < oldest)
                        oldest = worker_applied(workers->list[i]);
        return oldest;
}

void workers_close_all(struct workers *workers)
{
        for (size_t i = 0; i < workers->n; i++)
                worker_close_all(workers->list[i]);
}

bool workers_answer(struct workers *workers)
{
        bool alive = true;

        for (size_t i = 0; i < workers->n; i++)
                alive = worker_answers(workers->list[i]) && alive;
        return alive;
}
