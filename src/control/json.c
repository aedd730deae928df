/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int json_parse(const char *text, size_t n, json_t **out, struct refusal *refusal)
{
        json_error_t error;
        json_t *json = json_loadb(text, n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);

        if (!json && json_error_code(&error) == json_error_out_of_memory)
                return refuse_no_memory(refusal);
        if (!json)
                return refuse(refusal, 400, "bad request body: line %d, column %d: %s", error.line,
                              error.column,
                              json_error_code(&error) == json_error_premature_end_of_input
                                      ? "it ends too early"
                                      : "it is not JSON");
        *out = json;
        return 0;
}

int json_make_object(json_t **json, struct refusal *refusal)
{
        if (json_is_null(*json)) {
                *json = json_object();
                if (!*json)
                        return refuse_no_memory(refusal);
        }
        return json_is_object(*json) ? 0
                                     : refuse(refusal, 400, "bad request body: expected an object");
}

int json_parse_object(const char *text, size_t n, json_t **out, struct refusal *refusal)
{
        json_t *json = NULL;
        int r = json_parse(text, n, &json, refusal);

        if (r == 0)
                r = json_make_object(&json, refusal);
        if (r < 0) {
                json_decref(json);
                return r;
        }
        *out = json;
        return 0;
}

json_t *json_member(json_t *object, const char *key)
{
        json_t *found = NULL, *value;
        const char *name;

        json_object_foreach(object, name, value) if (strcasecmp(name, key) == 0 &&
                                                     !json_is_null(value)) found = value;
        return found;
}

int json_read_text(json_t *object, const char *key, const char **out, struct refusal *refusal)
{
        const json_t *member = json_member(object, key);

        if (!member)
                return 0;
        if (!json_is_string(member))
                return refuse(refusal, 400, "bad request body: %s: expected a string", key);
        *out = json_string_value(member);
        return 0;
}

int json_read_bool(json_t *object, const char *key, bool *out, struct refusal *refusal)
{
        const json_t *member = json_member(object, key);

        if (!member)
                return 0;
        if (!json_is_boolean(member))
                return refuse(refusal, 400, "bad request body: %s: expected true or false", key);
        *out = json_is_true(member);
        return 0;
}

int json_read_share(json_t *object, const char *key, double *out, struct refusal *refusal)
{
        const json_t *member = json_member(object, key);
        double value = json_number_value(member);

        if (!member)
                return 0;
        if (!json_is_number(member) || !(value >= 0 && value <= 1))
                return refuse(refusal, 400, "bad request body: %s: expected a number from 0 to 1",
                              key);
        *out = value;
        return 0;
}

int json_read_count(json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *out,
                    struct refusal *refusal)
{
        const json_t *member = json_member(object, key);
        json_int_t value = json_integer_value(member);

        if (!member)
                return 0;
        if (!json_is_integer(member) || value < 0 || (uint64_t)value < min || (uint64_t)value > max)
                return refuse(refusal, 400,
                              "bad request body: %s: expected a whole number from %" PRIu64
                              " to %" PRIu64,
                              key, min, max);
        *out = (uint64_t)value;
        return 0;
}

json_t *json_share(double value)
{
        return value == (double)(json_int_t)value ? json_integer((json_int_t)value)
                                                  : json_real(value);
}

char *json_write(const json_t *json)
{
        /* With at most fifteen digits, every number is printed as it was written. */
        return json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
}
