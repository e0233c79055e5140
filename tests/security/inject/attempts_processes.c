/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts on processes: others' memory and life, new ones, more rights. The victim is a process of
 * the target's own user that the injector has made. Signal 0 is checked as any other. Data.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/security/inject/inject.h"

#define KILL(who) CALL(kill, ARGS(KN(who), N(0)))
#define READ_ONE_PAGE(who)                                                                         \
    CALL(process_vm_readv, ARGS(KN(who), B(nowhere), N(1), B(nowhere), N(1), N(0)),                \
         .passes = {EFAULT})

/* Memory that nobody has: refused before it is looked for, or EFAULT. */
static const struct iovec nowhere = {(void *)16, 1};
static const struct {
    int signum, error, code;
    uint8_t rest[116];
} queued = {SIGCONT, 0, SI_QUEUE, {0}};
static const uint64_t first_cpu[1] = {1};
/* More than a process may have without CAP_SYS_RESOURCE; of message queues, which nobody has. */
static const struct rlimit much = {1ull << 40, 1ull << 40};

static const struct attempt list[] = {
    {"kill-victim", "processes of the same user are ended", .steps = {KILL("victim")}},
    {"kill-vm", "another VM of the same user is ended", .steps = {KILL("other_vm")}},
    {"kill-parent", "the jailer, or who has started it, is ended", .steps = {KILL("parent")}},
    {"kill-init", "the host's init is met", .steps = {KILL("init")}},
    {"tgkill-victim", "single threads of others",
     .steps = {CALL(tgkill, ARGS(KN("victim"), KN("victim"), N(0)))}},
    {"tkill-victim", "likewise", .steps = {CALL(tkill, ARGS(KN("victim"), N(0)))}},
    {"queue-victim", "likewise, with data",
     .steps = {CALL(rt_sigqueueinfo, ARGS(KN("victim"), N(SIGCONT), B(queued)))}},
    {"pidfd-kill", "the same through a descriptor",
     .steps = {CALL(pidfd_open, ARGS(KN("victim"), N(0)), .undo = UNDO_CLOSE),
               CALL(pidfd_send_signal, ARGS(R, N(0), N(0), N(0)))}},
    {"pidfd-getfd", "others' open files",
     .steps = {CALL(pidfd_open, ARGS(KN("victim"), N(0)), .undo = UNDO_CLOSE),
               CALL(pidfd_getfd, ARGS(R, N(0), N(0)), .undo = UNDO_CLOSE)}},
    {"ptrace-victim", "others run one's code",
     .steps = {CALL(ptrace, ARGS(N(PTRACE_SEIZE), KN("victim"), N(0), N(0)))},
     .after = {CALL(ptrace, ARGS(N(PTRACE_INTERRUPT), KN("victim"), N(0), N(0))),
               CALL(wait4, ARGS(KN("victim"), N(0), N(__WALL), N(0))),
               CALL(ptrace, ARGS(N(PTRACE_DETACH), KN("victim"), N(0), N(0)))}},
    {"open-victim-mem", "others' memory, through /proc",
     .steps = {CALL(openat, ARGS(N(AT_FDCWD), K("victim_mem"), N(O_RDWR)), .undo = UNDO_CLOSE)}},
    {"open-vm-mem", "another tenant's memory, through /proc",
     .steps = {CALL(openat, ARGS(N(AT_FDCWD), K("other_vm_mem"), N(O_RDWR)), .undo = UNDO_CLOSE)}},
    {"handle-sigsys", "what a filter forbids no longer ends the process; asked for only",
     .steps = {CALL(rt_sigaction, ARGS(N(SIGSYS), N(0), N(0), N(8)))}},
    {"signal-terminal", "whom a terminal belongs to gets a signal; of a descriptor that sends none",
     .steps = {CALL(fcntl, ARGS(N(0), N(F_SETFL), N(O_ASYNC)))},
     .after = {CALL(fcntl, ARGS(N(0), N(F_SETFL), N(0)))}},
    {"read-victim", "others' memory", .steps = {READ_ONE_PAGE("victim")}},
    {"read-vm", "another tenant's memory", .steps = {READ_ONE_PAGE("other_vm")}},
    {"write-victim", "others' memory is changed",
     .steps = {CALL(process_vm_writev, ARGS(KN("victim"), B(nowhere), N(1), B(nowhere), N(1), N(0)),
                    .passes = {EFAULT})}},
    {"affinity-victim", "where others run",
     .steps = {CALL(sched_setaffinity, ARGS(KN("victim"), N(8), B(first_cpu)))}},
    {"priority-victim", "how much others run",
     .steps = {CALL(setpriority, ARGS(N(PRIO_PROCESS), KN("victim"), N(1)))}},
    {"limits-victim", "what others may use",
     .steps = {CALL(prlimit64, ARGS(KN("victim"), N(RLIMIT_CORE), N(0), Z(16)))}},
    {"raise-limit", "one's own limits",
     .steps = {CALL(prlimit64, ARGS(N(0), N(RLIMIT_MSGQUEUE), B(much), N(0)))}},
    {"fork", "processes of one's own: they outlive the VM, and fill the host",
     .steps = {CALL(clone, ARGS(N(SIGCHLD)), .undo = UNDO_REAP)}},
    {"fork-user-ns", "all rights in a user namespace, and by them the kernel's rarer code",
     .steps = {CALL(clone, ARGS(N(CLONE_NEWUSER | SIGCHLD)), .undo = UNDO_REAP)}},
    {"clone3", "a call whose flags no filter sees",
     .steps = {CALL(clone3, ARGS(Z(64), N(64)), .undo = UNDO_REAP)}},
    {"setuid", "root", .steps = {CALL(setresuid, ARGS(N(0), N(0), N(0)))}},
    {"setgid", "root's group", .steps = {CALL(setresgid, ARGS(N(0), N(0), N(0)))}},
    {"setgroups", "all groups", .steps = {CALL(setgroups, ARGS(N(0), N(0)))}},
    {"capset", "CAP_SYS_ADMIN and CAP_NET_ADMIN are back", .special = regain_capabilities},
    {"prctl-dumpable", "others of the user may read this process, its tenant's memory with it",
     .steps = {CALL(prctl, ARGS(N(PR_SET_DUMPABLE), N(1)))}},
    {"prctl-mm", "this process looks like another in /proc",
     .steps = {CALL(prctl, ARGS(N(PR_SET_MM), N(PR_SET_MM_ARG_START), N(1), N(0), N(0)),
                    .passes = {EINVAL})}},
    {"personality", "addresses that are easily guessed",
     .steps = {CALL(personality, ARGS(N(0xffffffffu)))}},
    {"wait-any", "whose end is learnt",
     .steps = {CALL(wait4, ARGS(N(-1), N(0), N(WNOHANG), N(0)), .passes = {ECHILD})}},
};

const struct attempt_list attempts_processes = {list, ARRAY_LEN(list)};
