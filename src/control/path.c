/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return tolower((unsigned char)c) - 'a' + 10;
}

/* Decodes @n bytes. Return: 0; -ENOENT: the result has a NUL byte; -ENOMEM. */
static int decode(const char *from, size_t n, char **out)
{
        char *to = malloc(n + 1), *end = to;

        if (!to)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (from[i] == '%' && n - i > 2 && isxdigit((unsigned char)from[i + 1]) &&
                    isxdigit((unsigned char)from[i + 2])) {
                        *end++ = (char)(hex_value(from[i + 1]) * 16 + hex_value(from[i + 2]));
                        i += 2;
                } else {
                        *end++ = from[i];
                }
        }
        *end = '\0';
        if (strlen(to) != (size_t)(end - to)) {
                free(to);
                return -ENOENT;
        }
        *out = to;
        return 0;
}

/* Return: the beginning of the path in a target. */
static const char *skip_host(const char *target)
{
        static const char scheme[] = "http://";

        if (strncasecmp(target, scheme, strlen(scheme)) != 0)
                return target;
        target += strlen(scheme);
        return target + strcspn(target, "/?");
}

int path_parse(const char *target, struct path *path)
{
        struct path found = { 0 };
        const char *at = skip_host(target);
        int r = *at == '/' ? 0 : -ENOENT;

        while (r == 0 && *at == '/') {
                size_t n = strcspn(++at, "/?");

                if (n == 0 || found.n == PATH_PARTS_MAX)
                        r = -ENOENT;
                else
                        r = decode(at, n, &found.parts[found.n]);
                if (r == 0)
                        found.n++;
                at += n;
        }
        if (r == 0)
                *path = found;
        else
                path_deinit(&found);
        return r;
}

void path_deinit(struct path *path)
{
        while (path->n > 0)
                free(path->parts[--path->n]);
}
