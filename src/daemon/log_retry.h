/* SPDX-License-Identifier: MIT */
/*
 * The log's reader may be slow. From log_retry_start() on, no log line waits for it: lines are
 * kept, and written when the reader takes them.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"

/**
 * log_retry_start() - let the loop write kept lines
 * @out: set to the event that does so; freed with event_free()
 *
 * Return: 0; -ENOMEM; see log_set_nonblocking().
 */
_must_use_ int log_retry_start(struct loop *loop, struct event **out);
