/*
 * Checks of what no value alone tells: keys that need each other or a mode, and relays that lead to
 * themselves. Mistakes are reported to the reader. Thread: any.
 */
#pragma once

#include "reader.h"

/* Checks a group of conditions that has been read. */
void check_conditions(struct reader *r, config_setting_t *setting,
                      const struct conditions *conditions);

/* Checks a service that has been read. */
void check_service(struct reader *r, config_setting_t *setting, const struct service *service);

/* Finds the relay at which each upstream leads, and checks that none leads back. */
void check_loops(struct reader *r, config_setting_t *services);
