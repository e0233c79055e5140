/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only user of libseccomp.
 */
#include "jailer/seccomp/compile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"

struct sec_compiler {
    scmp_filter_ctx ctx;
};

int sec_compiler_create(uint32_t action, struct sec_compiler **ret_compiler, struct err *err)
{
    struct sec_compiler *compiler = calloc(1, sizeof(*compiler));
    if (!compiler)
        return err_set(err, -ENOMEM, "no memory for a filter");
    compiler->ctx = seccomp_init(action);
    if (!compiler->ctx) {
        free(compiler);
        return err_set(err, -EINVAL, "0x%x is no action that a filter can take", action);
    }
    /* Calls by a binary tree instead of one after the other. */
    int rc = seccomp_attr_set(compiler->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (rc == 0)
        rc = seccomp_attr_set(compiler->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc < 0) {
        sec_compiler_free(compiler);
        return err_set(err, rc, "libseccomp is too old, 2.5 is needed: %s", ERR_OS(rc));
    }
    *ret_compiler = compiler;
    return 0;
}

void sec_compiler_free(struct sec_compiler *compiler)
{
    if (!compiler)
        return;
    seccomp_release(compiler->ctx);
    free(compiler);
}

static struct scmp_arg_cmp comparison_of(const struct sec_check *check)
{
    static const enum scmp_compare ops[SEC_OPS_COUNT] = {
        [SEC_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
        [SEC_NE] = SCMP_CMP_NE,
        [SEC_LT] = SCMP_CMP_LT,
        [SEC_LE] = SCMP_CMP_LE,
        [SEC_GT] = SCMP_CMP_GT,
        [SEC_GE] = SCMP_CMP_GE,
    };
    struct scmp_arg_cmp compare = {.arg = check->arg, .op = ops[check->op]};
    compare.datum_a = check->op == SEC_MASKED_EQ ? check->mask : check->value;
    compare.datum_b = check->op == SEC_MASKED_EQ ? check->value : 0;
    return compare;
}

int sec_compiler_add(struct sec_compiler *compiler, uint32_t action, const char *name,
                     const struct sec_check *checks, uint32_t count, struct err *err)
{
    struct scmp_arg_cmp compare[SEC_CHECKS_MAX];
    int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);
    if (number < 0)
        return err_set(err, -ENOENT, "%.40s is no system call of x86_64", name);
    if (count > SEC_CHECKS_MAX)
        return err_set(err, -EINVAL, "%.40s: a rule checks at most %d arguments", name,
                       SEC_CHECKS_MAX);
    for (uint32_t i = 0; i < count; i++)
        compare[i] = comparison_of(&checks[i]);
    int rc = seccomp_rule_add_exact_array(compiler->ctx, action, number, count, compare);
    if (rc < 0)
        return err_set(err, rc, "%.40s: libseccomp refuses this rule: %s", name, ERR_OS(rc));
    return 0;
}

int sec_compiler_finish(struct sec_compiler *compiler, struct sec_compiled *ret_compiled,
                        struct err *err)
{
    FD_AUTO int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "memfd_create: %s", ERR_OS(errno));
    int rc = seccomp_export_bpf(compiler->ctx, fd);
    if (rc < 0)
        return err_set(err, rc, "libseccomp cannot compile the filter: %s", ERR_OS(rc));
    struct sock_filter more;
    ssize_t len = fd_pread_full(fd, ret_compiled->insns, sizeof(ret_compiled->insns), 0);
    if (len < 0)
        return err_set(err, (int)len, "reading the filter: %s", ERR_OS((int)len));
    if (len % (ssize_t)sizeof(more) != 0 ||
        fd_pread_full(fd, &more, sizeof(more), sizeof(ret_compiled->insns)) != 0)
        return err_set(err, -EFBIG, "the filter has more than %u instructions", SEC_INSNS_MAX);
    ret_compiled->count = (uint32_t)((size_t)len / sizeof(more));
    return 0;
}

static bool holds_in(const struct sec_rule *rule, enum sec_filter which)
{
    switch (which) {
    case SEC_FILTER_START:
        return true;
    case SEC_FILTER_VMM:
        return rule->where & SEC_VMM;
    case SEC_FILTER_API:
        return rule->where & SEC_API;
    case SEC_FILTER_VCPU:
        return rule->where & SEC_VCPU;
    case SEC_FILTERS_COUNT:
        break;
    }
    return false;
}

/* Are all rules of this call in the filter, so that what came before it has checked them? */
static bool is_checked_before(const char *call, enum sec_filter which)
{
    if (which == SEC_FILTER_START)
        return false;
    for (size_t i = 0; i < sec_rules_count; i++)
        if (strcmp(sec_rules[i].call, call) == 0 && !holds_in(&sec_rules[i], which))
            return false;
    return true;
}

static bool is_first_of(size_t idx)
{
    for (size_t i = 0; i < idx; i++)
        if (strcmp(sec_rules[i].call, sec_rules[idx].call) == 0)
            return false;
    return true;
}

static int add_rule(struct sec_compiler *compiler, size_t idx, enum sec_filter which,
                    struct err *err)
{
    const struct sec_rule *rule = &sec_rules[idx];
    uint32_t action =
        rule->error ? SECCOMP_RET_ERRNO | (uint32_t)rule->error : (uint32_t)SECCOMP_RET_ALLOW;
    if (!holds_in(rule, which))
        return 0;
    if (!is_checked_before(rule->call, which))
        return sec_compiler_add(compiler, action, rule->call, rule->checks, rule->checks_count,
                                err);
    if (!is_first_of(idx))
        return 0; /* the first one has let all of them pass */
    return sec_compiler_add(compiler, action, rule->call, NULL, 0, err);
}

/* Puts a rule about one argument's lower 32 bits in front of all others: the tree of calls and the
 * chain of values come after it. Jumps are relative, so that what is behind stays as it is. */
static int prepend(struct sec_compiled *compiled, const struct sec_rule *rule, struct err *err)
{
    const uint32_t value_off =
        (uint32_t)offsetof(struct seccomp_data, args) + 8u * rule->checks[0].arg;
    const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, rule->call);
    const struct sock_filter first[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, value_off),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->checks[0].value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (number < 0 || rule->checks_count != 1 || rule->checks[0].mask != UINT32_MAX)
        return err_set(err, -EINVAL, "%s: a hot rule is about 32 bits of one argument", rule->call);
    if (compiled->count + ARRAY_LEN(first) > SEC_INSNS_MAX)
        return err_set(err, -EFBIG, "the filter has more than %u instructions", SEC_INSNS_MAX);
    memmove(compiled->insns + ARRAY_LEN(first), compiled->insns,
            compiled->count * sizeof(compiled->insns[0]));
    memcpy(compiled->insns, first, sizeof(first));
    compiled->count += ARRAY_LEN(first);
    return 0;
}

int sec_compile_rules(enum sec_filter which, struct sec_compiled *ret_compiled, struct err *err)
{
    struct sec_compiler *compiler = NULL;
    int rc = sec_compiler_create(SECCOMP_RET_TRAP, &compiler, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sec_rules_count && rc == 0; i++)
        rc = add_rule(compiler, i, which, err);
    if (rc == 0)
        rc = sec_compiler_finish(compiler, ret_compiled, err);
    sec_compiler_free(compiler);
    for (size_t i = 0; i < sec_rules_count && rc == 0; i++)
        if (sec_rules[i].is_hot && holds_in(&sec_rules[i], which))
            rc = prepend(ret_compiled, &sec_rules[i], err);
    return rc;
}
