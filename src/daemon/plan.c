/* SPDX-License-Identifier: MIT */
/*
 * There may be thousands of addresses, and clients wait meanwhile. So addresses are matched by
 * sorting or through an index: comparing each with each would take too long.
 */
#include "plan.h"
#include "address_index.h"

#include <errno.h>
#include <string.h>

/* One address that a service is to listen on. */
struct want {
        struct service_config *config; /* of the service */
        const struct address *listen;
        struct entry *entry; /* the socket that stays for it; NULL: one has to be opened */
};

static void want_all(struct plan *plan, struct service_config *config)
{
        for (size_t i = 0; i < config->n_listen; i++)
                plan->wants[plan->n_wants++] = (struct want){
                        .config = config,
                        .listen = &config->listen[i],
                };
}

/* Lists the wants of @config. Return: 0; -ENOMEM. */
static int list_wants(struct plan *plan, const struct passed *passed, const struct config *config)
{
        _cleanup_(freep) bool *has_passed = passed_flags(passed, config);
        size_t n = 0;

        for (size_t i = 0; i < config->n_services; i++)
                n += config->services[i]->n_listen;
        plan->wants = calloc(n + 1, sizeof(*plan->wants));
        if (!has_passed || !plan->wants)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++)
                if (config->services[i]->enabled && !has_passed[i])
                        want_all(plan, config->services[i]);
        return 0;
}

static int compare_wants(const void *a, const void *b)
{
        const struct want *x = *(struct want *const *)a, *y = *(struct want *const *)b;
        int order = address_compare(x->listen, y->listen);

        return order ? order : strcmp(x->config->name, y->config->name);
}

static int compare_entries(const void *a, const void *b)
{
        const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
        int order = address_compare(&x->configured, &y->configured);

        return order ? order : strcmp(service_name(x->service), service_name(y->service));
}

static int compare_want_with_entry(const struct want *want, const struct entry *entry,
                                   bool same_service)
{
        int order = address_compare(want->listen, &entry->configured);

        if (order || !same_service)
                return order;
        return strcmp(want->config->name, service_name(entry->service));
}

/*
 * Gives each want an entry with its address, if there is one. Both arrays are sorted by address and
 * service.
 */
static void pair(struct want **wants, size_t n_wants, struct entry **entries, size_t n_entries,
                 bool same_service)
{
        size_t i = 0, j = 0;

        while (i < n_wants && j < n_entries) {
                struct want *want = wants[i];
                struct entry *entry = entries[j];
                int order = compare_want_with_entry(want, entry, same_service);

                if (want->entry || (order < 0 && !entry->next)) {
                        i++;
                } else if (entry->next || order > 0) {
                        j++;
                } else {
                        want->entry = entry;
                        entry->next = want->config;
                }
        }
}

/* Return: the unix socket whose file @address names by another path; NULL: there is none. */
static struct entry *find_file(struct entry **entries, size_t n, const struct address *address)
{
        for (size_t i = 0; i < n; i++)
                if (!entries[i]->next && listener_is_at(entries[i]->listener, address))
                        return entries[i];
        return NULL;
}

/* Gives each want without an entry the unix socket of the same file. */
static void pair_files(struct plan *plan, struct entry **entries, size_t n_entries)
{
        struct socket_file file;

        for (size_t i = 0; i < plan->n_wants; i++) {
                struct want *want = &plan->wants[i];

                if (want->entry || want->listen->sa.sa_family != AF_UNIX ||
                    socket_file_of(want->listen, &file) < 0)
                        continue;
                want->entry = find_file(entries, n_entries, want->listen);
                if (want->entry)
                        want->entry->next = want->config;
        }
}

static size_t count_entries(const struct plan *plan)
{
        const struct entry *entry;
        size_t n = 0;

        TAILQ_FOREACH(entry, plan->entries, entries)
                n++;
        return n;
}

/* Keeps the sockets opened here whose "listen" is still asked for. Return: 0; -ENOMEM. */
static int keep_opened(struct plan *plan)
{
        size_t n = count_entries(plan), n_entries = 0;
        _cleanup_(freep) struct want **wants = calloc(plan->n_wants + 1, sizeof(struct want *));
        _cleanup_(freep) struct entry **entries = calloc(n + 1, sizeof(struct entry *));
        struct entry *entry;

        if (!wants || !entries)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_wants; i++)
                wants[i] = &plan->wants[i];
        TAILQ_FOREACH(entry, plan->entries, entries)
                if (!entry->is_passed && !entry->retired && listener_is_found(entry->listener))
                        entries[n_entries++] = entry;
        qsort(wants, plan->n_wants, sizeof(struct want *), compare_wants);
        qsort(entries, n_entries, sizeof(struct entry *), compare_entries);
        pair(wants, plan->n_wants, entries, n_entries, true);
        pair(wants, plan->n_wants, entries, n_entries, false);
        pair_files(plan, entries, n_entries);
        return 0;
}

/*
 * Whether a socket on @wide gets all clients of @address, unless another socket has a more specific
 * address.
 */
static bool covers(const struct address *wide, const struct address *address)
{
        return address_is_any(wide) && address_overlaps(wide, address) &&
               !address_equal(wide, address) && (wide->any || !address_is_any(address));
}

/* Keeps the sockets whose address is part of one that is asked for. Return: 0; -ENOMEM. */
static int keep_covered(struct plan *plan)
{
        _cleanup_(address_index_freep) struct address_index *wide = NULL;
        struct entry *entry;
        int r = address_index_new(plan->n_wants, &wide);

        if (r < 0)
                return r;
        for (size_t i = 0; i < plan->n_wants; i++)
                if (address_is_any(plan->wants[i].listen))
                        address_index_add(wide, plan->wants[i].listen, &plan->wants[i]);
        TAILQ_FOREACH(entry, plan->entries, entries) {
                const struct address *own = listener_address(entry->listener), *found;
                const void *want;

                entry->covered = false;
                if (entry->next || entry->retired)
                        continue;
                found = address_index_find_overlap(wide, own, &want);
                entry->covered = found && covers(found, own);
                if (entry->covered)
                        entry->next = ((const struct want *)want)->config;
        }
        return 0;
}

/* Whether the entry is open for no want. */
static bool is_unasked(const struct entry *entry)
{
        return !entry->next || entry->covered;
}

/* Return: 0; -ENOMEM. */
static int index_unasked(struct plan *plan)
{
        const struct entry *entry;
        int r = address_index_new(count_entries(plan), &plan->unasked);

        if (r < 0)
                return r;
        TAILQ_FOREACH(entry, plan->entries, entries)
                if (is_unasked(entry))
                        address_index_add(plan->unasked, listener_address(entry->listener), entry);
        return 0;
}

int plan_make(struct plan *plan, struct entry_list *entries, const struct passed *passed,
              const struct config *config)
{
        struct entry *entry;
        int r;

        *plan = (struct plan){ .entries = entries };
        TAILQ_INIT(&plan->opened);
        TAILQ_FOREACH(entry, entries, entries)
                entry->next = entry->is_passed ? passed_service(passed, entry->passed_index, config)
                                               : NULL;
        r = list_wants(plan, passed, config);
        if (r == 0)
                r = keep_opened(plan);
        if (r == 0)
                r = keep_covered(plan);
        return r < 0 ? r : index_unasked(plan);
}

void plan_deinit(struct plan *plan)
{
        entry_list_free(&plan->opened);
        free(plan->wants);
        address_index_free(plan->unasked);
}

/* Opening */

/* Lets new sockets overlap with those that are open for no want, or no longer. */
static void offer_unasked(const struct plan *plan, bool offer)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, plan->entries, entries)
                if (is_unasked(entry))
                        listener_offer(entry->listener, offer);
}

/* @share: another socket of this process overlaps with the address. */
static int open_one(struct plan *plan, struct entry_owner *owner, const struct want *want,
                    bool share, char *why)
{
        _cleanup_(closep) int fd = -1;
        char text[ADDRESS_TEXT_SIZE];
        struct entry *entry;
        int r = listener_bind(want->listen, &want->config->socket_access,
                              (int)want->config->backlog, share, &fd);

        if (r == 0)
                r = entry_new(owner, fd, want->config, false, &entry);
        if (r < 0) {
                (void)snprintf(why, PLAN_WHY_SIZE, "%.64s: cannot listen on %s: %s",
                               want->config->name, address_format(want->listen, text),
                               loop_strerror(r));
                return r;
        }
        fd = -1;
        entry->configured = *want->listen; /* NOLINT(clang-analyzer-core.*): set by entry_new() */
        TAILQ_INSERT_TAIL(&plan->opened, entry, entries);
        return 0;
}

/* Opens a socket for each want that has none. */
static int open_missing(struct plan *plan, struct entry_owner *owner, char *why)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < plan->n_wants; i++) {
                const struct want *want = &plan->wants[i];
                bool share;

                if (want->entry)
                        continue;
                share = address_index_find_overlap(plan->unasked, want->listen, NULL);
                r = open_one(plan, owner, want, share, why);
        }
        return r;
}

/* Gives the entries of the first @n wants the access that their service still has. */
static void restore_access(const struct plan *plan, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct entry *entry = plan->wants[i].entry;

                if (entry)
                        (void)!listener_set_access(entry->listener, &entry->config->socket_access);
        }
}

/* Changes the access to sockets that stay, where the configuration has changed it. */
static int change_access(const struct plan *plan, char *why)
{
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < plan->n_wants; i++) {
                const struct want *want = &plan->wants[i];
                int r = 0;

                if (want->entry && !socket_access_equal(&want->entry->config->socket_access,
                                                        &want->config->socket_access))
                        r = listener_set_access(want->entry->listener,
                                                &want->config->socket_access);
                if (r == 0)
                        continue;
                (void)snprintf(why, PLAN_WHY_SIZE, "%.64s: cannot set the mode and group of %s: %s",
                               want->config->name, address_format(want->listen, text),
                               loop_strerror(r));
                restore_access(plan, i);
                return r;
        }
        return 0;
}

/* Makes entries of the passed sockets. Only the first plan finds any. */
static int adopt_passed(struct plan *plan, struct entry_owner *owner, struct passed *passed,
                        const struct config *config, char *why)
{
        for (size_t i = 0; i < passed->n; i++) {
                struct passed_socket *socket = &passed->sockets[i];
                struct entry *entry;
                int r;

                if (socket->fd < 0)
                        continue;
                r = entry_new(owner, socket->fd, passed_service(passed, i, config), true, &entry);
                if (r < 0) {
                        (void)snprintf(why, PLAN_WHY_SIZE, "cannot use passed socket \"%s\": %s",
                                       socket->name, loop_strerror(r));
                        return r;
                }
                socket->fd = -1;
                entry->passed_index = i; /* NOLINT(clang-analyzer-core.*): set by entry_new() */
                TAILQ_INSERT_TAIL(&plan->opened, entry, entries);
        }
        return 0;
}

int plan_open(struct plan *plan, struct entry_owner *owner, struct passed *passed,
              const struct config *config, char *why)
{
        int r;

        offer_unasked(plan, true);
        r = adopt_passed(plan, owner, passed, config, why);
        if (r == 0)
                r = open_missing(plan, owner, why);
        if (r == 0)
                r = change_access(plan, why);
        offer_unasked(plan, false);
        return r;
}

void plan_commit(struct plan *plan)
{
        for (size_t i = 0; i < plan->n_wants; i++)
                if (plan->wants[i].entry) /* a unix socket may stay for another path to it */
                        plan->wants[i].entry->configured = *plan->wants[i].listen;
        TAILQ_CONCAT(plan->entries, &plan->opened, entries);
}
