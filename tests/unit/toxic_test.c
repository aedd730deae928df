/* SPDX-License-Identifier: MIT */
/* Toxics: read, changed and written as JSON. */
#include "toxic.h"
#include "unit.h"

#include <errno.h>

static json_t *parse(const char *text)
{
        struct refusal refusal;
        json_t *json;

        assert_int_equal(json_parse_object(text, strlen(text), &json, &refusal), 0);
        return json;
}

/* Makes a toxic, or returns NULL with the refusal. */
static struct toxic *make(const char *text, struct refusal *refusal)
{
        json_t *json = parse(text);
        struct toxic *toxic = NULL;

        if (toxic_read(json, &toxic, refusal) == 0 &&
            toxic_read_attributes(toxic, json, refusal) < 0)
                toxic = toxic_unref(toxic);
        json_decref(json);
        return toxic;
}

static void expect_json(const struct toxic *toxic, const char *expected)
{
        json_t *json = toxic_write(toxic);
        char *text = json_write(json);

        assert_string_equal(text, expected);
        free(text);
        json_decref(json);
}

static void expect_refused(const char *text, const char *words)
{
        struct refusal refusal = { 0 };

        assert_null(make(text, &refusal));
        assert_int_equal(refusal.status, 400);
        assert_string_equal(refusal.words, words);
}

static void test_defaults(void **state)
{
        struct toxic *toxic = make("{\"type\": \"latency\"}", NULL);

        (void)state;
        assert_int_equal(toxic->direction, TO_CLIENT);
        expect_json(toxic,
                    "{\"attributes\":{\"latency\":0,\"jitter\":0},\"name\":\"latency_downstream\","
                    "\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":1}");
        toxic_unref(toxic);
        toxic = make("{\"type\": \"noop\", \"stream\": \"UpStream\", \"toxicity\": 0.5}", NULL);
        assert_int_equal(toxic->direction, TO_UPSTREAM);
        expect_json(toxic, "{\"attributes\":{},\"name\":\"noop_UpStream\",\"type\":\"noop\","
                           "\"stream\":\"UpStream\",\"toxicity\":0.5}");
        toxic_unref(toxic);
}

static void test_every_type(void **state)
{
        static const char *const types[][2] = {
                { "latency", "{\"latency\":1,\"jitter\":2}" },
                { "bandwidth", "{\"rate\":1}" },
                { "slow_close", "{\"delay\":1}" },
                { "timeout", "{\"timeout\":1}" },
                { "reset_peer", "{\"timeout\":1}" },
                { "slicer", "{\"average_size\":3,\"size_variation\":2,\"delay\":1}" },
                { "limit_data", "{\"bytes\":1}" },
                { "noop", "{}" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                char text[256], expected[256];
                struct toxic *toxic;

                (void)snprintf(text, sizeof(text),
                               "{\"name\":\"n\",\"type\":\"%s\",\"attributes\":%s}", types[i][0],
                               types[i][1]);
                (void)snprintf(expected, sizeof(expected),
                               "{\"attributes\":%s,\"name\":\"n\",\"type\":\"%s\","
                               "\"stream\":\"downstream\",\"toxicity\":1}",
                               types[i][1], types[i][0]);
                toxic = make(text, NULL);
                assert_non_null(toxic);
                expect_json(toxic, expected);
                toxic_unref(toxic);
        }
}

static void test_refusals(void **state)
{
        static const char stream[] = "stream was invalid, can be either upstream or downstream";
        static const char slicer[] =
                "bad request body: average_size: expected a whole number from 1 "
                "to 1099511627776";

        (void)state;
        expect_refused("{\"type\": \"latency\", \"stream\": \"\"}", stream);
        expect_refused("{\"type\": \"latency\", \"stream\": \"both\"}", stream);
        expect_refused("{\"stream\": \"both\"}", stream);
        expect_refused("{}", "invalid toxic type");
        expect_refused("{\"type\": \"Latency\"}", "invalid toxic type");
        expect_refused("{\"type\": 1}", "bad request body: type: expected a string");
        expect_refused("{\"type\": \"noop\", \"toxicity\": 1.1}",
                       "bad request body: toxicity: expected a number from 0 to 1");
        expect_refused("{\"type\": \"noop\", \"attributes\": []}",
                       "bad request body: attributes: expected an object");
        expect_refused("{\"type\": \"bandwidth\", \"attributes\": {\"rate\": -1}}",
                       "bad request body: rate: expected a whole number from 0 to 1099511627");
        expect_refused("{\"type\": \"latency\", \"attributes\": {\"jitter\": 9223372036854775807}}",
                       "bad request body: jitter: expected a whole number from 0 to 31536000000");
        expect_refused("{\"type\": \"slicer\"}", slicer);
        expect_refused("{\"type\": \"slicer\", \"attributes\": {\"delay\": 1}}", slicer);
        expect_refused("{\"type\": \"slicer\", \"attributes\": {\"average_size\": 1, "
                       "\"size_variation\": 2}}",
                       "bad request body: size_variation: expected at most average_size");
}

static struct conditions group_of(const char *type, const char *attributes)
{
        char text[256];
        struct conditions group;
        struct toxic *toxic;

        (void)snprintf(text, sizeof(text),
                       "{\"type\":\"%s\",\"name\":\"n\",\"toxicity\":0.5,\"attributes\":%s}", type,
                       attributes);
        toxic = make(text, NULL);
        toxic->version = 7;
        toxic_to_group(toxic, &group);
        toxic_unref(toxic);
        return group;
}

/* Each type becomes a group of conditions, and that group becomes the same toxic. */
static void test_groups(void **state)
{
        struct conditions group;

        (void)state;
        group = group_of("latency", "{\"latency\":1,\"jitter\":2}");
        assert_string_equal(group.name, "n");
        assert_int_equal(group.version, 7);
        assert_true(group.probability == 0.5);
        assert_int_equal(group.latency_usec, 1000);
        assert_int_equal(group.jitter_usec, 2000);
        group = group_of("bandwidth", "{\"rate\":3}");
        assert_int_equal(group.rate, 3000);
        assert_int_equal(group.burst_bytes, 0);
        assert_int_equal(group_of("bandwidth", "{}").rate, 0);
        assert_int_equal(group_of("slow_close", "{\"delay\":3}").close_delay_usec, 3000);
        group = group_of("timeout", "{\"timeout\":3}");
        assert_true(group.discard);
        assert_int_equal(group.discard_idle_usec, 3000);
        group = group_of("timeout", "{}");
        assert_true(group.discard);
        assert_true(group.discard_idle_usec == CONDITIONS_NEVER);
        assert_int_equal(group_of("reset_peer", "{\"timeout\":3}").reset_after_data_usec, 3000);
        assert_int_equal(group_of("reset_peer", "{}").reset_after_data_usec, 0);
        group = group_of("slicer", "{\"average_size\":3,\"size_variation\":2,\"delay\":1}");
        assert_int_equal(group.slice_bytes, 3);
        assert_int_equal(group.slice_variation_bytes, 2);
        assert_int_equal(group.slice_delay_usec, 1);
        group = group_of("slicer", "{\"average_size\":3,\"size_variation\":3}");
        assert_int_equal(group.slice_variation_bytes, 2);
        assert_int_equal(group_of("limit_data", "{\"bytes\":5}").limit_bytes, 5);
        assert_int_equal(group_of("limit_data", "{}").limit_bytes, 0);
        group = group_of("noop", "{}");
        assert_true(group.rate == CONDITIONS_UNLIMITED && group.limit_bytes == CONDITIONS_NEVER);
}

static void test_toxics_of_groups(void **state)
{
        static const char *const types[][2] = {
                { "latency", "{\"latency\":1,\"jitter\":2}" },
                { "bandwidth", "{\"rate\":0}" },
                { "slow_close", "{\"delay\":1}" },
                { "timeout", "{\"timeout\":0}" },
                { "timeout", "{\"timeout\":1}" },
                { "reset_peer", "{\"timeout\":0}" },
                { "slicer", "{\"average_size\":3,\"size_variation\":2,\"delay\":1}" },
                { "limit_data", "{\"bytes\":0}" },
        };
        struct conditions group;
        struct toxic *toxic;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                char expected[256];

                group = group_of(types[i][0], types[i][1]);
                assert_int_equal(toxic_from_group(&group, TO_UPSTREAM, &toxic), 0);
                assert_int_equal(toxic->version, 7);
                (void)snprintf(expected, sizeof(expected),
                               "{\"attributes\":%s,\"name\":\"n\",\"type\":\"%s\","
                               "\"stream\":\"upstream\",\"toxicity\":0.5}",
                               types[i][1], types[i][0]);
                expect_json(toxic, expected);
                toxic_unref(toxic);
        }
        group = group_of("noop", "{}");
        assert_int_equal(toxic_from_group(&group, TO_CLIENT, &toxic), -ENOENT);
        group = group_of("latency", "{\"latency\":1}");
        group.rate = 5000;
        assert_int_equal(toxic_from_group(&group, TO_CLIENT, &toxic), -ENOENT);
        group = group_of("latency", "{\"latency\":1}");
        group.latency_usec++;
        assert_int_equal(toxic_from_group(&group, TO_CLIENT, &toxic), -ENOENT);
        group = group_of("bandwidth", "{\"rate\":1}");
        group.burst_bytes = 100;
        assert_int_equal(toxic_from_group(&group, TO_CLIENT, &toxic), -ENOENT);
        group = group_of("latency", "{\"latency\":1}");
        group.name[0] = '\0';
        assert_int_equal(toxic_from_group(&group, TO_CLIENT, &toxic), -ENOENT);
}

static void test_updates(void **state)
{
        struct toxic *toxic = make("{\"type\": \"latency\", \"stream\": \"UPSTREAM\", "
                                   "\"attributes\": {\"latency\": 5, \"jitter\": 6}}",
                                   NULL);
        json_t *json = parse("{\"name\": \"x\", \"type\": \"noop\", \"stream\": \"downstream\", "
                             "\"toxicity\": 0.25, \"attributes\": {\"JITTER\": 7}}");
        struct refusal refusal;
        struct toxic *changed;

        (void)state;
        assert_int_equal(toxic_update(toxic, json, &changed, &refusal), 0);
        expect_json(changed,
                    "{\"attributes\":{\"latency\":5,\"jitter\":7},\"name\":\"latency_UPSTREAM\","
                    "\"type\":\"latency\",\"stream\":\"UPSTREAM\",\"toxicity\":0.25}");
        json_decref(json);
        toxic_unref(changed);
        changed = NULL;
        json = parse("{\"attributes\": {\"latency\": -1}}");
        assert_int_equal(toxic_update(toxic, json, &changed, &refusal), -EINVAL);
        assert_null(changed);
        json_decref(json);
        toxic_unref(toxic);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_type),
                cmocka_unit_test(test_refusals), cmocka_unit_test(test_updates),
                cmocka_unit_test(test_groups),   cmocka_unit_test(test_toxics_of_groups),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
