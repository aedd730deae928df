/* SPDX-License-Identifier: MIT */
/*
 * The metrics, in the text format of Prometheus 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats).
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/**
 * metrics_write() - write the metrics of the process, of all services and of all proxies
 * @out: set to the text, of @n bytes, which the caller frees
 *
 * The counters are read while the workers go on counting. The size of the text depends on the
 * number of services, and not on the number of connections.
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int metrics_write(const struct control *control, char **out, size_t *n);
