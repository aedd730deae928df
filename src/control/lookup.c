/* SPDX-License-Identifier: MIT */
#include "lookup.h"
#include "change.h"
#include "endpoint.h"

#include <string.h>

int lookups_init(struct lookups *lookups, struct loop *loop)
{
        int r = resolver_new(&lookups->resolver);

        if (r == 0)
                asker_init(&lookups->asker, lookups->resolver, loop);
        return r;
}

void lookups_deinit(struct lookups *lookups)
{
        lookups->resolver = resolver_free(lookups->resolver);
}

/* Return: the proxy at @i in a body, which is one proxy or an array of them; NULL: there is none.
 */
static json_t *get_proxy(const struct change *change, size_t i)
{
        if (json_is_array(change->body))
                return json_array_get(change->body, i);
        return i == 0 ? change->body : NULL;
}

static const char *get_listen(const struct change *change, size_t i)
{
        return json_string_value(json_member(get_proxy(change, i), "listen"));
}

/* Return: the first IPv4 address, or else the first of all. */
static struct address choose(const struct address *addresses, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (addresses[i].sa.sa_family == AF_INET)
                        return addresses[i];
        return addresses[0];
}

/* Puts the answer of the query into the body. */
static void use_answer(struct change *change)
{
        const struct address *addresses;
        char host[ENDPOINT_HOST_SIZE], text[ADDRESS_TEXT_SIZE];
        const char *listen = get_listen(change, change->i);
        struct address address;
        uint16_t port;
        size_t n;

        if (query_addresses(change->query, &addresses, &n) == 0 &&
            endpoint_split_name(listen, host, &port)) {
                address = choose(addresses, n);
                address_set_port(&address, port);
                /* Without memory the name stays, and is refused. */
                (void)json_object_set_new(get_proxy(change, change->i), "listen",
                                          json_string(address_format(&address, text)));
        }
        change->query = query_free(change->query);
}

static void on_answer(void *arg);

/* Looks up names until one has to be waited for. Return: true: on_answer() follows; false: no name
 * is left. */
static bool look_up_rest(struct change *change)
{
        char host[ENDPOINT_HOST_SIZE];
        uint16_t port;

        for (; get_proxy(change, change->i); change->i++) {
                const char *listen = get_listen(change, change->i);

                if (!listen || !endpoint_split_name(listen, host, &port))
                        continue;
                if (query_new(&change->control->lookups.asker, host, on_answer, change,
                              &change->query) < 0)
                        continue;
                if (!query_is_answered(change->query))
                        return true;
                use_answer(change);
        }
        return false;
}

static void on_answer(void *arg)
{
        struct change *change = arg;

        use_answer(change);
        change->i++;
        if (look_up_rest(change))
                return;
        change->i = 0;
        change->on_looked_up(change);
}

bool lookup_names(struct change *change, void (*on_done)(struct change *change))
{
        change->on_looked_up = on_done;
        change->i = 0;
        if (look_up_rest(change))
                return true;
        change->i = 0;
        return false;
}
