/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules into BPF by libseccomp: at build time for the built-in filters, in mayfly-seccomp for
 * others. Not part of the monitor. Thread: any, one at a time.
 */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "jailer/seccomp/sec.h"
#include "jailer/seccomp/table.h"

struct sec_compiled {
    struct sock_filter insns[SEC_INSNS_MAX];
    uint32_t count;
};

struct sec_compiler;

/* Begins a filter. action: a SECCOMP_RET_ value for what no rule names. A foreign architecture is
 * always killed. Returns 0 with *ret_compiler (sec_compiler_free) or -errno. */
MUST_CHECK int sec_compiler_create(uint32_t action, struct sec_compiler **ret_compiler,
                                   struct err *err);

/* NULL is fine. */
void sec_compiler_free(struct sec_compiler *compiler);

/*
 * Adds a rule: the call `name` whose arguments pass all `count` checks (of different arguments)
 * gets `action`. Returns 0, -ENOENT: no such call, -EEXIST: there is such a rule, -EINVAL: nothing
 * that a filter can decide, -ENOMEM.
 */
MUST_CHECK int sec_compiler_add(struct sec_compiler *compiler, uint32_t action, const char *name,
                                const struct sec_check *checks, uint32_t count, struct err *err);

/* Ends it. Returns 0, or -errno: -EFBIG: longer than the kernel takes. */
MUST_CHECK int sec_compiler_finish(struct sec_compiler *compiler, struct sec_compiled *ret_compiled,
                                   struct err *err);

/* One of the built-in filters, from the table. A filter that narrows leaves to SEC_FILTER_START what
 * that checks already. Returns as the above. */
MUST_CHECK int sec_compile_rules(enum sec_filter which, struct sec_compiled *ret_compiled,
                                 struct err *err);
