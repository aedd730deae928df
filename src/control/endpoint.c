/* SPDX-License-Identifier: MIT */
#include "endpoint.h"
#include "escape.h"

#include <errno.h>
#include <string.h>

/* Splits "HOST:PORT" at its last colon. An empty port is 0. Return: 0; -EINVAL. */
static int split(const char *text, size_t *host_length, uint16_t *port)
{
        const char *colon = strrchr(text, ':');
        unsigned long number;
        size_t digits;

        if (!colon)
                return -EINVAL;
        digits = strspn(colon + 1, "0123456789");
        if (digits > 5 || colon[1 + digits] != '\0')
                return -EINVAL;
        number = strtoul(colon + 1, NULL, 10);
        if (number > UINT16_MAX)
                return -EINVAL;
        *host_length = (size_t)(colon - text);
        *port = (uint16_t)number;
        return 0;
}

static bool is_host(const char *text, size_t n, const char *host)
{
        return n == strlen(host) && strncasecmp(text, host, n) == 0;
}

/* Whether @n bytes are a legal host name, and not an IPv4 address. */
static bool is_name(const char *text, size_t n)
{
        static const char legal[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

        return n > 0 && n < ENDPOINT_HOST_SIZE && strspn(text, legal) == n &&
               strspn(text, "0123456789.") != n;
}

bool endpoint_split_name(const char *text, char *host, uint16_t *port)
{
        size_t n;

        if (split(text, &n, port) < 0 || !is_name(text, n) || is_host(text, n, "localhost"))
                return false;
        memcpy(host, text, n);
        host[n] = '\0';
        return true;
}

int endpoint_parse_listen(const char *text, struct address *out)
{
        struct address address;
        uint16_t port = 0;
        size_t n = 0;
        int r = 0;

        if (strncmp(text, "unix:", 5) == 0)
                return address_parse(text, out);
        if (*text)
                r = split(text, &n, &port);
        if (r < 0)
                return r;
        if (n == 0 || is_host(text, n, "0.0.0.0") || is_host(text, n, "[::]"))
                r = address_parse("*:0", &address);
        else if (is_host(text, n, "localhost"))
                r = address_parse("127.0.0.1:0", &address);
        else
                r = address_parse(text, &address);
        if (r < 0)
                return r;
        address_set_port(&address, port);
        *out = address;
        return 0;
}

const char *endpoint_format_listen(const struct address *address, char *out)
{
        if (address->sa.sa_family != AF_UNIX && (address->any || address_is_any(address)))
                (void)snprintf(out, ADDRESS_TEXT_SIZE, "[::]:%u", address_port(address));
        else
                address_format(address, out);
        return out;
}

/* Sets the host, or the address if that is known. Return: 0; -EINVAL; -ENOMEM. */
static int parse_host(const char *text, struct upstream *upstream)
{
        size_t n;
        int r = address_parse(text, &upstream->address);

        if (r == 0 && upstream->address.any)
                return -EINVAL;
        if (r != -EINVAL || strncmp(text, "unix:", 5) == 0)
                return r;
        r = split(text, &n, &upstream->port);
        if (r < 0 || (n > 0 && !is_name(text, n)) || text[n + 1] == '\0')
                return -EINVAL;
        if (n == 0) {
                r = address_parse("127.0.0.1:0", &upstream->address);
                if (r == 0)
                        address_set_port(&upstream->address, upstream->port);
                return r;
        }
        upstream->host = strndup(text, n);
        return upstream->host ? 0 : -ENOMEM;
}

int endpoint_parse_upstream(const char *text, struct upstream *out)
{
        struct upstream upstream = { .text = malloc(ESCAPE_SIZE(strlen(text))) };
        int r = upstream.text ? parse_host(text, &upstream) : -ENOMEM;

        if (r < 0) {
                upstream_deinit(&upstream);
                return r;
        }
        escape_bytes(upstream.text, text, strlen(text));
        *out = upstream;
        return 0;
}
