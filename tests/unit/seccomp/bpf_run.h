/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a filter on a made-up system call, as the kernel would: what libseccomp uses of classic BPF.
 */
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "jailer/seccomp/sec.h"
#include "tests/unit/unit.h"

struct bpf_result {
    uint32_t action; /* SECCOMP_RET_... */
    uint32_t steps;  /* instructions that were run */
};

static inline uint32_t bpf_load(const struct seccomp_data *data, uint32_t off)
{
    uint32_t word = 0;
    assert_true(off % 4 == 0 && off + 4 <= sizeof(*data));
    memcpy(&word, (const char *)data + off, sizeof(word));
    return word;
}

static inline bool bpf_test(const struct sock_filter *insn, uint32_t a)
{
    switch (BPF_OP(insn->code)) {
    case BPF_JEQ:
        return a == insn->k;
    case BPF_JGT:
        return a > insn->k;
    case BPF_JGE:
        return a >= insn->k;
    case BPF_JSET:
        return (a & insn->k) != 0;
    default:
        fail_msg("jump 0x%x is not known here", insn->code);
        return false;
    }
}

/* How far to go beyond the next instruction. */
static inline uint32_t bpf_jump(const struct sock_filter *insn, uint32_t a)
{
    if (BPF_OP(insn->code) == BPF_JA)
        return insn->k;
    return bpf_test(insn, a) ? insn->jt : insn->jf;
}

static inline struct bpf_result bpf_run(const struct sec_program *program,
                                        const struct seccomp_data *data)
{
    struct bpf_result result = {0};
    uint32_t a = 0;
    for (uint32_t at = 0; at < program->count; at++) {
        const struct sock_filter *insn = &program->insns[at];
        result.steps++;
        if (BPF_CLASS(insn->code) == BPF_RET) {
            result.action = insn->k;
            return result;
        }
        if (BPF_CLASS(insn->code) == BPF_LD)
            a = bpf_load(data, insn->k);
        else if (insn->code == (BPF_ALU | BPF_AND | BPF_K))
            a &= insn->k;
        else if (BPF_CLASS(insn->code) == BPF_JMP)
            at += bpf_jump(insn, a);
        else
            fail_msg("instruction 0x%x is not known here", insn->code);
    }
    fail_msg("the filter has no end");
    return result;
}
