/* SPDX-License-Identifier: MIT */
#include "refusal.h"

#include <errno.h>
#include <stdarg.h>

int refuse(struct refusal *refusal, int status, const char *format, ...)
{
        va_list list;

        refusal->status = status;
        va_start(list, format);
        (void)vsnprintf(refusal->words, sizeof(refusal->words), format, list);
        va_end(list);
        return -EINVAL;
}

int refuse_no_memory(struct refusal *refusal)
{
        return refuse(refusal, 500, "out of memory");
}
