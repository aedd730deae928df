/* SPDX-License-Identifier: MIT */
#include "listeners.h"
#include "entry.h"
#include "passed.h"
#include "plan.h"

#include <errno.h>
#include <string.h>

/* How long to wait for a descriptor while no connection ends. */
#define RETRY_USEC USEC_PER_SEC

/* A failure to accept is logged if there was none for this long. */
#define QUIET_USEC (10 * USEC_PER_SEC)

struct listeners {
        struct entry_owner owner;
        struct entry_list entries;
        struct passed *passed;
        struct timer retirement;   /* the next retired socket is to be closed */
        struct timer retry;        /* set while accepting is paused: try again */
        uint64_t last_failed_usec; /* when accepting failed last; 0: never */
        const struct listeners_events *events;
        void *arg;
};

/* Accepting */

static void on_accept(struct entry_owner *owner, const struct entry *entry, int fd,
                      const struct address *peer)
{
        const struct listeners *set = container_of(owner, struct listeners, owner);

        set->events->on_accept(set->arg, entry->service, entry->config, fd, peer);
}

static void pause_accepting(struct listeners *set)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                listener_pause(entry->listener);
}

static void resume_accepting(struct listeners *set)
{
        struct entry *entry;
        int r = 0;

        TAILQ_FOREACH(entry, &set->entries, entries)
                if (listener_resume(entry->listener) < 0)
                        r = -ENOMEM;
        if (r == 0)
                timer_stop(&set->retry);
        else
                (void)!timer_set(&set->retry, now_usec() + RETRY_USEC);
}

void listeners_resume(struct listeners *set)
{
        if (timer_is_set(&set->retry))
                resume_accepting(set);
}

static void on_retry(struct timer *timer)
{
        resume_accepting(container_of(timer, struct listeners, retry));
}

/*
 * A listener whose client cannot be accepted stays readable, and the loop would spin. So accepting
 * pauses. While descriptors are short, another failure follows each connection that ends; only the
 * first failure is logged.
 */
static void on_error(struct entry_owner *owner, int error)
{
        struct listeners *set = container_of(owner, struct listeners, owner);
        bool exhausted = listener_is_exhausted(error);
        uint64_t now = now_usec();

        if (set->last_failed_usec == 0 || now - set->last_failed_usec > QUIET_USEC)
                log_write(LOG_ACCEPT_PAUSED, NULL, "cannot accept: %s; clients wait until %s",
                          loop_strerror(error),
                          exhausted ? "a connection ends" : "it works, tried every second");
        set->last_failed_usec = now;
        if (timer_set(&set->retry, now + RETRY_USEC) < 0)
                resume_accepting(set);
        else if (exhausted)
                pause_accepting(set);
}

/* Retirement */

/* Closes the socket, and so refuses the clients that have connected. */
static void drop_entry(struct listeners *set, struct entry *entry)
{
        TAILQ_REMOVE(&set->entries, entry, entries);
        entry_free(entry);
}

/* Accepts the clients that have connected, and closes the socket. */
static void close_entry(struct listeners *set, struct entry *entry)
{
        listener_accept_pending(entry->listener);
        drop_entry(set, entry);
}

/* Closes the sockets that have been retired for long enough. */
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
                        close_entry(set, entry);
                else if (entry->retired_until_usec < first)
                        first = entry->retired_until_usec;
        }
        if (first != UINT64_MAX)
                (void)!timer_set(timer, first); /* the timer has just fired, so there is room */
        set->events->on_retired(set->arg);
}

/* Lets clients that are in the middle of connecting finish; the socket is closed later. */
static void retire_entry(struct listeners *set, struct entry *entry)
{
        uint64_t until = now_usec() + LISTENER_RETIRE_USEC;

        if (listener_retire(entry->listener) < 0 ||
            (!timer_is_set(&set->retirement) && timer_set(&set->retirement, until) < 0)) {
                close_entry(set, entry);
                return;
        }
        entry->retired = true;
        entry->retired_until_usec = until;
        listener_accept_pending(entry->listener);
}

/* Life */

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
        timer_init(&set->retry, loop_timers(loop), on_retry);
        set->owner = (struct entry_owner){
                .loop = loop,
                .on_accept = on_accept,
                .on_error = on_error,
        };
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
        timer_stop(&set->retry);
        entry_list_free(&set->entries);
        passed_free(set->passed);
        free(set);
        return NULL;
}

_Static_assert(LISTENERS_WHY_SIZE >= PASSED_WHY_SIZE, "both write to @why");

_Static_assert(LISTENERS_WHY_SIZE >= PLAN_WHY_SIZE, "both write to @why");

int listeners_match(const struct listeners *set, const struct config *config, char *why)
{
        return passed_check(set->passed, config, why);
}

/* Applying a configuration */

/* Warns of each service whose passed sockets differ from its "listen". */
static void log_differences(const struct listeners *set, const struct config *config)
{
        char difference[PASSED_WHY_SIZE];

        for (size_t i = 0; i < set->passed->n; i++) {
                const struct service_config *service =
                        passed_difference(set->passed, i, config, difference);
                const struct log_about about = { .service = service ? service->name : NULL };

                if (service)
                        log_write(LOG_PASSED_DIFFERS, &about, "%s", difference);
        }
}

/*
 * Closes or retires a socket that does not stay. The last clients of a retired socket get the
 * settings of the new configuration. A socket of a disabled service is closed at once.
 */
static void give_up(struct listeners *set, struct entry *entry, const struct config *config)
{
        struct service_config *changed = config_find_service(config, service_name(entry->service));

        if (!entry->retired)
                entry_log(entry, LOG_NOT_LISTENING, "no longer listening on");
        if (changed && !changed->enabled) {
                drop_entry(set, entry);
                return;
        }
        if (changed)
                entry_set_service(entry, entry->service, changed);
        if (!entry->retired)
                retire_entry(set, entry);
}

static void give_up_leaving(struct listeners *set, const struct config *config)
{
        struct entry *entry, *next;

        for (entry = TAILQ_FIRST(&set->entries); entry; entry = next) {
                next = TAILQ_NEXT(entry, entries);
                if (!entry->next)
                        give_up(set, entry, config);
        }
}

/*
 * Gives a socket that stays or is new to its next service. Unchanged options are not set again:
 * with thousands of sockets the system calls would delay clients (measured with 3,000: 9 ms).
 */
static void update_entry(struct entry *entry, const struct registry *registry)
{
        const struct service_config *before = entry->config, *next = entry->next;
        struct service *service = registry_find(registry, next->name);
        bool moved = entry->service != service;
        bool new_backlog = before && before->backlog != next->backlog;
        bool new_options = before && !socket_options_equal(&before->socket, &next->socket);

        if (!moved && before == next)
                return;
        entry_set_service(entry, service, entry->next);
        if (moved)
                entry_log(entry, LOG_LISTENING, "listening on");
        if (new_options)
                listener_set_options(entry->listener, &next->socket);
        if (new_backlog && !entry->is_passed)
                listener_set_backlog(entry->listener, (int)next->backlog);
}

int listeners_apply(struct listeners *set, const struct config *config,
                    const struct registry *registry, char *why)
{
        _cleanup_(plan_deinit) struct plan plan;
        struct entry *entry;
        int r;

        (void)snprintf(why, LISTENERS_WHY_SIZE, "out of memory");
        r = plan_make(&plan, &set->entries, set->passed, config);
        if (r == 0)
                r = plan_open(&plan, &set->owner, set->passed, config, why);
        if (r < 0)
                return r;
        give_up_leaving(set, config);
        plan_commit(&plan);
        TAILQ_FOREACH(entry, &set->entries, entries)
                if (!entry->retired)
                        update_entry(entry, registry);
        log_differences(set, config);
        return 0;
}

/* The set as a whole */

const char *listeners_describe(const struct listeners *set, char *out)
{
        const size_t room = LISTENERS_TEXT_SIZE - sizeof(", and 18446744073709551615 more");
        size_t length = 0, n = 0;
        const struct entry *entry;

        out[0] = '\0';
        TAILQ_FOREACH(entry, &set->entries, entries) {
                char address[ADDRESS_TEXT_SIZE];
                size_t added = (size_t)snprintf(out + length, room - length, "%s%s on %s",
                                                n ? ", " : "", service_name(entry->service),
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

bool listeners_find_address(const struct listeners *set, const char *service, struct address *out)
{
        const struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries) {
                if (entry->retired || !entry->service ||
                    strcmp(service_name(entry->service), service) != 0)
                        continue;
                *out = *listener_address(entry->listener);
                return true;
        }
        return false;
}

const char *listeners_find_other(const struct listeners *set, const struct address *address,
                                 const char *service)
{
        const struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                if (!entry->retired && entry->service &&
                    address_overlaps(listener_address(entry->listener), address) &&
                    strcmp(service_name(entry->service), service) != 0)
                        return service_name(entry->service);
        return NULL;
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
                        retire_entry(set, entry);
        }
        TAILQ_FOREACH(entry, &set->entries, entries)
                n += entry->retired;
        return n;
}

void listeners_accept_pending(struct listeners *set)
{
        struct entry *entry;

        TAILQ_FOREACH(entry, &set->entries, entries)
                listener_accept_pending(entry->listener);
}
