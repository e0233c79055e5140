/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of cli.md A: grammar, options as one table, help text. Pure; thread: main, at
 * start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/err.h"

/* Values as given; NULL: absent (defaults are in the table and filled in). Borrowed from argv. */
struct app_args {
    const char *api_sock;
    const char *id;
    const char *config_file;
    const char *metadata;
    const char *log_path;
    const char *level;
    const char *module;
    const char *metrics_path;
    const char *http_api_max_payload_size;
    const char *mmds_size_limit;
    const char *seccomp_filter;
    const char *start_time_us;
    const char *start_time_cpu_us;
    const char *parent_cpu_time_us;
    const char *prometheus_path;
    const char *describe_snapshot;
    const char *load_snapshot;
    const char *policy_counters_fd;
    const char *irqchip; /* no default in the table: whoever asks is told when it is not so */
    const char *warm;
    struct cmdline_list allow_paths;
    bool no_api;
    bool show_level;
    bool show_log_origin;
    bool boot_timer;
    bool no_seccomp;
    bool seccomp_audit;
    bool no_landlock;
    bool require_landlock;
    bool enable_pci;
    bool version;
    bool snapshot_version;
    bool help;
    bool check_host;
    bool probe;
    bool resume;
};

/*
 * Parses argv[1..argc). --help and --version anywhere before a bare "--" win over every other
 * fault.
 * Returns 0 with *ret_args, or -EINVAL with the text of cli.md A.1 (without the wrapper).
 */
MUST_CHECK int app_args_parse(int argc, char *const *argv, struct app_args *ret_args,
                              struct err *err);

/* Checks that numeric options hold decimal numbers below 2^64. Returns 0 or -EINVAL with the
 * sentence of cli.md A.2. */
MUST_CHECK int app_args_check_numbers(const struct app_args *args, struct err *err);

/* Writes the help text behind the program line into buf (cut when too small). Returns its full
 * length. */
size_t app_args_help(char *buf, size_t size);
