/* SPDX-License-Identifier: MIT */
/*
 * Answers of the control interface.
 *
 * Thread: main.
 */
#pragma once

#include "http.h"
#include "json.h"

/* Answers with a value, or with 500 if @json is NULL, which means out of memory. Takes the
 * reference. */
void answer_json(struct http_request *request, int status, json_t *json);

/* Answers with plain text and a newline. */
void answer_text(struct http_request *request, int status, const char *words);

/* Answers {"error": …, "status": …} as plain text. */
void answer_refusal(struct http_request *request, const struct refusal *refusal);

/* Answers without a body. */
void answer_nothing(struct http_request *request, int status);
