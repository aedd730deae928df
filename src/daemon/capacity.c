/* SPDX-License-Identifier: MIT */
#include "capacity.h"
#include "loop.h"
#include "resolver.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

/* Descriptors that are not connections: the log's, files read by a reload, … */
#define RESERVED_FDS 20

/* Descriptors of each loop, without the pipes that its streams take. */
#define LOOP_FDS 12

const char *capacity_raise_descriptors(const char *backend)
{
        const char *set_by = "the descriptor limit (LimitNOFILE=)";
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return set_by;
        limit.rlim_cur = limit.rlim_max;
        if (strcmp(backend, "select") == 0 && limit.rlim_cur > FD_SETSIZE) {
                set_by = "backend = \"select\"";
                limit.rlim_cur = FD_SETSIZE;
        }
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        return set_by;
}

/* Return: the most descriptors that one connection takes. */
static size_t descriptors_each(const struct config *config)
{
        for (size_t i = 0; i < config->n_services; i++)
                if (config->services[i]->mode == SERVICE_RELAY)
                        return 2;
        return 1;
}

/* Return: how many upstreams have a name to look up, but at most @max. */
static size_t count_names(const struct config *config, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0; j < config->services[i]->n_upstreams && n < max; j++)
                        n += config->services[i]->upstreams[j].host != NULL;
        return n;
}

size_t capacity_max_connections(const struct config *config, size_t n_listeners, size_t n_loops)
{
        size_t used = RESERVED_FDS + n_listeners;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                limit.rlim_cur = FD_SETSIZE;
        used += n_loops * (LOOP_FDS + 2 * loop_pipes_max(limit.rlim_cur));
        used += RESOLVER_FDS * count_names(config, RESOLVER_THREADS);
        return limit.rlim_cur > used ? (limit.rlim_cur - used) / descriptors_each(config) : 1;
}

/* Return: the machine's memory; 0: the system cannot tell. */
static uint64_t memory_bytes(void)
{
        long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);

        return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

uint64_t capacity_max_held_bytes(const struct config *config)
{
        return config->max_held_bytes == CONFIG_HELD_AUTO ? memory_bytes() / 4
                                                          : config->max_held_bytes;
}
