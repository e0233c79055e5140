/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of mayfly-snap and, under that name, of Firecracker's snapshot-editor. Single
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Files that one command compares. */
#define SNAPTOOL_OTHERS_MAX 64u

enum snaptool_command {
    SNAPTOOL_HELP,
    SNAPTOOL_PROGRAM_VERSION,
    SNAPTOOL_INFO,
    SNAPTOOL_MERGE,
    SNAPTOOL_UNIQUE,
    SNAPTOOL_STATE_VERSION,
    SNAPTOOL_VCPU_STATES,
    SNAPTOOL_VM_STATE,
};

/* What is asked for; texts are the command line's, NULL where not given. */
struct snaptool_args {
    enum snaptool_command command;
    bool is_editor; /* called as snapshot-editor: nothing is said of success */
    const char *state;
    const char *base_state;
    const char *memory;
    const char *diff;
    const char *output;
    const char *others[SNAPTOOL_OTHERS_MAX];
    uint32_t others_count;
};

/* Returns 0, or -EINVAL with a sentence; is_editor is set anyway. */
MUST_CHECK int snaptool_args_parse(int argc, char *const *argv, struct snaptool_args *ret_args,
                                   struct err *err);

/* The text of --help. */
const char *snaptool_args_usage(bool is_editor);
