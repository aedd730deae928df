/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_port(const char *text)
{
        return strlen(text) <= 5 && text[strspn(text, "0123456789")] == '\0';
}

/* Whether @text is "NAME" or "NAME:PORT" with a name that is an IPv4 address or localhost. */
static bool is_named_here(const char *text)
{
        struct in_addr address;
        size_t n = strcspn(text, ":");
        char name[INET_ADDRSTRLEN];

        if (n >= sizeof(name) || (text[n] == ':' && !is_port(text + n + 1)))
                return false;
        memcpy(name, text, n);
        name[n] = '\0';
        return strcasecmp(name, "localhost") == 0 || strcasecmp(name, "localhost.") == 0 ||
               inet_pton(AF_INET, name, &address) == 1;
}

/* Whether @text is "[IPV6]" or "[IPV6]:PORT", perhaps with a zone: "[fe80::1%25eth0]". */
static bool is_ipv6(const char *text)
{
        struct in6_addr address;
        size_t n = strcspn(text, "]"), bare = strcspn(text, "%]");
        char name[INET6_ADDRSTRLEN];

        if (text[0] != '[' || text[n] != ']' || bare > sizeof(name))
                return false;
        if (text[n + 1] != '\0' && (text[n + 1] != ':' || !is_port(text + n + 2)))
                return false;
        memcpy(name, text + 1, bare - 1);
        name[bare - 1] = '\0';
        return inet_pton(AF_INET6, name, &address) == 1;
}

static bool is_own_origin(const char *origin, const char *host)
{
        static const char scheme[] = "http://";

        return host && strncasecmp(origin, scheme, strlen(scheme)) == 0 &&
               strcasecmp(origin + strlen(scheme), host) == 0;
}

bool guard_admits(const struct guard_headers *headers, bool by_unix_socket, struct refusal *refusal)
{
        static const char browser[] = "Mozilla/";
        const char *agent = headers->user_agent, *host = headers->host;
        const char *words = NULL;

        if (agent && strncmp(agent, browser, strlen(browser)) == 0)
                words = "User agent not allowed";
        else if (host && !by_unix_socket && !is_named_here(host) && !is_ipv6(host))
                words = "Host not allowed";
        else if (headers->origin && !is_own_origin(headers->origin, host))
                words = "Origin not allowed";
        if (words)
                (void)refuse(refusal, 403, "%s", words);
        return !words;
}
