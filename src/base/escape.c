/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <stdbool.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* Writes one byte as \n, \r, \t, \", \\ or \xHH. Return: the end of what was written. */
static char *put_escaped(char *p, unsigned char byte)
{
        static const char hex[] = "0123456789abcdef";
        static const char plain[] = "\n\r\t\"\\", letters[] = "nrt\"\\";
        const char *special = byte ? strchr(plain, byte) : NULL;

        *p++ = '\\';
        if (special) {
                *p++ = letters[special - plain];
        } else {
                *p++ = 'x';
                *p++ = hex[byte >> 4];
                *p++ = hex[byte & 15];
        }
        return p;
}

size_t escape_bytes(char *out, const void *data, size_t n)
{
        const unsigned char *bytes = data;
        char *p = out;

        for (size_t i = 0; i < n; i++) {
                bool is_plain = bytes[i] >= ' ' && bytes[i] <= '~' && !strchr("\"\\", bytes[i]);

                if (is_plain)
                        *p++ = (char)bytes[i];
                else
                        p = put_escaped(p, bytes[i]);
        }
        *p = '\0';
        return (size_t)(p - out);
}

/* Return: the length of the printable character at @text; 0: there is none. */
static size_t printable_length(const char *text, size_t n)
{
        mbstate_t state = { 0 };
        wchar_t c;
        size_t length = mbrtowc(&c, text, n, &state);

        /* (size_t)-1: not a character; (size_t)-2: the beginning of one. */
        return length <= n && (iswprint((wint_t)c) || c == L'\t') ? length : 0;
}

size_t escape_for_terminal(char *out, const void *text, size_t n)
{
        const char *from = text, *end = from + n;
        char *p = out;

        while (from < end) {
                size_t length = printable_length(from, (size_t)(end - from));

                if (length > 0) {
                        memcpy(p, from, length);
                        p += length;
                        from += length;
                } else {
                        p = put_escaped(p, (unsigned char)*from++);
                }
        }
        *p = '\0';
        return (size_t)(p - out);
}

const char *escape_path(const char *path, char *out)
{
        escape_bytes(out, path, strnlen(path, PATH_MAX));
        return out;
}
