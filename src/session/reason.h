/* SPDX-License-Identifier: MIT */
/*
 * Why a session ended.
 *
 * Thread: any.
 */
#pragma once

enum reason {
        REASON_END_OF_STREAM,
        REASON_EXCEPTION, /* urgent data at an echo */
        REASON_IDLE,
        REASON_STOPPING, /* the process stops */
        REASON_DISABLED, /* the service was disabled */
        REASON_RESET_BY_PEER,
        REASON_TIMED_OUT,
        REASON_NO_MEMORY,
        REASON_SYSTEM_ERROR,       /* any other error */
        REASON_UPSTREAM_FAILED,    /* the connection to the upstream failed */
        REASON_UPSTREAM_UNREACHED, /* no upstream could be reached */
        REASON_LEFT,               /* the client left before an upstream was reached */
        REASON_MAX_DIALING,
        REASON_FELL_BEHIND, /* more than the quota waited for a member of a hub */
        REASON_PROXY_FROM,  /* the proxy is not in proxy_from */
        REASON_PROXY_HEADER,
        REASON_LIMIT, /* this and the next four are conditions */
        REASON_DISCARD,
        REASON_RESET_AFTER,
        REASON_RESET_AFTER_DATA,
        REASON_DROP_NEW,
        REASONS,
};

/* Return: the text for the log. For a reason with a value, this is the text without the value; see
 * connection_reset_for(). */
const char *reason_text(enum reason reason);

/* Return: the name of a counter, such as "end_of_stream". */
const char *reason_name(enum reason reason);

/* Return: the reason for an end after this error of a socket or the system. @error: -errno. */
enum reason reason_of_error(int error);

/**
 * reason_error_text() - get the text of an error for the log
 * @error: -errno; -EHOSTDOWN: a name cannot be looked up; -EDEADLK: a service itself listens at the
 *         address
 */
const char *reason_error_text(int error);
