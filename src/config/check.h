/* SPDX-License-Identifier: MIT */
/*
 * Checks that concern more than one value: keys that need another key or a mode, and relays that
 * lead to themselves. Mistakes are reported to the reader. Thread: any.
 */
#pragma once

#include "reader.h"

/* Checks the top level. */
void check_top(struct reader *r, config_setting_t *root);

/* Checks a group of conditions that has been read. */
void check_conditions(struct reader *r, config_setting_t *setting,
                      const struct conditions *conditions);

/* Checks a service that has been read. */
void check_service(struct reader *r, config_setting_t *setting,
                   const struct service_config *service);

/* Finds the relay that each upstream leads to, and reports relays that lead to themselves. */
void check_loops(struct reader *r, config_setting_t *services);
