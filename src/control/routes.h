/* SPDX-License-Identifier: MIT */
/*
 * The routes of the control interface: the function for each path and method.
 *
 * Thread: main.
 */
#pragma once

#include "change.h"

/* Serves a request. */
void routes_serve(struct control *control, struct http_request *request);
