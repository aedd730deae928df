/* SPDX-License-Identifier: MIT */
/*
 * The routes of the control interface: which path and method does what.
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

/* Serves a request. */
void routes_serve(struct control *control, struct http_request *request);
