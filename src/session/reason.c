/* SPDX-License-Identifier: MIT */
#include "reason.h"

#include <errno.h>
#include <string.h>

static const struct {
        const char *name, *text;
} reasons[] = {
        [REASON_END_OF_STREAM] = { "end_of_stream", "end of stream" },
        [REASON_EXCEPTION] = { "exception_condition", "exception condition" },
        [REASON_IDLE] = { "idle_timeout", "idle timeout" },
        [REASON_STOPPING] = { "stopping", "stopping" },
        [REASON_DISABLED] = { "disabled", "disabled" },
        [REASON_RESET_BY_PEER] = { "reset_by_peer", "reset by peer" },
        [REASON_TIMED_OUT] = { "timed_out", "timed out" },
        [REASON_NO_MEMORY] = { "out_of_memory", "out of memory" },
        [REASON_SYSTEM_ERROR] = { "system_error", "system error" },
        [REASON_UPSTREAM_FAILED] = { "upstream_failed", "upstream failed" },
        [REASON_UPSTREAM_UNREACHED] = { "upstream_unreached", "no upstream can be reached" },
        [REASON_LEFT] = { "left", "left before an upstream was reached" },
        [REASON_MAX_DIALING] = { "max_dialing", "max_dialing" },
        [REASON_FELL_BEHIND] = { "fell_behind", "fell behind" },
        [REASON_PROXY_FROM] = { "proxy_from", "not in proxy_from" },
        [REASON_PROXY_HEADER] = { "proxy_header", "no PROXY header" },
        [REASON_LIMIT] = { "limit", "limit" },
        [REASON_DISCARD] = { "discard", "discard" },
        [REASON_RESET_AFTER_DATA] = { "reset_after_data", "reset_after_data" },
        [REASON_RESET_AFTER] = { "reset_after", "reset_after" },
        [REASON_DROP_NEW] = { "drop_new", "drop_new" },
};

_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == REASONS, "each reason has its words");

const char *reason_text(enum reason reason)
{
        return reasons[reason].text;
}

const char *reason_name(enum reason reason)
{
        return reasons[reason].name;
}

enum reason reason_of_error(int error)
{
        switch (error) {
        case -ECONNRESET:
        case -EPIPE:
        case -ENOTCONN:
                return REASON_RESET_BY_PEER;
        case -ETIMEDOUT:
                return REASON_TIMED_OUT;
        case -ENOMEM:
        case -ENOBUFS:
                return REASON_NO_MEMORY;
        default:
                return REASON_SYSTEM_ERROR;
        }
}

const char *reason_error_text(int error)
{
        enum reason reason = reason_of_error(error);

        if (reason != REASON_SYSTEM_ERROR)
                return reason_text(reason);
        switch (error) {
        case -EHOSTDOWN: /* see dialer.h */
                return "its name cannot be looked up";
        case -EDEADLK: /* see dialer.h */
                return "the service itself listens there";
        case -EHOSTUNREACH:
        case -ENETUNREACH:
                return "unreachable";
        default:
                return strerrordesc_np(-error);
        }
}
