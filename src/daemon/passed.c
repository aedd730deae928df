/* SPDX-License-Identifier: MIT */
#include "passed.h"
#include "address_index.h"
#include "escape.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Messages show this many bytes of a name. */
#define NAME_SHOWN 64

/* Taking the sockets */

/* Return: a printable copy of a name; NULL: out of memory. */
static char *escape_name(const char *name)
{
        char shown[ESCAPE_SIZE(NAME_SHOWN)];
        size_t n = strlen(name);

        escape_bytes(shown, name, n < NAME_SHOWN ? n : NAME_SHOWN);
        return strdup(shown);
}

/* Takes the descriptors; @names are freed. Return: 0; -ENOMEM. */
static int take(struct passed *passed, char **names, size_t n)
{
        int r = 0;

        passed->sockets = calloc(n + 1, sizeof(*passed->sockets));
        for (size_t i = 0; i < n; i++) {
                if (passed->sockets) {
                        passed->sockets[passed->n].fd = SD_LISTEN_FDS_START + (int)i;
                        passed->sockets[passed->n].name = escape_name(names[i]);
                        r = passed->sockets[passed->n++].name ? r : -ENOMEM;
                }
                free(names[i]);
        }
        free(names);
        return passed->sockets ? r : -ENOMEM;
}

/* Checks that each descriptor is a listening socket, and reads its address. */
static int read_addresses(struct passed *passed, char *why)
{
        for (size_t i = 0; i < passed->n; i++) {
                struct passed_socket *socket = &passed->sockets[i];

                if (sd_is_socket(socket->fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 &&
                    address_of_socket(socket->fd, &socket->address) == 0)
                        continue;
                (void)snprintf(why, PASSED_WHY_SIZE,
                               "passed descriptor %d (\"%s\") is not a listening stream socket",
                               socket->fd, socket->name);
                return -EINVAL;
        }
        return 0;
}

int passed_take(char *why, struct passed **out)
{
        _cleanup_(passed_freep) struct passed *passed = calloc(1, sizeof(*passed));
        const char *count = getenv("LISTEN_FDS");
        bool none = count && strcmp(count, "0") == 0;
        char **names = NULL;
        int n, r;

        (void)snprintf(why, PASSED_WHY_SIZE, "out of memory");
        if (!passed)
                return -ENOMEM;
        n = sd_listen_fds_with_names(1, &names);
        if (n == -EINVAL && none) /* systemd never sets 0, but its library refuses it */
                n = 0;
        if (n < 0) {
                (void)snprintf(why, PASSED_WHY_SIZE, "cannot take sockets from systemd: %s",
                               strerrordesc_np(-n));
                return n;
        }
        r = take(passed, names, (size_t)n);
        if (r == 0)
                r = read_addresses(passed, why);
        if (r < 0)
                return r;
        *out = passed;
        passed = NULL;
        return 0;
}

struct passed *passed_free(struct passed *passed)
{
        if (!passed)
                return NULL;
        for (size_t i = 0; i < passed->n; i++) {
                free(passed->sockets[i].name);
                closep(&passed->sockets[i].fd);
        }
        free(passed->sockets);
        free(passed);
        return NULL;
}

/* Finding the service of a socket */

/*
 * Whether the socket has a default name: "unknown" from sd_listen_fds_with_names(3), or the name of
 * the unit (systemd.socket(5)).
 */
static bool is_unnamed(const char *name)
{
        size_t n = strlen(name), suffix = strlen(".socket");

        return n == 0 || strcmp(name, "unknown") == 0 ||
               (n > suffix && strcmp(name + n - suffix, ".socket") == 0);
}

/* Whether a "listen" of the service is the address. Port 0 agrees with every port. */
static bool has_listen(const struct service_config *service, const struct address *address)
{
        for (size_t i = 0; i < service->n_listen; i++)
                if (address_agrees(&service->listen[i], address))
                        return true;
        return false;
}

static struct service_config *find_by_address(const struct config *config,
                                              const struct address *address)
{
        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0; j < config->services[i]->n_listen; j++)
                        if (address_equal(&config->services[i]->listen[j], address))
                                return config->services[i];
        return NULL;
}

struct service_config *passed_service(const struct passed *passed, size_t i,
                                      const struct config *config)
{
        const struct passed_socket *socket = &passed->sockets[i];
        struct service_config *service = config_find_service(config, socket->name);

        if (service || !is_unnamed(socket->name))
                return service;
        service = find_by_address(config, &socket->address);
        if (!service && passed->n == 1 && config->n_services == 1)
                service = config->services[0];
        return service;
}

bool *passed_flags(const struct passed *passed, const struct config *config)
{
        bool *flags = calloc(config->n_services + 1, sizeof(*flags));

        for (size_t i = 0; flags && i < passed->n; i++) {
                const struct service_config *service = passed_service(passed, i, config);

                for (size_t j = 0; service && j < config->n_services; j++)
                        flags[j] |= config->services[j] == service;
        }
        return flags;
}

/* Checks */

/* Writes as many names of services as fit: "echo, db". */
static void list_services(const struct config *config, char *out, size_t size)
{
        size_t n = 0;

        out[0] = '\0';
        for (size_t i = 0; i < config->n_services && n < size; i++)
                n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "",
                                      config->services[i]->name);
}

/* Checks that each socket belongs to a service. Return: 0; -EINVAL. */
static int check_sockets(const struct passed *passed, const struct config *config, char *why)
{
        char services[PASSED_WHY_SIZE / 4], address[ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < passed->n; i++) {
                if (passed_service(passed, i, config))
                        continue;
                list_services(config, services, sizeof(services));
                (void)snprintf(
                        why, PASSED_WHY_SIZE,
                        "systemd passed %.200s as \"%s\", which is none of the services "
                        "(%s): set FileDescriptorName= of its socket unit to the name of one",
                        address_format(&passed->sockets[i].address, address),
                        passed->sockets[i].name, services);
                return -EINVAL;
        }
        return 0;
}

/* Checks that no service is to open an address that was passed for another. Return: 0; -EINVAL. */
static int check_services(const struct config *config, const bool *flags,
                          const struct address_index *addresses, char *why)
{
        char listen[ADDRESS_TEXT_SIZE], text[ADDRESS_TEXT_SIZE];
        const void *owner;

        for (size_t i = 0; i < config->n_services; i++)
                for (size_t j = 0;
                     !flags[i] && config->services[i]->enabled && j < config->services[i]->n_listen;
                     j++) {
                        const struct service_config *service = config->services[i];
                        const struct address *address =
                                address_index_find_overlap(addresses, &service->listen[j], &owner);

                        if (!address)
                                continue;
                        (void)snprintf(why, PASSED_WHY_SIZE,
                                       "%.64s: cannot listen on %.200s: systemd passed %.200s as "
                                       "\"%s\"; give the service a socket unit of its own, with "
                                       "FileDescriptorName=%.64s",
                                       service->name, address_format(&service->listen[j], listen),
                                       address_format(address, text),
                                       ((const struct passed_socket *)owner)->name, service->name);
                        return -EINVAL;
                }
        return 0;
}

int passed_check(const struct passed *passed, const struct config *config, char *why)
{
        _cleanup_(address_index_freep) struct address_index *addresses = NULL;
        _cleanup_(freep) bool *flags = NULL;
        int r = check_sockets(passed, config, why);

        if (r < 0 || passed->n == 0)
                return r;
        (void)snprintf(why, PASSED_WHY_SIZE, "out of memory");
        flags = passed_flags(passed, config);
        r = flags ? address_index_new(passed->n, &addresses) : -ENOMEM;
        if (r < 0)
                return r;
        for (size_t i = 0; i < passed->n; i++)
                address_index_add(addresses, &passed->sockets[i].address, &passed->sockets[i]);
        return check_services(config, flags, addresses, why);
}

/* Differences */

/* Appends an address to a list, or "…" if there is no room for another one. */
static void append(char *list, size_t size, const struct address *address)
{
        char text[ADDRESS_TEXT_SIZE];
        size_t n = strlen(list);

        address_format(address, text);
        if (n + strlen(text) + sizeof(", , …") <= size)
                (void)snprintf(list + n, size - n, "%s%s", n ? ", " : "", text);
        else if (n < strlen("…") || strcmp(list + n - strlen("…"), "…") != 0)
                (void)snprintf(list + n, size - n, "%s…", n ? ", " : "");
}

/* Whether an earlier socket belongs to the same service as the @i-th. */
static bool is_repeated(const struct passed *passed, size_t i, const struct config *config)
{
        for (size_t j = 0; j < i; j++)
                if (passed_service(passed, j, config) == passed_service(passed, i, config))
                        return true;
        return false;
}

const struct service_config *passed_difference(const struct passed *passed, size_t i,
                                               const struct config *config, char *out)
{
        char sockets[PASSED_WHY_SIZE / 3] = "", listen[PASSED_WHY_SIZE / 3] = "";
        const struct service_config *service = passed_service(passed, i, config);
        size_t n_agree = 0, n = 0;

        if (!service || is_repeated(passed, i, config))
                return NULL;
        for (size_t j = i; j < passed->n; j++) {
                const struct address *address = &passed->sockets[j].address;

                if (passed_service(passed, j, config) != service)
                        continue;
                append(sockets, sizeof(sockets), address);
                n++;
                n_agree += has_listen(service, address);
        }
        if (n_agree == n && n >= service->n_listen)
                return NULL;
        for (size_t j = 0; j < service->n_listen; j++)
                append(listen, sizeof(listen), &service->listen[j]);
        (void)snprintf(out, PASSED_WHY_SIZE,
                       "systemd passed %s, which is used, but listen is %s: let ListenStream= of "
                       "the socket unit and listen say the same",
                       sockets, listen);
        return service;
}
