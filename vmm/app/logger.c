/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the logger's configuration to the process's log. Thread: main.
 */
#include "vmm/app/logger.h"

#include "base/log.h"
#include "vmm/config/cfg_text.h"

int app_logger_apply(const struct cfg_logger *logger, struct err *err)
{
    struct log_settings settings = log_get();
    settings.level = LOG_LEVEL_INFO;
    int rc = logger->level ? cfg_log_level_parse(logger->level, &settings.level, err) : 0;
    if (rc < 0)
        return rc;
    if (logger->has_show_level)
        settings.show_level = logger->show_level;
    if (logger->has_show_log_origin)
        settings.show_origin = logger->show_log_origin;
    rc = logger->log_path ? log_open(logger->log_path, err) : 0;
    if (rc < 0)
        return rc;
    log_set(&settings);
    if (logger->module)
        log_set_module(logger->module);
    return 0;
}
