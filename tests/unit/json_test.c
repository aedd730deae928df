/* SPDX-License-Identifier: MIT */
/* The decoding rules of the control interface. */
#include "json.h"
#include "unit.h"

#include <errno.h>

static json_t *parse(const char *text)
{
        struct refusal refusal;
        json_t *json;

        assert_int_equal(json_parse_object(text, strlen(text), &json, &refusal), 0);
        return json;
}

static void expect_bad(const char *text)
{
        struct refusal refusal = { 0 };
        json_t *json = NULL;

        assert_int_equal(json_parse_object(text, strlen(text), &json, &refusal), -EINVAL);
        assert_int_equal(refusal.status, 400);
        assert_memory_equal(refusal.words, "bad request body: ", 18);
        assert_null(json);
}

static void test_bodies(void **state)
{
        (void)state;
        json_decref(parse("{}"));
        json_decref(parse("null"));
        json_decref(parse("{} what follows is ignored"));
        expect_bad("");
        expect_bad("{");
        expect_bad("[]");
        expect_bad("1");
        expect_bad("{\"a\": 99999999999999999999}");
        expect_bad("{\"a\": \"\\u0000\"}");
        expect_bad("{\"a\": \"\xff\"}");
}

static void test_keys(void **state)
{
        json_t *json = parse("{\"NaMe\": \"one\", \"listen\": null, \"x\": [1], \"name\": null}");
        const char *name = NULL, *listen = "kept", *none = "kept";
        struct refusal refusal;

        (void)state;
        assert_int_equal(json_read_text(json, "name", &name, &refusal), 0);
        assert_string_equal(name, "one");
        assert_int_equal(json_read_text(json, "listen", &listen, &refusal), 0);
        assert_string_equal(listen, "kept");
        assert_int_equal(json_read_text(json, "none", &none, &refusal), 0);
        assert_string_equal(none, "kept");
        json_decref(json);
}

static void test_wrong_types(void **state)
{
        json_t *json = parse("{\"text\": 1, \"bool\": \"true\", \"share\": \"0.5\"}");
        const char *text = "kept";
        struct refusal refusal;
        bool yes = true;
        double share = 1;

        (void)state;
        assert_int_equal(json_read_text(json, "text", &text, &refusal), -EINVAL);
        assert_string_equal(refusal.words, "bad request body: text: expected a string");
        assert_int_equal(json_read_bool(json, "bool", &yes, &refusal), -EINVAL);
        assert_string_equal(refusal.words, "bad request body: bool: expected true or false");
        assert_int_equal(json_read_share(json, "share", &share, &refusal), -EINVAL);
        assert_string_equal(refusal.words,
                            "bad request body: share: expected a number from 0 to 1");
        assert_string_equal(text, "kept");
        assert_true(yes);
        assert_true(share == 1);
        json_decref(json);
}

static void test_whole_numbers(void **state)
{
        static const char *const bad[] = {
                "{\"n\": 1.5}", "{\"n\": 1e2}", "{\"n\": 1.0}",  "{\"n\": \"1\"}",
                "{\"n\": -1}",  "{\"n\": 101}", "{\"n\": true}",
        };
        struct refusal refusal;
        uint64_t n = 7;
        json_t *json;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                json = parse(bad[i]);
                assert_int_equal(json_read_count(json, "n", 0, 100, &n, &refusal), -EINVAL);
                assert_string_equal(refusal.words,
                                    "bad request body: n: expected a whole number from 0 to 100");
                assert_int_equal(n, 7);
                json_decref(json);
        }
        json = parse("{\"n\": 100}");
        assert_int_equal(json_read_count(json, "n", 0, 100, &n, &refusal), 0);
        assert_int_equal(n, 100);
        json_decref(json);
}

static void test_shares(void **state)
{
        static const char *const texts[] = { "0", "1", "0.1", "0.25" };
        static const double shares[] = { 0, 1, 0.1, 0.25 };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                json_t *json = json_pack("[o]", json_share(shares[i]));
                char *text = json_write(json), expected[16];

                (void)snprintf(expected, sizeof(expected), "[%s]", texts[i]);
                assert_string_equal(text, expected);
                free(text);
                json_decref(json);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bodies),      cmocka_unit_test(test_keys),
                cmocka_unit_test(test_wrong_types), cmocka_unit_test(test_whole_numbers),
                cmocka_unit_test(test_shares),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
