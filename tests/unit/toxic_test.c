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
                toxic = toxic_free(toxic);
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
        assert_int_equal(toxic->stream, TOXIC_DOWNSTREAM);
        expect_json(toxic,
                    "{\"attributes\":{\"latency\":0,\"jitter\":0},\"name\":\"latency_downstream\","
                    "\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":1}");
        toxic_free(toxic);
        toxic = make("{\"type\": \"noop\", \"stream\": \"UpStream\", \"toxicity\": 0.5}", NULL);
        assert_int_equal(toxic->stream, TOXIC_UPSTREAM);
        expect_json(toxic, "{\"attributes\":{},\"name\":\"noop_UpStream\",\"type\":\"noop\","
                           "\"stream\":\"UpStream\",\"toxicity\":0.5}");
        toxic_free(toxic);
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
                toxic_free(toxic);
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
        toxic_free(changed);
        changed = NULL;
        json = parse("{\"attributes\": {\"latency\": -1}}");
        assert_int_equal(toxic_update(toxic, json, &changed, &refusal), -EINVAL);
        assert_null(changed);
        json_decref(json);
        toxic_free(toxic);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_every_type),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_updates),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
