/* SPDX-License-Identifier: MIT */
/*
 * The relay mode: what a client sends goes to an upstream, and what that sends to the client. Two
 * streams linked to each other.
 */
#pragma once

#include "connection.h"

extern const struct mode relay_mode;
