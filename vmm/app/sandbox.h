/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's own walls: no_new_privs, no core dumps, few capabilities, Landlock, seccomp
 * (docs/security.md). Each thread is behind its own before it reads its first byte from outside;
 * the vmm thread's close further when a guest runs or is loaded.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/thread.h"
#include "jailer/seccomp/sec.h"
#include "vmm/app/landlock.h"

struct app_sandbox_options {
    const char *seccomp_filter; /* a file of mayfly-seccomp; NULL: the built-in filters */
    bool no_seccomp;
    bool seccomp_audit; /* what a filter forbids is logged by the kernel, and happens */
    bool no_landlock;
    bool require_landlock;           /* a kernel without it is a failure */
    struct cmdline_list allow_paths; /* none: any path */
};

/* Lives as long as the process; shared by its threads, which only read it. */
struct app_sandbox {
    const struct app_sandbox_options *options;
    struct sec_set filters;
    struct app_landlock landlock;
    uint64_t caps;  /* main's, from the start on */
    bool is_narrow; /* the vmm thread's own */
};

/*
 * Puts the calling thread, and all that it will make, behind the first walls. Handlers of signals
 * are installed. options: borrowed for the process's life. Returns 0, or -errno with the sentence;
 * then the process has to end. Thread: main, the only one yet.
 */
MUST_CHECK int app_sandbox_start(struct app_sandbox *sandbox,
                                 const struct app_sandbox_options *options, struct err *err);

/* The walls of the API's threads, of the vCPUs', and of the vmm thread's helpers. */
struct thread_entry app_sandbox_api(struct app_sandbox *sandbox);
struct thread_entry app_sandbox_vcpu(struct app_sandbox *sandbox);
struct thread_entry app_sandbox_helper(struct app_sandbox *sandbox);

/* A guest runs, or is loaded: all threads are there, and the vmm thread keeps what it needs from
 * now on. Ends the process where that fails. Later calls do nothing. Thread: vmm. */
void app_sandbox_narrow(struct app_sandbox *sandbox);

/* Says in the sentence of what failed that --allow-path may be why. Any thread. */
void app_sandbox_explain(const struct app_sandbox *sandbox, struct err *err);

/* Releases what app_sandbox_start took; the walls stay. */
void app_sandbox_done(struct app_sandbox *sandbox);
