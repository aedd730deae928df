/* SPDX-License-Identifier: MIT */
/*
 * The echo mode: what a client sends comes back to it. A stream linked to itself.
 */
#pragma once

#include "connection.h"

extern const struct mode echo_mode;
