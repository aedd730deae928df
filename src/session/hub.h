/* SPDX-License-Identifier: MIT */
/*
 * The hub mode: what a client sends goes to all other clients of the service. See connection.h.
 */
#pragma once

#include "connection.h"

extern const struct mode hub_mode;
