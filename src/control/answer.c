/* SPDX-License-Identifier: MIT */
#include "answer.h"

#include <string.h>

#define TEXT_TYPE "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"

void answer_nothing(struct http_request *request, int status)
{
        http_answer(request, status, NULL, NULL, 0);
}

void answer_json(struct http_request *request, int status, json_t *json)
{
        _cleanup_(freep) char *text = json_write(json);

        json_decref(json);
        if (text)
                http_answer(request, status, JSON_TYPE, text, strlen(text));
        else
                answer_nothing(request, 500);
}

void answer_text(struct http_request *request, int status, const char *words)
{
        _cleanup_(freep) char *text = NULL;
        int n = asprintf(&text, "%s\n", words);

        if (n >= 0) {
                http_answer(request, status, TEXT_TYPE, text, (size_t)n);
                return;
        }
        text = NULL;
        answer_nothing(request, status);
}

void answer_refusal(struct http_request *request, const struct refusal *refusal)
{
        json_t *json = json_pack("{s:s, s:i}", "error", refusal->words, "status", refusal->status);
        _cleanup_(freep) char *text = json_write(json);

        json_decref(json);
        if (text)
                answer_text(request, refusal->status, text);
        else
                answer_nothing(request, refusal->status);
}
