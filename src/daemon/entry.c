/* SPDX-License-Identifier: MIT */
/* Entries of the set of listeners. */
#include "entry.h"

#include <errno.h>

static void on_accept(struct listener *listener, int fd, const struct address *peer, void *arg)
{
        const struct entry *entry = arg;

        (void)listener;
        entry->owner->on_accept(entry->owner, entry, fd, peer);
}

static void on_error(struct listener *listener, int error, void *arg)
{
        const struct entry *entry = arg;

        (void)listener;
        entry->owner->on_error(entry->owner, error);
}

static const struct listener_events events = {
        .on_accept = on_accept,
        .on_error = on_error,
};

static void entry_freep(struct entry **entry)
{
        entry_free(*entry);
}

int entry_new(struct entry_owner *owner, int fd, const struct service_config *service,
              bool is_passed, struct entry **out)
{
        _cleanup_(entry_freep) struct entry *entry = calloc(1, sizeof(*entry));
        int r;

        if (!entry)
                return -ENOMEM;
        entry->owner = owner;
        entry->is_passed = is_passed;
        entry->next_service = service;
        r = listener_new(owner->loop, fd, !is_passed, &service->socket, &events, entry,
                         &entry->listener);
        if (r < 0)
                return r;
        *out = entry;
        entry = NULL;
        return 0;
}

struct entry *entry_free(struct entry *entry)
{
        if (!entry)
                return NULL;
        listener_free(entry->listener);
        config_unref(entry->config);
        free(entry);
        return NULL;
}

void entry_list_free(struct entry_list *list)
{
        struct entry *entry;

        while ((entry = TAILQ_FIRST(list))) {
                TAILQ_REMOVE(list, entry, entries);
                entry_free(entry);
        }
}

void entry_set_service(struct entry *entry, struct config *config,
                       const struct service_config *service)
{
        config_ref(config);
        config_unref(entry->config);
        entry->config = config;
        entry->service = service;
}

void entry_log(const struct entry *entry, enum log_kind kind, const char *words)
{
        const struct log_about about = { .service = entry->service->name };
        char address[ADDRESS_TEXT_SIZE];

        log_write(kind, &about, "%s %s%s", words,
                  address_format(listener_address(entry->listener), address),
                  entry->is_passed ? " passed by systemd" : "");
}
