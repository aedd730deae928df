/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol that arrive byte by byte. When a header is complete or refused,
 * further bytes do not change that. A header that was read is written and read back unchanged.
 */
#include "proxy.h"
#include "fuzz.h"

#include <errno.h>

static int parse(const uint8_t *data, size_t n, struct proxy_header *header)
{
        _cleanup_(freep) uint8_t *copy = copy_bytes(data, n);

        return proxy_parse(copy, n, header);
}

static void must_be_equal(const struct address *a, const struct address *b)
{
        char a_text[ADDRESS_TEXT_SIZE], b_text[ADDRESS_TEXT_SIZE];

        /* An IPv4 address has the same text whether or not it is mapped to IPv6. */
        MUST(strcmp(address_format(a, a_text), address_format(b, b_text)) == 0);
}

static void must_come_back(const struct proxy_header *header)
{
        for (unsigned version = 1; version <= 2; version++) {
                uint8_t out[PROXY_FORMAT_MAX];
                struct proxy_header again;
                size_t n = proxy_format(version, &header->source, &header->destination, out);

                MUST(n > 0 && n <= sizeof(out));
                MUST(parse(out, n, &again) == 0);
                MUST(again.length == n);
                must_be_equal(&header->source, &again.source);
                must_be_equal(&header->destination, &again.destination);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct proxy_header header, first;
        int r, r_first = -EAGAIN;

        for (size_t i = 0; i <= n; i++) {
                r = parse(data, i, &header);
                MUST(r == 0 || r == -EAGAIN || r == -EPROTO || r == -EMSGSIZE);
                if (r_first == -EAGAIN && r == 0) {
                        MUST(header.length == i && i <= PROXY_PARSE_MAX);
                        first = header;
                        must_come_back(&header);
                } else if (r_first != -EAGAIN) {
                        MUST(r == r_first);
                        MUST(r < 0 || header.length == first.length);
                }
                MUST(r != -EAGAIN || i < PROXY_PARSE_MAX);
                r_first = r;
        }
        return 0;
}
