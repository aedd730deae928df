/* Escaping of bytes from outside. The output holds no control character and no bare quote. */
#include "escape.h"

#include <string.h>

size_t escape_bytes(char *out, const void *data, size_t n)
{
        static const char hex[] = "0123456789abcdef";
        static const char plain[] = "\n\r\t\"\\", letters[] = "nrt\"\\";
        const unsigned char *bytes = data;
        char *p = out;

        for (size_t i = 0; i < n; i++) {
                const char *special = bytes[i] ? strchr(plain, bytes[i]) : NULL;

                if (special) {
                        *p++ = '\\';
                        *p++ = letters[special - plain];
                } else if (bytes[i] >= ' ' && bytes[i] <= '~') {
                        *p++ = (char)bytes[i];
                } else {
                        *p++ = '\\';
                        *p++ = 'x';
                        *p++ = hex[bytes[i] >> 4];
                        *p++ = hex[bytes[i] & 15];
                }
        }
        *p = '\0';
        return (size_t)(p - out);
}
