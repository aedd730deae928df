/* SPDX-License-Identifier: MIT */
/*
 * Readers of values, for the tables of keys.c: numbers, durations, sizes, words, addresses.
 *
 * Each reads @setting. It stores a legal value at @out, the place that the key names, and reports
 * any other value as a mistake. Thread: any.
 */
#pragma once

#include "keys.h"
#include "reader.h"

/* Numbers from key->min to key->max, stored as uint64_t: any, a size in bytes, a duration. */
key_read_fn read_count, read_bytes, read_usec;

/* A share from 0 to 1, stored as double. */
key_read_fn read_share;

key_read_fn read_bool;

/* Words, stored as enum log_level, a string, enum service_mode, and whether it is "accept". */
key_read_fn read_log_level, read_backend, read_mode, read_proxy_protocol;

/* A text of key->min to key->max bytes, stored in an array of char with the NUL. */
key_read_fn read_name;

/* These store several members of struct config, or struct conditions. */
key_read_fn read_seed, read_stall_after;

/* An octal mode, and a group of this system: members of a struct socket_access. */
key_read_fn read_socket_mode, read_socket_group;

/* Addresses of the control interface, one or a list, added to those of a struct config. */
key_read_fn read_control;

/* Addresses, one or a list, added to those of a struct service_config. */
key_read_fn read_listen, read_upstream, read_proxy_from;
