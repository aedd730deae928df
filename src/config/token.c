/* SPDX-License-Identifier: MIT */
/* The tokens are those of libconfig 1.5. */
#include "token.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool is_comment(const char *p)
{
        return *p == '#' || strncmp(p, "//", 2) == 0 || strncmp(p, "/*", 2) == 0;
}

bool token_is_blank(const char *p)
{
        return isspace((unsigned char)*p) || is_comment(p);
}

char *token_end(char *p)
{
        char *end;

        if (strncmp(p, "/*", 2) == 0) {
                end = strstr(p + 2, "*/");
                return end ? end + 2 : NULL;
        }
        if (is_comment(p))
                return p + strcspn(p, "\n");
        if (*p != '"')
                return p + 1;
        for (p++; *p != '"'; p++) {
                if (*p == '\\')
                        p++;
                if (!*p || *p == '\n')
                        return NULL;
        }
        return p + 1;
}

const char *token_name_end(const char *p)
{
        while (isalnum((unsigned char)*p) || (*p && strchr("-_*", *p)))
                p++;
        return p;
}

const char *token_number_end(const char *p, const char **suffix)
{
        bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
        intmax_t value;
        char *end;

        errno = 0;
        value = strtoimax(p, &end, hex ? 16 : 10);
        *suffix = "";
        if (*end && strchr(".eE", *end))
                return p + strspn(p, "+-.0123456789eE"); /* a float */
        if (end == p)
                return p + 1; /* a sign alone */
        if (*end == 'L')
                return end;
        if (errno == ERANGE && !hex)
                *suffix = ".0";
        else if (value > INT32_MAX || value < INT32_MIN)
                *suffix = "L";
        return end;
}

char *token_find_delimiter(char *p)
{
        const char *begin = p;

        while (p && token_is_blank(p))
                p = token_end(p);
        if (!p || (*p != ',' && *p != ']' && *p != ')') ||
            !memchr(begin, '\n', (size_t)(p - begin)))
                return NULL;
        return p;
}

char *token_find_include(char *p)
{
        static const char word[] = "@include";
        size_t blanks;

        p += strspn(p, " \t");
        if (strncmp(p, word, strlen(word)) != 0)
                return NULL;
        p += strlen(word);
        blanks = strspn(p, " \t");
        return blanks > 0 && p[blanks] == '"' ? p + blanks : NULL;
}

char *token_unquote(char *p)
{
        char *text = malloc((size_t)(token_end(p) - p)), *out = text;

        if (!text)
                return NULL;
        for (p++; *p != '"'; p++) {
                if (*p == '\\' && (p[1] == '\\' || p[1] == '"'))
                        p++;
                *out++ = *p;
        }
        *out = '\0';
        return text;
}
