/* SPDX-License-Identifier: MIT */
/*
 * Retrying of log lines for a slow reader. After log_retry_start(), log lines do not wait for their
 * reader: they are queued, and the loop writes them when the reader takes them.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"

/**
 * log_retry_start() - make the log non-blocking, and let the loop write queued lines
 * @out: set to the loop's event; freed with event_free()
 *
 * Return: 0; -ENOMEM; see log_set_nonblocking().
 */
_must_use_ int log_retry_start(struct loop *loop, struct event **out);
