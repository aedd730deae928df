/*
 * The set of listeners. To apply a configuration is to plan which sockets stay, to open what is
 * missing, and only then, when nothing can fail any more, to close the sockets that do not stay.
 *
 * There may be thousands of addresses, and clients wait meanwhile: so addresses are matched by
 * sorting or through an index, never each with each.
 */
#include "listeners.h"
#include "address_index.h"
#include "passed.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>

struct entry {
        TAILQ_ENTRY(entry) entries;
        struct listeners *set;
        struct listener *listener;
        struct address configured; /* the "listen" it was opened for, unless passed */
        bool is_passed;            /* by systemd; @passed_index says which */
        size_t passed_index;
        struct config *config; /* of @service, a reference; NULL: not in force yet */
        const struct service *service;
        const struct service *next_service; /* of the next configuration; NULL: it does not stay */
        bool extra;                         /* it stays though no "listen" is its own */
        bool retired;                       /* it is closed soon: */
        uint64_t retired_until_usec;
};

TAILQ_HEAD(entry_list, entry);

struct listeners {
        struct entry_list entries;
        struct passed *passed;
        struct timer retirement; /* the next retired socket is to be closed */
        struct loop *loop;
        const struct listeners_events *events;
        void *arg;
};

static void on_accept(struct listener *listener, int fd, const struct address *peer, void *arg)
{
        const struct entry *entry = arg;

        (void)listener;
        entry->set->events->on_accept(entry->set->arg, entry->config, entry->service, fd, peer);
}

static void on_error(struct listener *listener, int error, void *arg)
{
        const struct entry *entry = arg;

        (void)listener;
        entry->set->events->on_error(entry->set->arg, error);
}

static const struct listener_events entry_events = {
        .on_accept = on_accept,
        .on_error = on_error,
};

/* Entries */

static struct entry *entry_free(struct entry *entry)
{
        if (!entry)
                return NULL;
        listener_free(entry->listener);
        config_unref(entry->config);
        free(entry);
        return NULL;
}

static void entry_freep(struct entry **entry)
{
        entry_free(*entry);
}

/* Makes an entry of a listening socket. @fd is consumed on success. */
static int entry_new(struct listeners *set, int fd, const struct service *service, bool is_passed,
                     struct entry **out)
{
        _cleanup_(entry_freep) struct entry *entry = calloc(1, sizeof(*entry));
        int r;

        if (!entry)
                return -ENOMEM;
        entry->set = set;
        entry->is_passed = is_passed;
        entry->next_service = service;
        r = listener_new(set->loop, fd, !is_passed, &service->socket, &entry_events, entry,
                         &entry->listener);
        if (r < 0)
                return r;
        *out = entry;
        entry = NULL;
        return 0;
}

/* Makes it serve clients for a service. */
static void entry_set_service(struct entry *entry, struct config *config,
                              const struct service *service)
{
        config_ref(config);
        config_unref(entry->config);
        entry->config = config;
        entry->service = service;
}

static void log_entry(enum log_kind kind, const char *words, const struct entry *entry)
{
        const struct log_about about = { .service = entry->service->name };
        char address[ADDRESS_TEXT_SIZE];

        log_write(kind, &about, "%s %s%s", words,
                  address_format(listener_address(entry->listener), address),
                  entry->is_passed ? " passed by systemd" : "");
}

static void free_entries(struct entry_list *list)
{
        struct entry *entry;

        while ((entry = TAILQ_FIRST(list))) {
                TAILQ_REMOVE(list, entry, entries);
                entry_free(entry);
        }
}

/* Retirement */

/* Accepts who has connected, and stops listening. */
static void entry_close(struct entry *entry)
{
        listener_accept_pending(entry->listener);
        TAILQ_REMOVE(&entry->set->entries, entry, entries);
        entry_free(entry);
}

/* Closes the sockets whose time has come. */
static void on_retirement(struct timer *timer)
{
        struct listeners *set = container_of(timer, struct listeners, retirement);
        struct entry *entry, *next;
        uint64_t now = now_usec(), first = UINT64_MAX;

        for (entry = TAILQ_FIRST(&set->entries); entry; entry = next) {
                next = TAILQ_NEXT(entry, entries);
                if (!entry->retired)
                        continue;
                if (entry->retired_until_usec <= now)
                        entry_close(entry);
                else if (entry->retired_until_usec < first)
                        first = entry->retired_until_usec;
        }
        if (first != UINT64_MAX)
                (void)!timer_set(timer, first); /* there is room: it has just been set */
        set->events->on_retired(set->arg);
}

/* Lets clients that are in the middle of connecting finish, and then closes the socket. */
static void entry_retire(struct entry *entry)
{
        struct listeners *set = entry->set;
        uint64_t until = now_usec() + LISTENER_RETIRE_USEC;

        if (listener_retire(entry->listener) < 0 ||
            (!timer_is_set(&set->retirement) && timer_set(&set->retirement, until) < 0)) {
                entry_close(entry);
                return;
        }
        entry->retired = true;
        entry->retired_until_usec = until;
        listener_accept_pending(entry->listener);
}

static void listeners_freep(struct listeners **set)
{
        listeners_free(*set);
}

int listeners_new(struct loop *loop, const struct listeners_events *events, void *arg, char *why,
                  struct listeners **out)
{
        _cleanup_(listeners_freep) struct listeners *set = calloc(1, sizeof(*set));
        int r;

        (void)snprintf(why, LISTENERS_WHY_SIZE, "out of memory");
        if (!set)
                return -ENOMEM;
        TAILQ_INIT(&set->entries);
        timer_init(&set->retirement, loop_timers(loop), on_retirement);
        set->loop = loop;
        set->events = events;
        set->arg = arg;
        r = passed_take(why, &set->passed);
        if (r < 0)
                return r;
        *out = set;
        set = NULL;
        return 0;
}

struct listeners *listeners_free(struct listeners *set)
{
        if (!set)
                return NULL;
        timer_stop(&set->retirement);
        free_entries(&set->entries);
        passed_free(set->passed);
        free(set);
        return NULL;
}

_Static_assert(LISTENERS_WHY_SIZE >= PASSED_WHY_SIZE, "both write to one buffer");

int listeners_match(const struct listeners *set, const struct config *config, char *why)
{
        return passed_check(set->passed, config, why);
}

/* Putting a configuration into force */

/* One address that a service is to listen on. */
struct want {
        const struct service *service;
        const struct address *listen;
        struct entry *entry; /* the socket that stays for it; NULL: one has to be opened */
};

/* What a configuration asks for, and what there is. */
struct plan {
        struct want *wants; /* but for services with passed sockets */
        size_t n_wants;
        struct address_index *others; /* addresses of sockets that are there for no want */
};

static void plan_deinit(struct plan *plan)
{
        free(plan->wants);
        address_index_free(plan->others);
}

/* Lists what @config asks for. Return: 0; -ENOMEM. */
static int list_wants(const struct listeners *set, const struct config *config, struct plan *plan)
{
        _cleanup_(freep) bool *passed = passed_flags(set->passed, config);
        size_t n = 0;

        for (size_t i = 0; i < config->n_services; i++)
                n += config->services[i].n_listen;
        plan->wants = calloc(n + 1, sizeof(*plan->wants));
        if (!passed || !plan->wants)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0; !passed[i] && j < config->services[i].n_listen; j++)
                        plan->wants[plan->n_wants++] = (struct want){
                                .service = &config->services[i],
                                .listen = &config->services[i].listen[j],
                        };
        return 0;
}

static int compare_wants(const void *a, const void *b)
{
        const struct want *x = *(struct want *const *)a, *y = *(struct want *const *)b;
        int order = address_compare(x->listen, y->listen);

        return order ? order : strcmp(x->service->name, y->service->name);
}

static int compare_entries(const void *a, const void *b)
{
        const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
        int order = address_compare(&x->configured, &y->configured);

        return order ? order : strcmp(x->service->name, y->service->name);
}

static int compare_want_with_entry(const struct want *want, const struct entry *entry,
                                   bool same_service)
{
        int order = address_compare(want->listen, &entry->configured);

        if (order || !same_service)
                return order;
        return strcmp(want->service->name, entry->service->name);
}

/* Gives each want an entry of its address, if there is one; both are sorted by address and name. */
static void pair(struct want **wants, size_t n_wants, struct entry **entries, size_t n_entries,
                 bool same_service)
{
        size_t i = 0, j = 0;

        while (i < n_wants && j < n_entries) {
                struct want *want = wants[i];
                struct entry *entry = entries[j];
                int order = compare_want_with_entry(want, entry, same_service);

                if (want->entry || (order < 0 && !entry->next_service)) {
                        i++;
                } else if (entry->next_service || order > 0) {
                        j++;
                } else {
                        want->entry = entry;
                        entry->next_service = want->service;
                }
        }
}

/* Finds the unix socket at @address that has another path to it; NULL: there is none. */
static struct entry *find_file(struct entry **entries, size_t n, const struct address *address)
{
        for (size_t i = 0; i < n; i++)
                if (!entries[i]->next_service && listener_is_at(entries[i]->listener, address))
                        return entries[i];
        return NULL;
}

/* Gives each want that has none a unix socket at the same place. */
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
                        want->entry->next_service = want->service;
        }
}

/*
 * Decides which of the sockets opened here stay: those whose "listen" is still asked for, by the
 * same service if possible, because port 0 is the "listen" of many.
 */
static int keep_opened(struct listeners *set, struct plan *plan)
{
        size_t n = listeners_count(set), n_entries = 0;
        _cleanup_(freep) struct want **wants = calloc(plan->n_wants + 1, sizeof(struct want *));
        _cleanup_(freep) struct entry **entries = calloc(n + 1, sizeof(struct entry *));
        struct entry *entry;

        if (!wants || !entries)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_wants; i++)
                wants[i] = &plan->wants[i];
        TAILQ_FOREACH(entry, &set->entries, entries)
                if (!entry->is_passed && !entry->retired && listener_is_found(entry->listener))
                        entries[n_entries++] = entry;
        qsort(wants, plan->n_wants, sizeof(struct want *), compare_wants);
        qsort(entries, n_entries, sizeof(struct entry *), compare_entries);
        pair(wants, plan->n_wants, entries, n_entries, true);
        pair(wants, plan->n_wants, entries, n_entries, false);
        pair_files(plan, entries, n_entries);
        return 0;
}

/* Whether a socket on @wide gets all clients of @address, but for those of a more special one. */
static bool covers(const struct address *wide, const struct address *address)
{
        return address_is_any(wide) && address_overlaps(wide, address) &&
               !address_equal(wide, address) && (wide->any || !address_is_any(address));
}

/*
 * Keeps the sockets whose address is a part of one that is to be listened on, such as 127.0.0.1:7
 * of
 * *:7. To close one loses whoever connects in that moment, even if another socket takes over: Linux
 * has chosen the socket by then. While it stays, nobody can tell.
 */
static int keep_covered(struct listeners *set, struct plan *plan)
{
        _cleanup_(address_index_freep) struct address_index *wide = NULL;
        struct entry *entry;
        int r = address_index_new(plan->n_wants, &wide);

        if (r < 0)
                return r;
        for (size_t i = 0; i < plan->n_wants; i++)
                if (address_is_any(plan->wants[i].listen))
                        address_index_add(wide, plan->wants[i].listen, plan->wants[i].service);
        TAILQ_FOREACH(entry, &set->entries, entries) {
                const struct address *own = listener_address(entry->listener), *found;
                const void *service;

                entry->extra = false;
                if (entry->next_service || entry->retired)
                        continue;
                found = address_index_find_overlap(wide, own, &service);
                entry->extra = found && covers(found, own);
                if (entry->extra)
                        entry->next_service = service;
        }
        return 0;
}

static bool is_other(const struct entry *entry)
{
        return !entry->next_service || entry->extra;
}

/* Indexes the addresses of the sockets that are there for no want. Return: 0; -ENOMEM. */
static int index_others(const struct listeners *set, struct plan *plan)
{
        const struct entry *entry;
        int r = address_index_new(listeners_count(set), &plan->others);

        if (r < 0)
                return r;
        TAILQ_FOREACH(entry, &set->entries, entries)
                if (is_other(entry))
                        address_index_add(plan->others, listener_address(entry->listener), entry);
        return 0;
}

/* Decides which sockets stay and what has to be opened. Return: 0; -ENOMEM. */
static int make_plan(struct listeners *set, const struct config *config, struct plan *plan)
{
        struct entry *entry;
        int r;

        TAILQ_FOREACH(entry, &set->entries, entries)
                entry->next_service =
                        entry->is_passed ? passed_service(set->passed, entry->passed_index, config)
                                         : NULL;
        r = list_wants(set, config, plan);
        if (r == 0)
                r = keep_opened(set, plan);
        if (r == 0)
                r = keep_covered(set, plan);
        return r < 0 ? r : index_others(set, plan);
}

/* Lets the sockets opened next overlap with those that are there for no want, or no longer. */
static void offer_others(struct listeners *set, bool offer)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                if (is_other(entry))
                        listener_offer(entry->listener, offer);
}

/* @share: another socket of ours has a part of the address. */
static int open_one(struct listeners *set, const struct want *want, bool share,
                    struct entry_list *fresh, char *why)
{
        _cleanup_(closep) int fd = -1;
        char text[ADDRESS_TEXT_SIZE];
        struct entry *entry;
        int r = listener_bind(want->listen, &want->service->socket_access,
                              (int)want->service->backlog, share, &fd);

        if (r == 0)
                r = entry_new(set, fd, want->service, false, &entry);
        if (r < 0) {
                (void)snprintf(why, LISTENERS_WHY_SIZE, "%.64s: cannot listen on %s: %s",
                               want->service->name, address_format(want->listen, text),
                               loop_strerror(r));
                return r;
        }
        fd = -1;
        entry->configured = *want->listen; /* NOLINT(clang-analyzer-core.*): set by entry_new() */
        TAILQ_INSERT_TAIL(fresh, entry, entries);
        return 0;
}

/* Opens all that is asked for and not there yet. */
static int open_missing(struct listeners *set, const struct plan *plan, struct entry_list *fresh,
                        char *why)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < plan->n_wants; i++) {
                const struct want *want = &plan->wants[i];
                bool share;

                if (want->entry)
                        continue;
                share = address_index_find_overlap(plan->others, want->listen, NULL);
                r = open_one(set, want, share, fresh, why);
        }
        return r;
}

/* Gives back to the first @n sockets that stay the access of their service so far. */
static void restore_access(const struct plan *plan, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct entry *entry = plan->wants[i].entry;

                if (entry)
                        (void)!listener_set_access(entry->listener, &entry->service->socket_access);
        }
}

/* Gives the sockets that stay the access that is asked for now, if that is not what it was: what
 * has been changed by hand stays. */
static int change_access(const struct plan *plan, char *why)
{
        char text[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < plan->n_wants; i++) {
                const struct want *want = &plan->wants[i];
                int r = 0;

                if (want->entry && !socket_access_equal(&want->entry->service->socket_access,
                                                        &want->service->socket_access))
                        r = listener_set_access(want->entry->listener,
                                                &want->service->socket_access);
                if (r == 0)
                        continue;
                (void)snprintf(why, LISTENERS_WHY_SIZE,
                               "%.64s: cannot set the mode and group of %s: %s",
                               want->service->name, address_format(want->listen, text),
                               loop_strerror(r));
                restore_access(plan, i);
                return r;
        }
        return 0;
}

/* Makes entries of the passed sockets: at the first configuration only. */
static int adopt_passed(struct listeners *set, const struct config *config,
                        struct entry_list *fresh, char *why)
{
        for (size_t i = 0; i < set->passed->n; i++) {
                struct passed_socket *socket = &set->passed->sockets[i];
                struct entry *entry;
                int r;

                if (socket->fd < 0)
                        continue;
                r = entry_new(set, socket->fd, passed_service(set->passed, i, config), true,
                              &entry);
                if (r < 0) {
                        (void)snprintf(why, LISTENERS_WHY_SIZE,
                                       "cannot use passed socket \"%s\": %s", socket->name,
                                       loop_strerror(r));
                        return r;
                }
                socket->fd = -1;
                entry->passed_index = i; /* NOLINT(clang-analyzer-core.*): set by entry_new() */
                TAILQ_INSERT_TAIL(fresh, entry, entries);
        }
        return 0;
}

/* Warns of services whose passed sockets are not what the file says. */
static void log_differences(const struct listeners *set, const struct config *config)
{
        char difference[PASSED_WHY_SIZE];

        for (size_t i = 0; i < set->passed->n; i++) {
                const struct service *service =
                        passed_difference(set->passed, i, config, difference);
                const struct log_about about = { .service = service ? service->name : NULL };

                if (service)
                        log_write(LOG_PASSED_DIFFERS, &about, "%s", difference);
        }
}

/* A unix socket may stay for another path than the one it was opened for. */
static void rename_configured(const struct plan *plan)
{
        for (size_t i = 0; i < plan->n_wants; i++)
                if (plan->wants[i].entry)
                        plan->wants[i].entry->configured = *plan->wants[i].listen;
}

/* Retires the sockets that do not stay. Their last clients get what the file now says. */
static void retire_leaving(struct listeners *set, struct config *config)
{
        const struct service *service;
        struct entry *entry, *next;

        for (entry = TAILQ_FIRST(&set->entries); entry; entry = next) {
                next = TAILQ_NEXT(entry, entries);
                if (entry->next_service)
                        continue;
                service = config_find_service(config, entry->service->name);
                if (!entry->retired)
                        log_entry(LOG_NOT_LISTENING, "no longer listening on", entry);
                if (service)
                        entry_set_service(entry, config, service);
                if (!entry->retired)
                        entry_retire(entry);
        }
}

/*
 * Lets a socket stay, for its next service. Nothing is set anew that stays the same: with thousands
 * of sockets the system calls would hold clients up (measured with 3,000: 9 ms).
 */
static void entry_keep(struct entry *entry, struct config *config)
{
        const struct service *next = entry->next_service;
        bool moved = strcmp(entry->service->name, next->name) != 0;
        bool new_backlog = entry->service->backlog != next->backlog;
        bool new_options = memcmp(&entry->service->socket, &next->socket, sizeof(next->socket));

        entry_set_service(entry, config, next);
        if (moved)
                log_entry(LOG_LISTENING, "listening on", entry);
        if (new_options)
                listener_set_options(entry->listener, &next->socket);
        if (new_backlog && !entry->is_passed)
                listener_set_backlog(entry->listener, (int)next->backlog);
}

static void commit(struct listeners *set, struct config *config, struct entry_list *fresh)
{
        struct entry *entry;

        retire_leaving(set, config);
        TAILQ_FOREACH(entry, &set->entries, entries)
                if (!entry->retired)
                        entry_keep(entry, config);
        TAILQ_FOREACH(entry, fresh, entries) {
                entry_set_service(entry, config, entry->next_service);
                log_entry(LOG_LISTENING, "listening on", entry);
        }
        TAILQ_CONCAT(&set->entries, fresh, entries);
}

int listeners_apply(struct listeners *set, struct config *config, char *why)
{
        _cleanup_(plan_deinit) struct plan plan = { 0 };
        struct entry_list fresh = TAILQ_HEAD_INITIALIZER(fresh);
        int r;

        (void)snprintf(why, LISTENERS_WHY_SIZE, "out of memory");
        r = make_plan(set, config, &plan);
        if (r < 0)
                return r;
        offer_others(set, true);
        r = adopt_passed(set, config, &fresh, why);
        if (r == 0)
                r = open_missing(set, &plan, &fresh, why);
        if (r == 0)
                r = change_access(&plan, why);
        offer_others(set, false);
        if (r < 0) {
                free_entries(&fresh);
                return r;
        }
        rename_configured(&plan);
        commit(set, config, &fresh);
        log_differences(set, config);
        return 0;
}

const char *listeners_describe(const struct listeners *set, char *out)
{
        const size_t room = LISTENERS_TEXT_SIZE - sizeof(", and 18446744073709551615 more");
        size_t length = 0, n = 0;
        const struct entry *entry;

        out[0] = '\0';
        TAILQ_FOREACH(entry, &set->entries, entries) {
                char address[ADDRESS_TEXT_SIZE];
                size_t added = (size_t)snprintf(out + length, room - length, "%s%s on %s",
                                                n ? ", " : "", entry->service->name,
                                                address_format(listener_address(entry->listener),
                                                               address));

                if (added >= room - length)
                        break;
                length += added;
                n++;
        }
        out[length] = '\0';
        if (n < listeners_count(set))
                (void)snprintf(out + length, LISTENERS_TEXT_SIZE - length, "%s%zu more",
                               n ? ", and " : "", listeners_count(set) - n);
        return out;
}

size_t listeners_count(const struct listeners *set)
{
        const struct entry *entry;
        size_t n = 0;

        TAILQ_FOREACH(entry, &set->entries, entries)
                n++;
        return n;
}

size_t listeners_retire(struct listeners *set)
{
        struct entry *entry, *next;
        size_t n = 0;

        for (entry = TAILQ_FIRST(&set->entries); entry; entry = next) {
                next = TAILQ_NEXT(entry, entries);
                if (!entry->is_passed && !entry->retired)
                        entry_retire(entry);
        }
        TAILQ_FOREACH(entry, &set->entries, entries)
                n += entry->retired;
        return n;
}

void listeners_pause(struct listeners *set)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                listener_pause(entry->listener);
}

int listeners_resume(struct listeners *set)
{
        struct entry *entry;
        int r = 0;

        TAILQ_FOREACH(entry, &set->entries, entries)
                if (listener_resume(entry->listener) < 0)
                        r = -ENOMEM;
        return r;
}

void listeners_accept_pending(struct listeners *set)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                listener_accept_pending(entry->listener);
}
