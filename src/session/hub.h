/* SPDX-License-Identifier: MIT */
/*
 * The hub mode: a client's bytes go to all other clients of the service.
 */
#pragma once

#include "connection.h"

extern const struct mode hub_mode;
