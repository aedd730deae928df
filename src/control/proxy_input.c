/* SPDX-License-Identifier: MIT */
#include "proxy_input.h"
#include "endpoint.h"
#include "escape.h"

#include <errno.h>
#include <string.h>

/* How much of a wrong address an answer shows. */
#define SHOWN_BYTES 64

int proxy_input_read(json_t *object, struct proxy_input *input, struct refusal *refusal)
{
        int r = json_read_text(object, "name", &input->name, refusal);

        if (r == 0)
                r = json_read_text(object, "listen", &input->listen, refusal);
        if (r == 0)
                r = json_read_text(object, "upstream", &input->upstream, refusal);
        if (r == 0)
                r = json_read_bool(object, "enabled", &input->enabled, refusal);
        return r;
}

int proxy_input_check(const struct proxy_input *input, const char *where, struct refusal *refusal)
{
        if (!input->name || !*input->name)
                return refuse(refusal, 400, "missing required field: name%s", where);
        if (!input->upstream || !*input->upstream)
                return refuse(refusal, 400, "missing required field: upstream%s", where);
        if (strlen(input->name) > MANAGED_NAME_MAX)
                return refuse(refusal, 400, "bad request body: name: expected at most %d bytes%s",
                              MANAGED_NAME_MAX, where);
        return 0;
}

int proxy_input_listen(const char *text, struct address *out, struct refusal *refusal)
{
        char shown[ESCAPE_SIZE(SHOWN_BYTES)], host[ENDPOINT_HOST_SIZE];
        uint16_t port;
        int r = endpoint_parse_listen(text, out);

        if (r == -ENOMEM)
                return refuse_no_memory(refusal);
        if (r == 0)
                return 0;
        escape_bytes(shown, text, strnlen(text, SHOWN_BYTES));
        if (endpoint_split_name(text, host, &port))
                return refuse(refusal, 500, "cannot listen on \"%s\": the name has no address",
                              shown);
        return refuse(refusal, 500,
                      "cannot listen on \"%s\": expected \"ADDRESS:PORT\", \"NAME:PORT\", "
                      "\":PORT\" or \"unix:/PATH\"",
                      shown);
}

int proxy_input_upstream(const char *text, struct upstream *out, struct refusal *refusal)
{
        int r = endpoint_parse_upstream(text, out);

        if (r == -ENOMEM)
                return refuse_no_memory(refusal);
        if (r < 0)
                return refuse(refusal, 400,
                              "bad request body: upstream: expected "
                              "\"ADDRESS:PORT\", \"NAME:PORT\" or \"unix:/PATH\"");
        return 0;
}

int proxy_input_make(const struct proxy_input *input, struct managed **out, struct refusal *refusal)
{
        struct managed *managed;
        struct address listen;
        struct upstream upstream;
        int r = proxy_input_listen(input->listen ? input->listen : "", &listen, refusal);

        if (r == 0)
                r = proxy_input_upstream(input->upstream, &upstream, refusal);
        if (r < 0)
                return r;
        if (managed_new(input->name, &listen, &upstream, &managed) < 0) {
                upstream_deinit(&upstream);
                return refuse_no_memory(refusal);
        }
        managed->service->enabled = input->enabled;
        *out = managed;
        return 0;
}
