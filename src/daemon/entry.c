/* SPDX-License-Identifier: MIT */
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

int entry_new(struct entry_owner *owner, int fd, struct service_config *config, bool is_passed,
              struct entry **out)
{
        _cleanup_(entry_freep) struct entry *entry = calloc(1, sizeof(*entry));
        int r;

        if (!entry)
                return -ENOMEM;
        entry->owner = owner;
        entry->is_passed = is_passed;
        entry->next = config;
        r = listener_new(owner->loop, fd, !is_passed, &config->socket, &events, entry,
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
        service_config_unref(entry->config);
        service_unref(entry->service);
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

void entry_set_service(struct entry *entry, struct service *service, struct service_config *config)
{
        service_ref(service);
        service_unref(entry->service);
        entry->service = service;
        service_config_ref(config);
        service_config_unref(entry->config);
        entry->config = config;
}

void entry_log(const struct entry *entry, enum log_kind kind, const char *words)
{
        const struct log_about about = { .service = service_name(entry->service) };
        char address[ADDRESS_TEXT_SIZE];

        log_write(kind, &about, "%s %s%s", words,
                  address_format(listener_address(entry->listener), address),
                  entry->is_passed ? " passed by systemd" : "");
}
