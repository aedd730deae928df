/* SPDX-License-Identifier: MIT */
/*
 * The echo mode: a client's stream is linked to itself.
 */
#pragma once

#include "connection.h"

extern const struct mode echo_mode;
