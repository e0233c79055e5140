/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp filters of the monitor's threads. The tables (table.c) are compiled at build time: what
 * is here only installs. Filters add up: a thread inherits its maker's, a call has to pass all of
 * them. Spec: cli.md H; seccomp(2).
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Which calls a thread may make, by what it is and how far the VM has come. */
enum sec_filter {
    SEC_FILTER_START, /* all threads, from before the first byte from outside on: inherited */
    SEC_FILTER_VMM,   /* the vmm thread once a guest runs or is loaded, and its helpers */
    SEC_FILTER_API,   /* the API's thread, and that which answers scrapes */
    SEC_FILTER_VCPU,
    SEC_FILTERS_COUNT,
};

/* Longest program: more than the kernel takes (BPF_MAXINSNS) is never made. */
#define SEC_INSNS_MAX 4096u

/* One compiled filter; count 0: none is to be installed. insns: borrowed. */
struct sec_program {
    const struct sock_filter *insns;
    uint32_t count;
};

struct sec_set {
    struct sec_program programs[SEC_FILTERS_COUNT];
    struct sock_filter *storage; /* of what sec_set_load or sec_set_settle made; NULL: none */
};

/* The filters of this build; nothing to release. */
struct sec_set sec_set_builtin(void);

/*
 * Reads filters that mayfly-seccomp compiled (docs/seccomp.md has the format) from the file `path`.
 * There must be one for each of vmm, api and vcpu; start is optional. Every instruction is checked
 * by the kernel when it is installed; sizes, offsets and checksum here.
 * Returns 0 with *ret_set (sec_set_done), or -errno: -EINVAL no such file's content, -EFBIG, and
 * those of open and read. Thread: main, at start.
 */
MUST_CHECK int sec_set_load(const char *path, struct sec_set *ret_set, struct err *err);

/*
 * Puts in what is known only at run time: this process's id, into the built-in filters; and, for
 * `audit`, that what would be trapped is written to the kernel's log, and happens. Ahead of all
 * threads: a thread that installs must need no memory, which its filter may not let it give back.
 * Returns 0 or -ENOMEM; then *set stays as it is.
 */
MUST_CHECK int sec_set_settle(struct sec_set *set, bool audit, struct err *err);

/* Frees what the above made. NULL, and the built-in set, are fine. */
void sec_set_done(struct sec_set *set);

/*
 * Puts the calling thread under one filter of a settled set, for good; no_new_privs has to be set.
 * A filter of no instructions is none. Returns 0, or -errno of seccomp(2): the caller has to end
 * then.
 */
MUST_CHECK int sec_install(const struct sec_set *set, enum sec_filter which, struct err *err);

/* "start", "vmm", "api" or "vcpu". */
const char *sec_filter_name(enum sec_filter which);

/* The name of a system call of this machine's, or "unknown". Safe in a signal's handler. */
const char *sec_call_name(int number);
