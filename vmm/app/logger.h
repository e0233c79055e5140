/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log as it was asked for: on the command line, in the config file or by PUT /logger (cli.md E,
 * api.md 7). Thread: main.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

/*
 * Sets the process's log: the level, which is Info when it is absent; what else is absent stays as
 * it is. logger: read, not kept. Returns 0, or -EINVAL (no such level) or -errno of log_open, and
 * then nothing has changed.
 */
MUST_CHECK int app_logger_apply(const struct cfg_logger *logger, struct err *err);
