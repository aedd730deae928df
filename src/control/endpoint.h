/* SPDX-License-Identifier: MIT */
/*
 * Addresses as toxiproxy's clients write them: "localhost:0", ":8080", "" and "[::]:8080", beside
 * those of the configuration file.
 *
 * Thread: any.
 */
#pragma once

#include "service_config.h"

/* The longest name of a host, with the NUL. */
#define ENDPOINT_HOST_SIZE 254

/**
 * endpoint_split_name() - split "NAME:PORT", where NAME is a name to look up
 * @host: at least ENDPOINT_HOST_SIZE bytes
 *
 * Return: false: @text is anything else, such as an address.
 */
bool endpoint_split_name(const char *text, char *host, uint16_t *port);

/**
 * endpoint_parse_listen() - read where a service is to listen
 *
 * "", ":PORT", "0.0.0.0:PORT" and "[::]:PORT" mean every address of this host; "localhost" means
 * 127.0.0.1. For other names see endpoint_split_name(). A missing port is port 0.
 *
 * Return: 0; -EINVAL: not an address of these forms; -ENOMEM.
 */
_must_use_ int endpoint_parse_listen(const char *text, struct address *out);

/**
 * endpoint_format_listen() - write an address the way endpoint_parse_listen() reads it
 * @out: at least ADDRESS_TEXT_SIZE bytes
 *
 * Return: @out.
 */
const char *endpoint_format_listen(const struct address *address, char *out);

/**
 * endpoint_parse_upstream() - read where a relay is to connect to
 * @out: set to it; freed with upstream_deinit()
 *
 * A missing host means this host. Names are looked up when a client comes.
 *
 * Return: 0; -EINVAL: not an address, nor a name with a port; -ENOMEM.
 */
_must_use_ int endpoint_parse_upstream(const char *text, struct upstream *out);
