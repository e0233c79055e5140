/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of another process, stopped, in which system calls are made as if it made them: at a
 * `syscall` instruction of its own program, with its filters, rights and namespaces. Afterwards the
 * thread is as it was; a call that it was waiting in goes on. Single thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/attr.h"

#define TRACEE_SCRATCH_SIZE 3072u
#define TRACEE_SIGNALS_MAX 16u
/* A call that takes longer is interrupted. */
#define TRACEE_CALL_S 2u

/* The process of which threads are taken. */
struct target {
    pid_t pid;
    int mem_fd;      /* its memory, through /proc */
    uint64_t gadget; /* address of a `syscall` instruction */
};

enum outcome_kind {
    OUTCOME_VALUE,   /* the call's result, 0 or more */
    OUTCOME_ERRNO,   /* what it failed with */
    OUTCOME_SECCOMP, /* a filter stopped it by SIGSYS, which the thread never saw */
    OUTCOME_KILLED,  /* the thread is gone */
    OUTCOME_STUCK,   /* it did not come back in time and was interrupted */
    OUTCOME_HELD,    /* many tries, none of which met what was looked for */
    OUTCOME_NONE,    /* the target has not what the attempt needs */
};

struct outcome {
    enum outcome_kind kind;
    int64_t value; /* the result, or a positive errno */
};

struct tracee {
    const struct target *target;
    pid_t tid;
    bool is_gone;
    struct user_regs_struct saved;
    uint64_t scratch; /* address, in the thread's stack, below what it uses */
    unsigned char saved_scratch[TRACEE_SCRATCH_SIZE];
    size_t used; /* bytes of the scratch memory that arguments take */
    int signals[TRACEE_SIGNALS_MAX];
    size_t signals_count; /* that came meanwhile, for when it is let go */
};

/* Opens the process. Returns 0, or -1 with a sentence on stderr. */
MUST_CHECK int target_open(pid_t pid, struct target *ret_target);
void target_close(struct target *target);

/* Stops the thread and saves it. Returns 0, or -1 with a sentence on stderr. */
MUST_CHECK int tracee_attach(const struct target *target, pid_t tid, struct tracee *ret_tracee);

/* Has the kernel stop the next thread that the first one makes. Returns 0, or -1 as above. */
MUST_CHECK int tracee_await(const struct target *target);

/* Waits for that thread, and saves it behind its first call of that number. Returns 0, or -1 with a
 * sentence on stderr. */
MUST_CHECK int tracee_attach_new(const struct target *target, long nr, struct tracee *ret_tracee);

/* Puts everything back and lets the thread go on. Returns 0, or -1 when it is gone. */
MUST_CHECK int tracee_detach(struct tracee *tracee);

/* Copies bytes into the scratch memory, behind what is there. Returns their address, 0: no room. */
uint64_t tracee_push(struct tracee *tracee, const void *bytes, size_t size);

/* Reads the thread's memory. Returns 0 or -1. */
MUST_CHECK int tracee_read(const struct tracee *tracee, uint64_t address, void *buf, size_t size);

/* Makes one system call. A child that it makes dies before its first instruction. */
struct outcome tracee_call(struct tracee *tracee, long nr, const uint64_t args[static 6]);
