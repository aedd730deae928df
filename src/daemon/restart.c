/* SPDX-License-Identifier: MIT */
#include "restart.h"
#include "controlled.h"
#include "workers.h"

#include <string.h>

void restart_log_needed(const struct config *started, size_t n_workers, const struct config *config)
{
        size_t wanted = workers_wanted(config);

        if (strcmp(config->backend, started->backend) != 0)
                log_write(LOG_RESTART_NEEDED, NULL,
                          "backend is \"%s\" until selectd is restarted, then \"%s\"",
                          started->backend, config->backend);
        if (wanted != n_workers)
                log_write(LOG_RESTART_NEEDED, NULL,
                          "there %s %zu worker%s until selectd is restarted, then %zu",
                          n_workers == 1 ? "is" : "are", n_workers, n_workers == 1 ? "" : "s",
                          wanted);
        if (!controlled_is_same(started, config))
                log_write(LOG_RESTART_NEEDED, NULL,
                          "control stays as it was until selectd is restarted");
}
