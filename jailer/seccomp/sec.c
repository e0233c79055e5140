/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Installing filters. Nothing is parsed: a filter is copied, this process's id put in, and given to
 * the kernel.
 */
#include "jailer/seccomp/sec.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jailer/seccomp/sec_int.h"
#include "jailer/seccomp/table.h"

const char *sec_call_name(int number)
{
    if (number < 0 || (size_t)number >= sec_call_names_count || !sec_call_names[number])
        return "unknown";
    return sec_call_names[number];
}

struct sec_set sec_set_builtin(void)
{
    struct sec_set set = {0};
    memcpy(set.programs, sec_builtin, sizeof(set.programs));
    return set;
}

void sec_set_done(struct sec_set *set)
{
    if (!set)
        return;
    free(set->storage);
    *set = (struct sec_set){0};
}

/* What ends a thread or the process, and a custom filter's errors and calls for a tracer, which are
 * errors without one. Not the built-in errno of clone3, which is what glibc has to hear. */
static bool forbids(uint32_t result)
{
    uint32_t action = result & SECCOMP_RET_ACTION_FULL;
    return action == SECCOMP_RET_TRAP || action == SECCOMP_RET_KILL_THREAD ||
           action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_TRACE ||
           (action == SECCOMP_RET_ERRNO && (result & SECCOMP_RET_DATA) != ENOSYS);
}

/* One filter's. */
static void settle(struct sock_filter *insns, uint32_t count, bool is_builtin, bool audit)
{
    uint32_t pid = (uint32_t)getpid();
    for (uint32_t i = 0; i < count; i++) {
        struct sock_filter *insn = &insns[i];
        if (is_builtin && insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == SEC_OWN_PID)
            insn->k = pid;
        else if (audit && insn->code == (BPF_RET | BPF_K) && forbids(insn->k))
            insn->k = SECCOMP_RET_LOG;
    }
}

int sec_set_settle(struct sec_set *set, bool audit, struct err *err)
{
    size_t count = 0;
    bool is_builtin = !set->storage;
    for (int which = 0; which < SEC_FILTERS_COUNT; which++)
        count += set->programs[which].count;
    struct sock_filter *storage = malloc((count + 1) * sizeof(*storage));
    if (!storage)
        return err_set(err, -ENOMEM, "no memory for the seccomp filters");
    struct sock_filter *at = storage;
    for (int which = 0; which < SEC_FILTERS_COUNT; which++) {
        struct sec_program *program = &set->programs[which];
        if (program->count == 0)
            continue;
        memcpy(at, program->insns, program->count * sizeof(*at));
        settle(at, program->count, is_builtin, audit);
        program->insns = at;
        at += program->count;
    }
    free(set->storage);
    set->storage = storage;
    return 0;
}

int sec_install(const struct sec_set *set, enum sec_filter which, struct err *err)
{
    const struct sec_program *program = &set->programs[which];
    if (program->count == 0)
        return 0;
    const struct sock_fprog fprog = {
        .len = (unsigned short)program->count,
        .filter = (struct sock_filter *)(uintptr_t)program->insns, /* the kernel only reads */
    };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) == 0)
        return 0;
    int code = -errno;
    return err_set(err, code,
                   "Installing the seccomp filter %s: %s (%s). The kernel needs "
                   "CONFIG_SECCOMP_FILTER; --no-seccomp runs without filters.",
                   sec_filter_name(which), ERR_OS(code), err_name(code));
}
