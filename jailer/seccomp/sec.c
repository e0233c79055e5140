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

/* Fills in what is known only now. */
static void settle(struct sock_filter *insns, uint32_t count, bool audit)
{
    uint32_t pid = (uint32_t)getpid();
    for (uint32_t i = 0; i < count; i++) {
        struct sock_filter *insn = &insns[i];
        if (insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == SEC_OWN_PID)
            insn->k = pid;
        else if (audit && insn->code == (BPF_RET | BPF_K) &&
                 (insn->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRAP)
            insn->k = SECCOMP_RET_LOG;
    }
}

int sec_install(const struct sec_set *set, enum sec_filter which, bool audit, struct err *err)
{
    const struct sec_program *program = &set->programs[which];
    if (program->count == 0)
        return 0;
    struct sock_filter *insns = malloc(program->count * sizeof(*insns));
    if (!insns)
        return err_set(err, -ENOMEM, "no memory for the seccomp filter %s", sec_filter_name(which));
    memcpy(insns, program->insns, program->count * sizeof(*insns));
    settle(insns, program->count, audit);
    const struct sock_fprog fprog = {.len = (unsigned short)program->count, .filter = insns};
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog);
    int code = rc < 0 ? -errno : 0;
    free(insns);
    if (code < 0)
        return err_set(err, code,
                       "Installing the seccomp filter %s: %s (%s). The kernel needs "
                       "CONFIG_SECCOMP_FILTER; --no-seccomp runs without filters.",
                       sec_filter_name(which), ERR_OS(code), err_name(code));
    return 0;
}
