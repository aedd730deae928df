/* SPDX-License-Identifier: MIT */
/* Paths of requests: split first, decoded afterwards. */
#include "path.h"
#include "unit.h"

#include <errno.h>

/* Whether the parts of @target, joined by "|", are @parts. */
static bool splits(const char *target, const char *parts)
{
        struct path path = { 0 };
        char joined[256] = "";
        int r = path_parse(target, &path);

        for (size_t i = 0; i < path.n; i++) {
                const size_t n = strlen(joined);

                (void)snprintf(joined + n, sizeof(joined) - n, "%s%s", i ? "|" : "", path.parts[i]);
        }
        path_deinit(&path);
        if (r == 0 && strcmp(joined, parts) == 0)
                return true;
        print_error("\"%s\" gives %d, \"%s\", not \"%s\"\n", target, r, joined, parts);
        return false;
}

static bool is_refused(const char *target)
{
        struct path path = { 0 };
        int r = path_parse(target, &path);

        if (r == -ENOENT && path.n == 0)
                return true;
        print_error("\"%s\" gives %d\n", target, r);
        path_deinit(&path);
        return false;
}

static void test_parts(void **state)
{
        (void)state;
        assert_true(splits("/proxies", "proxies"));
        assert_true(splits("/proxies/db/toxics/slow", "proxies|db|toxics|slow"));
        assert_true(splits("/version?x=/y", "version"));
        assert_true(splits("/version?", "version"));
        assert_true(splits("http://127.0.0.1:8474/proxies/db", "proxies|db"));
}

static void test_names_are_decoded_after_the_split(void **state)
{
        (void)state;
        assert_true(splits("/proxies/a%2Fb", "proxies|a/b"));
        assert_true(splits("/proxies/a%2fb%3Fc", "proxies|a/b?c"));
        assert_true(splits("/proxies/a:b@c+d", "proxies|a:b@c+d"));
        assert_true(splits("/proxies/%C3%A9%20%25", "proxies|\xc3\xa9 %"));
        assert_true(splits("/proxies/%2541", "proxies|%41"));
        assert_true(splits("/proxies/%4", "proxies|%4"));
        assert_true(splits("/proxies/%zz%", "proxies|%zz%"));
        assert_true(splits("/proxies/..", "proxies|.."));
}

static void test_no_route(void **state)
{
        (void)state;
        assert_true(is_refused(""));
        assert_true(is_refused("/"));
        assert_true(is_refused("proxies"));
        assert_true(is_refused("*"));
        assert_true(is_refused("/proxies/"));
        assert_true(is_refused("/proxies//toxics"));
        assert_true(is_refused("//proxies"));
        assert_true(is_refused("/proxies/?"));
        assert_true(is_refused("/proxies/a%00b"));
        assert_true(is_refused("/1/2/3/4/5"));
        assert_true(is_refused("http://127.0.0.1"));
        assert_true(is_refused("http://127.0.0.1?"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_names_are_decoded_after_the_split),
                cmocka_unit_test(test_no_route),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
