/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ptrace(2), by PTRACE_SEIZE: no SIGSTOP, and a stop in which the kernel decides anew how an
 * interrupted call goes on. Single thread.
 */
#include "tests/security/inject/tracee.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/security/inject/inject.h"

#define RED_ZONE 128u
#define TEXT_CHUNK 65536u
#define STOP_SYSCALL (SIGTRAP | 0x80)
#define OPTIONS                                                                                    \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)
#define NEW_THREAD_S 20u
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code */
#endif

/* What a stop was for. */
enum stop { STOP_CALL, STOP_SIGNAL, STOP_EVENT, STOP_GONE };

static uint64_t find_gadget(int mem_fd, uint64_t from, uint64_t to)
{
    static unsigned char text[TEXT_CHUNK];
    for (uint64_t at = from; at < to; at += TEXT_CHUNK - 1) {
        size_t size = to - at < TEXT_CHUNK ? (size_t)(to - at) : TEXT_CHUNK;
        ssize_t len = pread(mem_fd, text, size, (off_t)at);
        for (ssize_t i = 0; i + 1 < len; i++)
            if (text[i] == 0x0f && text[i + 1] == 0x05)
                return at + (uint64_t)i;
    }
    return 0;
}

/* The first executable mapping that has a `syscall`: the program's own, or its C library's. */
static uint64_t find_in_maps(pid_t pid, int mem_fd)
{
    char path[64];
    char line[1024];
    uint64_t found = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return 0;
    while (found == 0 && fgets(line, sizeof(line), maps)) {
        char *end = NULL;
        uint64_t from = strtoull(line, &end, 16);
        uint64_t to = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
        if (to > from && strncmp(end, " r-xp", 5) == 0)
            found = find_gadget(mem_fd, from, to);
    }
    (void)fclose(maps);
    return found;
}

int target_open(pid_t pid, struct target *ret_target)
{
    char path[64];
    struct target target = {.pid = pid};
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    target.mem_fd = open(path, O_RDWR | O_CLOEXEC);
    if (target.mem_fd < 0)
        return complain("open %s: %s", path, strerror(errno));
    target.gadget = find_in_maps(pid, target.mem_fd);
    if (target.gadget == 0) {
        target_close(&target);
        return complain("no syscall instruction in the text of process %d", pid);
    }
    *ret_target = target;
    return 0;
}

void target_close(struct target *target)
{
    (void)close(target->mem_fd);
}

/* The end of a child that a call has made. */
static void end_child(const struct tracee *tracee)
{
    unsigned long child = 0;
    if (ptrace(PTRACE_GETEVENTMSG, tracee->tid, NULL, &child) < 0)
        return;
    (void)kill((pid_t)child, SIGKILL);
    (void)waitpid((pid_t)child, NULL, __WALL);
}

/* Waits for the thread's next stop. *is_late: it had to be interrupted. */
static enum stop wait_stop(struct tracee *tracee, int *ret_signal, bool *is_late)
{
    int status = 0;
    (void)alarm(TRACEE_CALL_S);
    while (waitpid(tracee->tid, &status, __WALL) < 0) {
        if (errno != EINTR) {
            tracee->is_gone = true;
            return STOP_GONE;
        }
        *is_late = true;
        (void)ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL);
        (void)alarm(TRACEE_CALL_S);
    }
    (void)alarm(0);
    if (!WIFSTOPPED(status)) {
        tracee->is_gone = true;
        return STOP_GONE;
    }
    int event = status >> 16;
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
        end_child(tracee);
    *ret_signal = WSTOPSIG(status);
    if (event != 0)
        return STOP_EVENT;
    return *ret_signal == STOP_SYSCALL ? STOP_CALL : STOP_SIGNAL;
}

static void keep_signal(struct tracee *tracee, int signum)
{
    if (tracee->signals_count < TRACEE_SIGNALS_MAX)
        tracee->signals[tracee->signals_count++] = signum;
}

/* Lets the thread run on to a stop of that kind; signals that come first are kept for later. */
static enum stop run_to(struct tracee *tracee, enum __ptrace_request request, enum stop wanted,
                        bool *is_late)
{
    for (;;) {
        int signum = 0;
        if (ptrace(request, tracee->tid, NULL, NULL) < 0) {
            tracee->is_gone = true;
            return STOP_GONE;
        }
        enum stop stop = wait_stop(tracee, &signum, is_late);
        if (stop == wanted || stop == STOP_GONE)
            return stop;
        if (stop == STOP_SIGNAL)
            keep_signal(tracee, signum);
    }
}

/* Of a thread that stands still. */
static int save(struct tracee *tracee)
{
    if (ptrace(PTRACE_GETREGS, tracee->tid, NULL, &tracee->saved) < 0)
        return complain("thread %d did not stop", tracee->tid);
    tracee->scratch = (tracee->saved.rsp - RED_ZONE - TRACEE_SCRATCH_SIZE) & ~63ull;
    if (tracee_read(tracee, tracee->scratch, tracee->saved_scratch, TRACEE_SCRATCH_SIZE) < 0)
        return complain("thread %d has no room below its stack pointer", tracee->tid);
    return 0;
}

int tracee_attach(const struct target *target, pid_t tid, struct tracee *ret_tracee)
{
    struct tracee tracee = {.target = target, .tid = tid};
    bool is_late = false;
    int signum = 0;
    if (ptrace(PTRACE_SEIZE, tid, NULL, (uintptr_t)OPTIONS) < 0)
        return complain("ptrace of thread %d: %s", tid, strerror(errno));
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
        return complain("stop of thread %d: %s", tid, strerror(errno));
    enum stop stop = wait_stop(&tracee, &signum, &is_late);
    if (stop == STOP_SIGNAL) { /* it was about to get one */
        keep_signal(&tracee, signum);
        stop = run_to(&tracee, PTRACE_CONT, STOP_EVENT, &is_late);
    }
    if (stop != STOP_EVENT)
        return complain("thread %d did not stop", tid);
    if (save(&tracee) < 0)
        return -1;
    *ret_tracee = tracee;
    return 0;
}

int tracee_await(const struct target *target)
{
    if (ptrace(PTRACE_SEIZE, target->pid, NULL, (uintptr_t)OPTIONS) < 0)
        return complain("ptrace of process %d: %s", target->pid, strerror(errno));
    return 0;
}

/* The first thread goes on when it has made one. Returns its number, or -1 as above. */
static pid_t take_new(pid_t pid)
{
    unsigned long tid = 0;
    int status = 0;
    (void)alarm(NEW_THREAD_S);
    while (tid == 0 && waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        int event = status >> 16;
        if (event == PTRACE_EVENT_CLONE)
            (void)ptrace(PTRACE_GETEVENTMSG, pid, NULL, &tid); /* cannot fail in this stop */
        else
            (void)ptrace(PTRACE_CONT, pid, NULL, (uintptr_t)(event ? 0 : WSTOPSIG(status)));
    }
    (void)alarm(0);
    if (tid == 0)
        return complain("process %d has made no thread within %u s", pid, NEW_THREAD_S);
    if (ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0)
        return complain("thread %d could not go on: %s", pid, strerror(errno));
    return (pid_t)tid;
}

int tracee_attach_new(const struct target *target, long nr, struct tracee *ret_tracee)
{
    struct tracee tracee = {.target = target, .tid = take_new(target->pid)};
    struct user_regs_struct regs = {.orig_rax = ~0ull};
    bool is_late = false;
    int signum = 0;
    if (tracee.tid < 0)
        return -1;
    enum stop stop = wait_stop(&tracee, &signum, &is_late); /* as it begins */
    while (stop != STOP_GONE && !is_late && regs.orig_rax != (unsigned long long)nr) {
        stop = run_to(&tracee, PTRACE_SYSCALL, STOP_CALL, &is_late); /* in */
        if (stop == STOP_CALL)
            stop = run_to(&tracee, PTRACE_SYSCALL, STOP_CALL, &is_late); /* and out */
        if (stop == STOP_CALL && ptrace(PTRACE_GETREGS, tracee.tid, NULL, &regs) < 0)
            stop = STOP_GONE;
    }
    if (stop == STOP_GONE || is_late)
        return complain("thread %d, which was made, did not come to call %ld", tracee.tid, nr);
    if (save(&tracee) < 0)
        return -1;
    *ret_tracee = tracee;
    return 0;
}

int tracee_detach(struct tracee *tracee)
{
    bool is_late = false;
    if (tracee->is_gone)
        return -1;
    /* The stop in which registers and an interrupted call's result may be put back. */
    (void)ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL);
    if (run_to(tracee, PTRACE_CONT, STOP_EVENT, &is_late) != STOP_EVENT)
        return -1;
    if (pwrite(tracee->target->mem_fd, tracee->saved_scratch, TRACEE_SCRATCH_SIZE,
               (off_t)tracee->scratch) != TRACEE_SCRATCH_SIZE ||
        ptrace(PTRACE_SETREGS, tracee->tid, NULL, &tracee->saved) < 0 ||
        ptrace(PTRACE_DETACH, tracee->tid, NULL, NULL) < 0)
        return complain("thread %d could not be put back: %s", tracee->tid, strerror(errno));
    for (size_t i = 0; i < tracee->signals_count; i++)
        (void)syscall(SYS_tgkill, tracee->target->pid, tracee->tid, tracee->signals[i]);
    return 0;
}

uint64_t tracee_push(struct tracee *tracee, const void *bytes, size_t size)
{
    size_t room = (size + 15) & ~(size_t)15;
    if (room < size || room > TRACEE_SCRATCH_SIZE - tracee->used)
        return 0;
    uint64_t at = tracee->scratch + tracee->used;
    if (pwrite(tracee->target->mem_fd, bytes, size, (off_t)at) != (ssize_t)size)
        return 0;
    tracee->used += room;
    return at;
}

int tracee_read(const struct tracee *tracee, uint64_t address, void *buf, size_t size)
{
    return pread(tracee->target->mem_fd, buf, size, (off_t)address) == (ssize_t)size ? 0 : -1;
}

/* Does a filter's SIGSYS wait for the thread? It is taken away, unseen. */
static bool take_sigsys(struct tracee *tracee)
{
    struct __ptrace_peeksiginfo_args peek = {.nr = 1};
    siginfo_t info;
    bool is_pending = false, is_late = false;
    for (; ptrace(PTRACE_PEEKSIGINFO, tracee->tid, &peek, &info) == 1; peek.off++)
        is_pending |= info.si_signo == SIGSYS && info.si_code == SYS_SECCOMP;
    if (!is_pending)
        return false;
    for (;;) {
        int signum = 0;
        if (ptrace(PTRACE_CONT, tracee->tid, NULL, NULL) < 0)
            return true;
        enum stop stop = wait_stop(tracee, &signum, &is_late);
        if (stop == STOP_GONE || (stop == STOP_SIGNAL && signum == SIGSYS))
            return true;
        if (stop == STOP_SIGNAL)
            keep_signal(tracee, signum);
    }
}

static struct user_regs_struct call_regs(const struct tracee *tracee, long nr,
                                         const uint64_t args[static 6])
{
    struct user_regs_struct regs = tracee->saved;
    regs.rip = tracee->target->gadget;
    regs.rax = (unsigned long long)nr;
    regs.orig_rax = ~0ull; /* nothing that would be restarted */
    regs.rdi = args[0];
    regs.rsi = args[1];
    regs.rdx = args[2];
    regs.r10 = args[3];
    regs.r8 = args[4];
    regs.r9 = args[5];
    return regs;
}

struct outcome tracee_call(struct tracee *tracee, long nr, const uint64_t args[static 6])
{
    const struct outcome gone = {.kind = OUTCOME_KILLED};
    bool is_late = false;
    struct user_regs_struct regs = call_regs(tracee, nr, args);
    if (tracee->is_gone || ptrace(PTRACE_SETREGS, tracee->tid, NULL, &regs) < 0 ||
        run_to(tracee, PTRACE_SYSCALL, STOP_CALL, &is_late) == STOP_GONE || /* in */
        run_to(tracee, PTRACE_SYSCALL, STOP_CALL, &is_late) == STOP_GONE || /* and out */
        ptrace(PTRACE_GETREGS, tracee->tid, NULL, &regs) < 0)
        return gone;
    if (take_sigsys(tracee))
        return tracee->is_gone ? gone : (struct outcome){.kind = OUTCOME_SECCOMP};
    if (is_late)
        return (struct outcome){.kind = OUTCOME_STUCK};
    int64_t result = (int64_t)regs.rax;
    if (result < 0 && result >= -4095)
        return (struct outcome){.kind = OUTCOME_ERRNO, .value = -result};
    return (struct outcome){.kind = OUTCOME_VALUE, .value = result};
}
