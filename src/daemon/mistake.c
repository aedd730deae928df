/* SPDX-License-Identifier: MIT */
#include "mistake.h"
#include "escape.h"
#include "log.h"

void mistake_log(void *arg, const char *file, unsigned line, const char *text)
{
        char shown[ESCAPE_PATH_SIZE];
        const struct log_about about = { .config_file = escape_path(file, shown),
                                         .config_line = line };

        (void)arg;
        log_write(LOG_CONFIG_INVALID, &about, "%s:%u: %s", shown, line, text);
}
