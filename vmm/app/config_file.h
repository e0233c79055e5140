/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --config-file: API bodies under kebab-case keys in one JSON document (cli.md B,
 * deltas.md 3). Thread: main, before any other thread exists. Parsing itself touches no file; what
 * it needs from outside comes through struct app_config_hooks.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/ctl/ctl.h"

#define APP_CONFIG_FILE_MAX_SIZE (1024u * 1024u)
#define APP_CPU_TEMPLATE_MAX_SIZE (1024u * 1024u)

/* Parts of the work, each with its category in sentences. */
enum app_config_part {
    APP_CONFIG_JSON,
    APP_CONFIG_LOGGER,
    APP_CONFIG_METRICS,
    APP_CONFIG_MACHINE,
    APP_CONFIG_FILE,
    APP_CONFIG_BOOT_SOURCE,
    APP_CONFIG_DRIVE,
    APP_CONFIG_NIC,
    APP_CONFIG_VSOCK,
    APP_CONFIG_MMDS,
    APP_CONFIG_METADATA,    /* of --metadata */
    APP_CONFIG_UNSUPPORTED, /* "The requested operation is not supported: " */
};
#define APP_CONFIG_PARTS_COUNT (APP_CONFIG_UNSUPPORTED + 1)

/* What the loader asks of its caller; every member may be NULL. */
struct app_config_hooks {
    void *ctx;

    /* Text of the CPU template that "cpu-config" names by a path. ret_text: the loader frees. NULL:
     * a path is refused. app_config_template_read is the real one. */
    int (*template_read)(void *ctx, const char *path, char **ret_text, size_t *ret_len,
                         struct err *err);

    /* Called once when there were unknown top-level keys, which are ignored; `keys` is fit for a
     * log line and borrowed: "`a`, `b`". */
    void (*unknown_keys)(void *ctx, const char *keys);

    /* The logger and metrics sections, as soon as the document has the right shape and before
     * anything else is checked, so that later failures reach the log. A failure ends the load under
     * its category. */
    struct ctl_sinks sinks;
};

/*
 * Reads a config file. Sentence on failure: "Unable to open or read from the configuration file:
 * ...". ret_text: the caller frees. Returns 0, -EFBIG (larger than APP_CONFIG_FILE_MAX_SIZE) or
 * -errno of open/read.
 */
MUST_CHECK int app_config_file_read(const char *path, char **ret_text, size_t *ret_len,
                                    struct err *err);

/*
 * Decodes and validates a whole document, applying its sections in the order of cli.md B. Sentences
 * on failure begin "Configuration for VMM from one single json failed: <Category>: ". hooks: may be
 * NULL. ret_vm: overwritten on success only; the caller releases it with cfg_vm_done. Returns 0,
 * -EINVAL, -EEXIST, -ENOSPC, -EOPNOTSUPP (excluded or not yet supported), -ENOMEM or what a hook
 * gave.
 */
MUST_CHECK int app_config_file_parse(const char *text, size_t len,
                                     const struct app_config_hooks *hooks, struct cfg_vm *ret_vm,
                                     struct err *err);

/* Both: returns and sentences as the two above. */
MUST_CHECK int app_config_file_load(const char *path, const struct app_config_hooks *hooks,
                                    struct cfg_vm *ret_vm, struct err *err);

/* The template_read hook that opens the path; ctx is not used. */
int app_config_template_read(void *ctx, const char *path, char **ret_text, size_t *ret_len,
                             struct err *err);

/* Puts the wrapper and the category of a part before a sentence, for steps that the caller does
 * after the load (opening kernel and drives). Returns err->code. */
int app_config_fail(enum app_config_part part, struct err *err);
