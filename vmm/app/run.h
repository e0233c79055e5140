/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one VM from its configuration, by file or API, to its end. Thread: main, which becomes the
 * vmm thread.
 */
#pragma once

#include <stdbool.h>

#include "api/server.h"
#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/console.h"
#include "vmm/app/sandbox.h"
#include "vmm/hv/hv.h"

/* What whoever started us has measured, in µs as decimal text; NULL: not given (cli.md A.2). */
struct app_start_times {
    const char *mono_us;       /* the monotonic clock at its own start */
    const char *cpu_us;        /* the process's CPU time before us */
    const char *parent_cpu_us; /* CPU time of its parent, to be added */
};

struct app_run_options {
    const char *config_path;       /* NULL: configured through the API */
    const char *snapshot_path;     /* a file with the body of PUT /snapshot/load; NULL: none */
    bool resume;                   /* what it loads */
    const char *warm_path;         /* a file with the body of PUT /machine-config; NULL: none */
    struct api_server_options api; /* socket_path NULL: no API */
    struct console *console; /* zeroed; opened here, restored by the caller when it has said all */
    enum hv_irqchip irqchip;
    bool irqchip_is_asked; /* by the command line: a snapshot that has another is a warning */
    bool boot_timer;
    struct app_start_times start_times; /* checked numbers */
    const char *metadata_path;          /* NULL: none */
    uint64_t metadata_max_size;         /* bytes of the compact document */
    struct app_sandbox_options sandbox;
    const char *prometheus_path; /* a file, or "unix:" and a socket's path; NULL: none */
};

/* Returns 0 when the guest ended itself, or -errno with the sentence of cli.md B or of what the
 * guest did. */
MUST_CHECK int app_run(const struct app_run_options *options, struct err *err);
