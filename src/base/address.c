/* SPDX-License-Identifier: MIT */
/*
 * Addresses are parsed with getaddrinfo(3), which takes every spelling of an IP address that the
 * system knows, such as a scoped "[fe80::1%eth0]:7".
 */
#include "address.h"
#include "escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdint.h>
#include <string.h>

#define UNIX_PREFIX "unix:"

/* Copies a path, in which "//" and "/./" become "/". Return: its length. */
static size_t copy_path(const char *path, char *out)
{
        size_t n = 0;

        while (*path) {
                size_t skip = strncmp(path, "//", 2) == 0    ? 1
                              : strncmp(path, "/./", 3) == 0 ? 2
                                                             : 0;

                if (skip)
                        path += skip;
                else
                        out[n++] = *path++;
        }
        out[n] = '\0';
        return n;
}

static int parse_unix(const char *path, bool absolute, struct address *address)
{
        struct address a = { .un.sun_family = AF_UNIX };
        size_t length = strlen(path);

        if (length == 0 || (absolute && path[0] != '/') || length >= sizeof(a.un.sun_path))
                return -EINVAL;
        length = copy_path(path, a.un.sun_path);
        a.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
        *address = a;
        return 1;
}

/* Turns an IPv4 address that is mapped to IPv6 into a plain IPv4 address. */
static void unmap(struct address *address)
{
        struct sockaddr_in in = { .sin_family = AF_INET };

        if (address->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
                return;
        in.sin_port = address->in6.sin6_port;
        memcpy(&in.sin_addr, &address->in6.sin6_addr.s6_addr[12], sizeof(in.sin_addr));
        *address = (struct address){ .length = sizeof(in), .in = in };
}

/* Cuts ":PORT" off the end of @host. Return: the port; NULL: it is no number up to 65535. */
static char *split_port(char *host)
{
        char *port = strrchr(host, ':');

        /* getaddrinfo() accepts " 7", "+7" and "65543", which it cuts to 16 bits. */
        if (!port || port == host || strlen(port) < 2 || strlen(port) > 6 ||
            strspn(port + 1, "0123456789") != strlen(port + 1) ||
            strtoul(port + 1, NULL, 10) > UINT16_MAX)
                return NULL;
        *port = '\0';
        return port + 1;
}

/*
 * Turns "[IPv6]" into "IPv6", and "*" into the IPv6 wildcard. What is in brackets must be an IPv6
 * address: @hints are changed to refuse anything else.
 *
 * Return: the host for getaddrinfo(); NULL: it is malformed.
 */
static const char *parse_host(char *host, struct addrinfo *hints)
{
        size_t last = strlen(host) - 1;

        if (strcmp(host, "*") == 0)
                return "::";
        if (host[0] != '[')
                return strchr(host, ':') ? NULL : host;
        if (host[last] != ']')
                return NULL;
        host[last] = '\0';
        hints->ai_family = AF_INET6;
        hints->ai_flags |= AI_NUMERICHOST;
        return strcmp(host + 1, "*") == 0 ? NULL : host + 1; /* getaddrinfo() accepts "*" */
}

/* Return: how many addresses of @text were put into @addresses, or -errno. */
static int parse_inet(const char *text, int flags, struct address *addresses, int max)
{
        _cleanup_(freep) char *host = strdup(text);
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
        struct addrinfo *found;
        const char *name, *port;
        bool any;
        int r, n = 0;

        if (!host)
                return -ENOMEM;
        port = split_port(host);
        if (!port)
                return -EINVAL;
        any = strcmp(host, "*") == 0;
        name = parse_host(host, &hints);
        if (!name)
                return -EINVAL;
        r = getaddrinfo(name, port, &hints, &found);
        if (r == EAI_AGAIN)
                return -EAGAIN;
        if (r != 0)
                return (hints.ai_flags & AI_NUMERICHOST) ? -EINVAL : -ENOENT;
        for (const struct addrinfo *i = found; i && n < max; i = i->ai_next, n++) {
                addresses[n] = (struct address){ .length = i->ai_addrlen, .any = any };
                memcpy(&addresses[n].storage, i->ai_addr, i->ai_addrlen);
                unmap(&addresses[n]);
        }
        freeaddrinfo(found);
        return n;
}

static int parse(const char *text, int flags, struct address *addresses, int max)
{
        if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
                return parse_unix(text + strlen(UNIX_PREFIX), flags & AI_NUMERICHOST, addresses);
        return parse_inet(text, flags, addresses, max);
}

int address_parse(const char *text, struct address *address)
{
        int n = parse(text, AI_NUMERICHOST, address, 1);

        return n < 0 ? n : 0;
}

int address_resolve(const char *text, struct address *addresses, int max)
{
        return parse(text, 0, addresses, max);
}

/* Writes @n in decimal. Return: the end of the digits. */
static char *put_number(char *out, unsigned n)
{
        char digits[10]; /* of the largest unsigned */
        size_t first = sizeof(digits);

        do
                digits[--first] = (char)('0' + n % 10);
        while (n /= 10);
        memcpy(out, digits + first, sizeof(digits) - first);
        return out + sizeof(digits) - first;
}

/* Every client is named once. printf(3) and inet_ntop(3) take 16 times as many instructions. */
static const char *format_in4(const uint8_t ip[4], unsigned port, char *out)
{
        char *end = out;

        for (int i = 0; i < 4; i++) {
                end = put_number(end, ip[i]);
                *end++ = i < 3 ? '.' : ':';
        }
        *put_number(end, port) = '\0';
        return out;
}

static const char *format_in6(const struct sockaddr_in6 *in6, char *out)
{
        char ip[INET6_ADDRSTRLEN] = "", scope[16] = "";

        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
                return format_in4(&in6->sin6_addr.s6_addr[12], ntohs(in6->sin6_port), out);
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        if (in6->sin6_scope_id)
                (void)snprintf(scope, sizeof(scope), "%%%u", in6->sin6_scope_id);
        (void)snprintf(out, ADDRESS_TEXT_SIZE, "[%s%s]:%u", ip, scope, ntohs(in6->sin6_port));
        return out;
}

const char *address_format(const struct address *address, char *out)
{
        char path[ESCAPE_SIZE(sizeof(address->un.sun_path))];

        switch (address->sa.sa_family) {
        case AF_INET:
                return format_in4((const uint8_t *)&address->in.sin_addr,
                                  ntohs(address->in.sin_port), out);
        case AF_INET6:
                if (address->any)
                        (void)snprintf(out, ADDRESS_TEXT_SIZE, "*:%u",
                                       ntohs(address->in6.sin6_port));
                else
                        (void)format_in6(&address->in6, out);
                break;
        case AF_UNIX: {
                socklen_t head = offsetof(struct sockaddr_un, sun_path);
                size_t n = address->length > head ? address->length - head : 0;

                /* A path ends before its NUL. An abstract name begins with a NUL, which is part of
                 * the name. */
                if (n > 0 && address->un.sun_path[0])
                        n = strnlen(address->un.sun_path, n);
                escape_bytes(path, address->un.sun_path, n);
                (void)snprintf(out, ADDRESS_TEXT_SIZE, UNIX_PREFIX "%s", path);
                break;
        }
        default:
                (void)snprintf(out, ADDRESS_TEXT_SIZE, "address family %d", address->sa.sa_family);
        }
        return out;
}

const char *address_format_client(int fd, const struct address *peer, char *out)
{
        struct ucred cred;
        socklen_t length = sizeof(cred);

        if (peer->sa.sa_family != AF_UNIX ||
            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
                return address_format(peer, out);
        (void)snprintf(out, ADDRESS_TEXT_SIZE, "unix:pid=%d,uid=%u", cred.pid, cred.uid);
        return out;
}

int address_of_socket(int fd, struct address *address)
{
        struct address a = { .length = sizeof(a.storage) };
        int v6only = 1;
        socklen_t length = sizeof(v6only);

        if (getsockname(fd, &a.sa, &a.length) < 0)
                return -errno;
        if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr) &&
            getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &length) == 0)
                a.any = !v6only;
        *address = a;
        return 0;
}

bool address_agrees(const struct address *listen, const struct address *address)
{
        struct address chosen = *listen;

        if (address_port(listen) == 0 && listen->sa.sa_family == AF_INET)
                chosen.in.sin_port = address->in.sin_port;
        else if (address_port(listen) == 0 && listen->sa.sa_family == AF_INET6)
                chosen.in6.sin6_port = address->in6.sin6_port;
        return address_equal(&chosen, address);
}

int address_compare(const struct address *a, const struct address *b)
{
        if (a->length != b->length)
                return a->length < b->length ? -1 : 1;
        if (a->any != b->any)
                return a->any ? 1 : -1;
        return memcmp(&a->storage, &b->storage, a->length);
}

bool address_equal(const struct address *a, const struct address *b)
{
        return address_compare(a, b) == 0;
}

/* Whether @any is the wildcard of @one's family. A mapped IPv4 address counts as IPv4. */
static bool covers(const struct address *any, const struct address *one)
{
        bool of_ipv6 = one->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&one->in6.sin6_addr);

        return address_is_any(any) &&
               (any->any || one->any || of_ipv6 == (any->sa.sa_family == AF_INET6));
}

bool address_overlaps(const struct address *a, const struct address *b)
{
        if (a->sa.sa_family == AF_UNIX || b->sa.sa_family == AF_UNIX)
                return address_equal(a, b);
        return address_port(a) && address_port(a) == address_port(b) &&
               (address_equal(a, b) || covers(a, b) || covers(b, a));
}

struct address address_destination(const struct address *to)
{
        struct address address = *to;

        if (!address_is_any(to))
                return address;
        if (to->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&to->in6.sin6_addr))
                address.in6.sin6_addr = in6addr_loopback;
        else if (to->sa.sa_family == AF_INET)
                address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return address;
}

bool address_reaches(const struct address *to, const struct address *listen)
{
        const struct address there = address_destination(to);

        return address_equal(&there, listen) ||
               (address_is_loopback(&there) && address_overlaps(&there, listen));
}

static bool same_ip(const struct address *a, const struct address *b)
{
        if (a->sa.sa_family != b->sa.sa_family)
                return false;
        switch (a->sa.sa_family) {
        case AF_INET:
                return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
        case AF_INET6:
                return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
        default:
                return false;
        }
}

/* connect(2) on a datagram socket looks up the route and sends nothing. */
bool address_is_local(const struct address *address)
{
        _cleanup_(closep) int fd = socket(address->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct address own = { .length = sizeof(own.storage) };

        return address->sa.sa_family != AF_UNIX && fd >= 0 &&
               connect(fd, &address->sa, address->length) == 0 &&
               getsockname(fd, &own.sa, &own.length) == 0 && same_ip(&own, address);
}

unsigned address_port(const struct address *address)
{
        switch (address->sa.sa_family) {
        case AF_INET:
                return ntohs(address->in.sin_port);
        case AF_INET6:
                return ntohs(address->in6.sin6_port);
        default:
                return 0;
        }
}

void address_set_port(struct address *address, uint16_t port)
{
        if (address->sa.sa_family == AF_INET)
                address->in.sin_port = htons(port);
        else if (address->sa.sa_family == AF_INET6)
                address->in6.sin6_port = htons(port);
}

/* Return: the IPv4 address, in host order, that is mapped to @in6 (::ffff:1.2.3.4). */
static uint32_t mapped(const struct in6_addr *in6)
{
        uint32_t in;

        memcpy(&in, &in6->s6_addr[12], sizeof(in));
        return ntohl(in);
}

bool address_is_loopback(const struct address *address)
{
        switch (address->sa.sa_family) {
        case AF_INET:
                return ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        case AF_INET6:
                return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr) ||
                       (IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr) &&
                        mapped(&address->in6.sin6_addr) >> 24 == IN_LOOPBACKNET);
        default:
                return false;
        }
}

bool address_is_any(const struct address *address)
{
        switch (address->sa.sa_family) {
        case AF_INET:
                return address->in.sin_addr.s_addr == INADDR_ANY;
        case AF_INET6:
                return IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr) ||
                       (IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr) &&
                        mapped(&address->in6.sin6_addr) == INADDR_ANY);
        default:
                return false;
        }
}
