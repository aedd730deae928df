/* SPDX-License-Identifier: MIT */
/*
 * The relay mode: the streams of a client and an upstream are linked to each other.
 */
#pragma once

#include "connection.h"

extern const struct mode relay_mode;
