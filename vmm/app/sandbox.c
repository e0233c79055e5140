/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls, in the order in which they are put up: what cannot be taken back first, seccomp last,
 * since it forbids the calls that the others need. Spec: docs/security.md.
 */
#include "vmm/app/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "vmm/app/exit_code.h"
#include "vmm/app/signals.h"

#define CAP(capability) (1ull << (capability))
/* Files of other users, as root has them: drives, snapshots, their owners and modes. */
#define CAPS_FILES                                                                                 \
    (CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER) | CAP(CAP_CHOWN))
/* TAPs that are made or belong to others; userfaultfd; locked memory of rings before Linux 5.12. */
#define CAPS_START (CAPS_FILES | CAP(CAP_NET_ADMIN) | CAP(CAP_SYS_PTRACE) | CAP(CAP_IPC_LOCK))

static struct __user_cap_header_struct cap_header(void)
{
    return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

/* What main has. Returns 0 or -errno. */
static int get_capabilities(uint64_t *ret_caps)
{
    struct __user_cap_header_struct header = cap_header();
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *ret_caps = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

/* Keeps of the calling thread's capabilities, which are `has`, those of `keep`. Returns 0 or
 * -errno with the sentence. */
static int keep_capabilities(uint64_t has, uint64_t keep, struct err *err)
{
    struct __user_cap_header_struct header = cap_header();
    struct __user_cap_data_struct data[2];
    keep &= has;
    if (has == keep)
        return 0;
    for (int i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(keep >> (32 * i)),
                                                  .permitted = (uint32_t)(keep >> (32 * i))};
    if (syscall(SYS_capset, &header, data) < 0)
        return err_set(err, -errno, "Giving up capabilities: %s", ERR_OS(errno));
    return 0;
}

static int give_up_privileges(struct app_sandbox *sandbox, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, -errno, "prctl(PR_SET_NO_NEW_PRIVS): %s", ERR_OS(errno));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(err, -errno, "prctl(PR_SET_DUMPABLE): %s", ERR_OS(errno));
    uint64_t has = 0;
    int rc = get_capabilities(&has);
    if (rc < 0)
        return err_set(err, rc, "Which capabilities this process has: %s", ERR_OS(rc));
    sandbox->caps = has & CAPS_START;
    return keep_capabilities(has, CAPS_START, err);
}

static int start_landlock(struct app_sandbox *sandbox, struct err *err)
{
    const struct app_sandbox_options *options = sandbox->options;
    if (options->no_landlock)
        return 0;
    int rc = app_landlock_start(&sandbox->landlock, &options->allow_paths, err);
    if (rc > 0 && rc < LANDLOCK_ABI_SCOPES)
        log_info("This kernel's Landlock (ABI %d) keeps no signals and abstract sockets; Linux "
                 "6.12 does.",
                 rc);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (options->require_landlock || options->allow_paths.count > 0)
        return err_set(
            err, -ENOSYS,
            "This kernel has no Landlock, which %s asks for. Linux 5.13 or later has it "
            "where it is built in (CONFIG_SECURITY_LANDLOCK) and started (lsm=landlock).",
            options->require_landlock ? "--require-landlock" : "--allow-path");
    log_info("This kernel has no Landlock: threads may open what this process's user may.");
    return 0;
}

static int load_filters(struct app_sandbox *sandbox, struct err *err)
{
    const struct app_sandbox_options *options = sandbox->options;
    sandbox->filters = (struct sec_set){0};
    if (options->no_seccomp)
        return 0;
    if (!options->seccomp_filter)
        sandbox->filters = sec_set_builtin();
    else if (sec_set_load(options->seccomp_filter, &sandbox->filters, err) < 0)
        return err_prefix(err, "Seccomp error: Filter deserialization failed: ");
    return sec_set_settle(&sandbox->filters, options->seccomp_audit, err);
}

int app_sandbox_start(struct app_sandbox *sandbox, const struct app_sandbox_options *options,
                      struct err *err)
{
    *sandbox = (struct app_sandbox){.options = options, .landlock = {.none_fd = FD_NONE}};
    int rc = load_filters(sandbox, err);
    if (rc == 0)
        rc = give_up_privileges(sandbox, err);
    if (rc == 0)
        rc = start_landlock(sandbox, err);
    if (rc == 0)
        rc = sec_install(&sandbox->filters, SEC_FILTER_START, err);
    if (rc == 0 && options->seccomp_audit && !options->no_seccomp)
        log_warn("--seccomp-audit: the kernel's log has what the seccomp filters would forbid "
                 "(dmesg, or auditd: type=1326); nothing is forbidden.");
    return rc;
}

/* Nobody may run with less than was asked for: says why and ends the process. */
static _Noreturn void end(const struct err *err)
{
    log_error("%s", err->msg);
    (void)dprintf(STDERR_FILENO, "Error: %s\n", err->msg); /* nobody else to tell */
    log_error("Firecracker exiting with error. exit_code=%d", EXIT_CODE_GENERIC);
    app_signals_end_now(EXIT_CODE_GENERIC);
}

/* A thread that touches neither files nor capabilities. */
static void enter(const struct app_sandbox *sandbox, enum sec_filter which)
{
    struct err err = ERR_INIT;
    int rc = app_landlock_give_up(&sandbox->landlock, &err);
    /* Who made the thread may have given up some before. */
    if (rc == 0)
        rc = keep_capabilities(sandbox->caps, 0, &err);
    if (rc == 0)
        rc = sec_install(&sandbox->filters, which, &err);
    if (rc < 0)
        end(&err);
}

static void enter_api(void *ctx)
{
    enter(ctx, SEC_FILTER_API);
}

static void enter_vcpu(void *ctx)
{
    enter(ctx, SEC_FILTER_VCPU);
}

static void enter_helper(void *ctx)
{
    enter(ctx, SEC_FILTER_VMM);
}

struct thread_entry app_sandbox_api(struct app_sandbox *sandbox)
{
    return (struct thread_entry){enter_api, sandbox};
}

struct thread_entry app_sandbox_vcpu(struct app_sandbox *sandbox)
{
    return (struct thread_entry){enter_vcpu, sandbox};
}

struct thread_entry app_sandbox_helper(struct app_sandbox *sandbox)
{
    return (struct thread_entry){enter_helper, sandbox};
}

void app_sandbox_narrow(struct app_sandbox *sandbox)
{
    struct err err = ERR_INIT;
    if (sandbox->is_narrow)
        return;
    sandbox->is_narrow = true;
    int rc = keep_capabilities(sandbox->caps, CAPS_FILES, &err);
    if (rc == 0)
        rc = sec_install(&sandbox->filters, SEC_FILTER_VMM, &err);
    if (rc < 0)
        end(&err);
}

void app_sandbox_explain(const struct app_sandbox *sandbox, struct err *err)
{
    const struct cmdline_list *paths = &sandbox->options->allow_paths;
    if (err->code != -EACCES || paths->count == 0 || sandbox->options->no_landlock)
        return;
    struct err seen = *err;
    (void)err_set(err, seen.code,
                  "%s (--allow-path leaves this process %s%s: name the directory by another "
                  "--allow-path, or check the file's mode)",
                  seen.msg, paths->values[0], paths->count > 1 ? " and others" : "");
}

void app_sandbox_done(struct app_sandbox *sandbox)
{
    app_landlock_done(&sandbox->landlock);
    sec_set_done(&sandbox->filters);
}
