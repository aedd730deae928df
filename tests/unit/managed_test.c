/* SPDX-License-Identifier: MIT */
/* Managed services, the toxics that they have, and the set of all. */
#include "endpoint.h"
#include "managed_set.h"
#include "unit.h"

static struct toxic *new_toxic(const char *text)
{
        struct refusal refusal;
        struct toxic *toxic;
        json_t *json;

        assert_int_equal(json_parse_object(text, strlen(text), &json, &refusal), 0);
        assert_int_equal(toxic_read(json, &toxic, &refusal), 0);
        assert_int_equal(toxic_read_attributes(toxic, json, &refusal), 0);
        json_decref(json);
        return toxic;
}

/* Adds a toxic to a list. */
static void add(struct toxic_list *list, const char *text)
{
        struct toxic *toxic = new_toxic(text);
        struct toxic_list longer;

        assert_int_equal(toxic_list_with(list, toxic, &longer), 0);
        toxic_list_deinit(list);
        toxic_unref(toxic);
        *list = longer;
}

static struct managed *new_managed(const char *name)
{
        struct upstream upstream;
        struct managed *managed;
        struct address listen;

        assert_int_equal(endpoint_parse_listen("localhost:1", &listen), 0);
        assert_int_equal(endpoint_parse_upstream("localhost:2", &upstream), 0);
        assert_int_equal(managed_new(name, &listen, &upstream, &managed), 0);
        upstream_deinit(&upstream);
        return managed;
}

static void expect_names(const struct toxic_list *list, const char *names)
{
        char found[256] = "";

        for (size_t i = 0; i < list->n; i++) {
                const size_t n = strlen(found);

                (void)snprintf(found + n, sizeof(found) - n, "%s ", list->toxics[i]->name);
        }
        assert_string_equal(found, names);
}

static void test_order_of_toxics(void **state)
{
        struct toxic_list list = { 0 }, shorter;

        (void)state;
        add(&list, "{\"type\":\"noop\",\"name\":\"a\"}");
        add(&list, "{\"type\":\"noop\",\"name\":\"b\",\"stream\":\"upstream\"}");
        add(&list, "{\"type\":\"noop\",\"name\":\"c\"}");
        add(&list, "{\"type\":\"noop\",\"name\":\"d\",\"stream\":\"upstream\"}");
        expect_names(&list, "b d a c ");
        add(&list, "{\"type\":\"noop\",\"name\":\"d\",\"stream\":\"upstream\",\"toxicity\":0}");
        expect_names(&list, "b d a c ");
        assert_true(toxic_list_find(&list, "d")->toxicity == 0);
        assert_null(toxic_list_find(&list, "x"));
        assert_int_equal(toxic_list_without(&list, "a", &shorter), 0);
        expect_names(&shorter, "b d c ");
        toxic_list_deinit(&shorter);
        toxic_list_deinit(&list);
}

static void test_names_of_services(void **state)
{
        struct managed *managed = new_managed("a\xc3\xa9\n");

        (void)state;
        assert_string_equal(managed->name, "a\xc3\xa9\n");
        assert_string_equal(managed->service->name, "a\\xc3\\xa9\\n");
        managed_unref(managed);
}

/* Groups of the file that no toxic stands for stay in front of those of the toxics. */
static void test_groups_of_the_file_stay(void **state)
{
        struct managed *bare = new_managed("a"), *file, *changed;
        struct condition_list *list = &bare->service->conditions[TO_CLIENT];
        struct toxic_list toxics = { 0 };

        (void)state;
        list->groups = calloc(3, sizeof(*list->groups));
        list->n = 3;
        for (size_t i = 0; i < 3; i++)
                list->groups[i] = conditions_none;
        (void)snprintf(list->groups[0].name, CONDITIONS_NAME_SIZE, "slow");
        list->groups[0].latency_usec = 5000;
        list->groups[1].latency_usec = 1000;
        (void)snprintf(list->groups[2].name, CONDITIONS_NAME_SIZE, "both");
        list->groups[2].latency_usec = 1000;
        list->groups[2].close_delay_usec = 1000;
        assert_int_equal(managed_of(bare->service, &file), 0);
        expect_names(&file->toxics, "slow ");
        add(&toxics, "{\"type\":\"bandwidth\",\"name\":\"new\"}");
        assert_int_equal(managed_copy(file, &toxics, &changed), 0);
        list = &changed->service->conditions[TO_CLIENT];
        assert_int_equal(list->n, 3);
        assert_int_equal(list->groups[0].latency_usec, 1000);
        assert_string_equal(list->groups[1].name, "both");
        assert_string_equal(list->groups[2].name, "new");
        assert_int_equal(bare->service->conditions[TO_CLIENT].n, 3);
        toxic_list_deinit(&toxics);
        managed_unref(changed);
        managed_unref(file);
        managed_unref(bare);
}

static void test_the_set(void **state)
{
        static const char *const names[] = { "m", "z", "a", "q" };
        struct managed_set set = { 0 };
        struct managed *managed, *found, *other = new_managed("m");

        (void)state;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                managed = new_managed(names[i]);
                assert_int_equal(managed_set_reserve(&set), 0);
                managed_set_put(&set, managed);
                assert_int_equal(managed_set_get(&set, managed->service, &found), 0);
                assert_ptr_equal(found, managed);
                managed_unref(found);
                managed_unref(managed);
        }
        assert_int_equal(set.n, 4);
        assert_string_equal(set.all[0]->name, "a");
        assert_string_equal(set.all[3]->name, "z");
        /* With other settings, nothing is known of the service. */
        assert_int_equal(managed_set_get(&set, other->service, &found), 0);
        assert_false(found->made_here);
        managed_unref(found);
        assert_int_equal(managed_set_reserve(&set), 0);
        managed_set_put(&set, other);
        assert_int_equal(set.n, 4);
        managed_set_remove(&set, "x");
        managed_set_remove(&set, "m");
        assert_int_equal(set.n, 3);
        managed_unref(other);
        managed_set_deinit(&set);
}

/* A configuration of the file takes over what was made by requests and is in force. */
static void test_merging(void **state)
{
        struct managed *made = new_managed("made"), *both = new_managed("both"),
                       *gone = new_managed("gone"), *own = new_managed("both");
        struct managed *const all[] = { made, both, gone };
        struct config *empty, *force, *file, *merged, *next;
        struct managed_set set = { 0 };

        (void)state;
        assert_int_equal(config_new(&empty), 0);
        for (size_t i = 0; i < ELEMENTS(all); i++) {
                assert_int_equal(managed_set_reserve(&set), 0);
                managed_set_put(&set, all[i]);
        }
        assert_int_equal(config_with(empty, made->service, &next), 0);
        assert_int_equal(config_with(next, both->service, &force), 0);
        config_unref(next);
        assert_int_equal(config_with(empty, own->service, &file), 0);
        assert_int_equal(managed_set_merge(&set, file, force, &merged), 0);
        assert_int_equal(merged->n_services, 2);
        assert_ptr_equal(config_find_service(merged, "made"), made->service);
        assert_ptr_equal(config_find_service(merged, "both"), own->service);
        config_unref(merged);
        config_unref(file);
        config_unref(force);
        config_unref(empty);
        managed_set_deinit(&set);
        for (size_t i = 0; i < ELEMENTS(all); i++)
                managed_unref(all[i]);
        managed_unref(own);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order_of_toxics),
                cmocka_unit_test(test_names_of_services),
                cmocka_unit_test(test_groups_of_the_file_stay),
                cmocka_unit_test(test_the_set),
                cmocka_unit_test(test_merging),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
