/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one VM from its configuration, by file or API, to its end. Thread: main, which becomes the
 * vmm thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/server.h"
#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/console.h"
#include "vmm/hv/hv.h"

struct app_run_options {
    const char *config_path;       /* NULL: configured through the API */
    struct api_server_options api; /* socket_path NULL: no API */
    struct console *console; /* zeroed; opened here, restored by the caller when it has said all */
    enum hv_irqchip irqchip;
    bool boot_timer;
    uint64_t start_time_us;     /* monotonic, when the jailer began; 0: not given */
    uint64_t start_time_cpu_us; /* process CPU time when we were started; 0: not given */
    uint64_t parent_cpu_time_us;
};

/* Returns 0 when the guest ended itself, or -errno with the sentence of cli.md B or of what the
 * guest did. */
MUST_CHECK int app_run(const struct app_run_options *options, struct err *err);
