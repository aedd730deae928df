/* SPDX-License-Identifier: MIT */
/* The index of addresses finds what comparing with every address finds. */
#include "address_index.h"
#include "unit.h"

#define ADDRESSES 300

static struct address parse(const char *text)
{
        struct address address;

        assert_int_equal(address_parse(text, &address), 0);
        return address;
}

/* Few hosts, ports and paths, so that many are equal or overlap. */
static struct address random_address(void)
{
        static const char *const hosts[] = { "127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]",
                                             "[::]",      "*",         "[::2]",   "10.1.2.3" };
        char text[64];

        if (random() % 8 == 0)
                (void)snprintf(text, sizeof(text), "unix:/a/%ld", random() % 40);
        else
                (void)snprintf(text, sizeof(text), "%s:%ld",
                               hosts[(size_t)random() % ELEMENTS(hosts)], random() % 40);
        return parse(text);
}

static bool compare_all(const struct address *all, size_t n, const struct address *address,
                        bool (*same)(const struct address *a, const struct address *b))
{
        for (size_t i = 0; i < n; i++)
                if (same(&all[i], address))
                        return true;
        return false;
}

static bool is_reached_from(const struct address *listen, const struct address *to)
{
        return address_reaches(to, listen);
}

static void finds_what_comparing_finds(void **state)
{
        struct address all[ADDRESSES], wanted;
        struct address_index *index = NULL;
        const struct address *found;
        const void *owner = NULL;

        (void)state;
        seed_random();
        for (int round = 0; round < 20; round++) {
                assert_int_equal(address_index_new(ADDRESSES, &index), 0);
                for (size_t i = 0; i < ADDRESSES; i++) {
                        wanted = random_address();
                        found = address_index_find_equal(index, &wanted, &owner);
                        assert_int_equal(found != NULL,
                                         compare_all(all, i, &wanted, address_equal));
                        assert_true(!found || address_equal(found, &wanted));
                        assert_true(!found || address_equal(owner, found));
                        found = address_index_find_overlap(index, &wanted, &owner);
                        assert_int_equal(found != NULL,
                                         compare_all(all, i, &wanted, address_overlaps));
                        assert_true(!found || address_overlaps(found, &wanted));
                        assert_true(!found || address_equal(owner, found));
                        found = address_index_find_reached(index, &wanted, &owner);
                        assert_int_equal(found != NULL,
                                         compare_all(all, i, &wanted, is_reached_from));
                        assert_true(!found || address_reaches(&wanted, found));
                        all[i] = wanted;
                        address_index_add(index, &wanted, &all[i]);
                }
                index = address_index_free(index);
        }
}

static void empty(void **state)
{
        struct address address = parse("127.0.0.1:7");
        struct address_index *index = NULL;

        (void)state;
        assert_int_equal(address_index_new(0, &index), 0);
        assert_null(address_index_find_equal(index, &address, NULL));
        assert_null(address_index_find_overlap(index, &address, NULL));
        assert_null(address_index_free(index));
        assert_null(address_index_free(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_what_comparing_finds),
                cmocka_unit_test(empty),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
