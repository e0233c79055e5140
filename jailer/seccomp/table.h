/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls which threads may make, as data: the one list that is reviewed. Read by the
 * generator at build time and by mayfly-seccomp; not part of the monitor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a rule holds beside SEC_FILTER_START, which has all of them. */
enum sec_where {
    SEC_START = 0, /* nowhere else: over when the guest runs */
    SEC_VMM = 1,
    SEC_API = 2,
    SEC_VCPU = 4,
    SEC_ALL = SEC_VMM | SEC_API | SEC_VCPU,
};

/* (argument & mask) == value, or a comparison of all 64 bits. Arguments that the kernel takes as 32
 * bits are compared as such: their upper half means nothing. */
enum sec_op { SEC_MASKED_EQ, SEC_NE, SEC_LT, SEC_LE, SEC_GT, SEC_GE, SEC_OPS_COUNT };
struct sec_check {
    uint8_t arg; /* 0..5 */
    uint64_t mask;
    uint64_t value;
    enum sec_op op;
};

#define SEC_CHECKS_MAX 6

/* One permission: a call whose arguments pass all checks. Several rules for one call: any of
 * them. */
struct sec_rule {
    const char *call;  /* its name */
    const char *label; /* what its checks stand for; NULL: there are none */
    uint32_t where;    /* of enum sec_where */
    uint32_t checks_count;
    struct sec_check checks[SEC_CHECKS_MAX];
    int error;   /* not allowed, but answered with this errno instead of a trap; 0: allowed */
    bool is_hot; /* looked for ahead of all others; about 32 bits of one argument */
    const char *reason; /* who needs it and for what */
};

/* Stands in a check's value for the process's own id, which is put in at run time. */
#define SEC_OWN_PID 0x7fd00d1eu

extern const struct sec_rule sec_rules[];
extern const size_t sec_rules_count;
