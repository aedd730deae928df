/* SPDX-License-Identifier: MIT */
/*
 * Why a session ended.
 *
 * Thread: any.
 */
#pragma once

enum reason {
        REASON_END_OF_STREAM,
        REASON_EXCEPTION, /* urgent data, of an echo */
        REASON_IDLE,
        REASON_STOPPING, /* the process */
        REASON_DISABLED, /* the service */
        REASON_RESET_BY_PEER,
        REASON_TIMED_OUT,
        REASON_NO_MEMORY,
        REASON_SYSTEM_ERROR,       /* any other error */
        REASON_UPSTREAM_FAILED,    /* while it was connected */
        REASON_UPSTREAM_UNREACHED, /* none could be reached */
        REASON_LEFT,               /* the client, before an upstream was reached */
        REASON_MAX_DIALING,
        REASON_FELL_BEHIND, /* the member of a hub, by more than its quota */
        REASON_PROXY_FROM,  /* the client is not in it */
        REASON_PROXY_HEADER,
        REASON_LIMIT, /* this and the next two: conditions */
        REASON_RESET_AFTER,
        REASON_DROP_NEW,
        REASONS,
};

/* Return: the words of the log. A reason that names a value has its own, see
 * connection_reset_for(); then these say it without the value. */
const char *reason_text(enum reason reason);

/* Return: the name for a counter: "end_of_stream". */
const char *reason_name(enum reason reason);

/* Return: the reason for an end after an error of a socket or of the system. @error: -errno. */
enum reason reason_of_error(int error);

/**
 * reason_error_text() - say in the words of the log what went wrong
 * @error: -errno; -EHOSTDOWN: a name cannot be looked up; -EDEADLK: a service itself listens at the
 *         address
 */
const char *reason_error_text(int error);
