/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts on the kernel's rarer code, and on the machine as a whole. None would have an effect:
 * arguments are wrong where that is only looked at behind the check of who asks. Data.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/security/inject/inject.h"

#define MAP(prot)                                                                                  \
    CALL(mmap, ARGS(N(0), N(4096), N(prot), N(MAP_PRIVATE | MAP_ANONYMOUS), N(-1), N(0)),          \
         .undo = UNDO_UNMAP)

static const struct {
    uint32_t type, key, value, entries;
    uint8_t rest[64];
} bpf_map = {BPF_MAP_TYPE_ARRAY, 4, 4, 1, {0}};
static const struct perf_event_attr perf = {
    .type = PERF_TYPE_SOFTWARE, .size = PERF_ATTR_SIZE_VER0, .exclude_kernel = 1, .exclude_hv = 1};

static const struct attempt list[] = {
    {"keyctl", "keys of the user",
     .steps = {CALL(keyctl, ARGS(N(KEYCTL_GET_KEYRING_ID), N(KEY_SPEC_USER_KEYRING), N(0)),
                    .passes = {ENOKEY})}},
    {"add-key", "likewise",
     .steps = {CALL(
         add_key, ARGS(T("user"), T("mayfly-escape"), T("x"), N(1), N(KEY_SPEC_PROCESS_KEYRING)))}},
    {"request-key", "a program of the host is started to find a key",
     .steps = {CALL(request_key, ARGS(T("user"), T("mayfly-escape-none"), N(0), N(0)),
                    .passes = {ENOKEY})}},
    {"bpf", "code in the kernel",
     .steps = {CALL(bpf, ARGS(N(BPF_MAP_CREATE), B(bpf_map), N(sizeof(bpf_map))),
                    .undo = UNDO_CLOSE)}},
    {"perf", "what the processor does for others is measured",
     .steps = {CALL(perf_event_open, ARGS(B(perf), N(0), N(-1), N(-1), N(0)), .undo = UNDO_CLOSE)}},
    {"userfaultfd", "the kernel is stopped where one likes: races become certain",
     .steps = {CALL(userfaultfd, ARGS(N(1)), .undo = UNDO_CLOSE)}},
    {"mmap-exec", "code of one's own", .steps = {MAP(PROT_READ | PROT_EXEC)}},
    {"mprotect-exec", "likewise",
     .steps = {MAP(PROT_READ | PROT_WRITE),
               CALL(mprotect, ARGS(R, N(4096), N(PROT_READ | PROT_EXEC)))}},
    {"pkey-mprotect", "likewise",
     .steps = {MAP(PROT_READ | PROT_WRITE),
               CALL(pkey_mprotect, ARGS(R, N(4096), N(PROT_READ | PROT_EXEC), N(-1)))}},
    {"memfd", "memory that is a file, and a program",
     .steps = {CALL(memfd_create, ARGS(T("escape"), N(0)), .undo = UNDO_CLOSE)}},
    {"shm", "memory that outlives the VM",
     .steps = {CALL(shmget, ARGS(N(0x6d61796c), N(4096), N(0)), .passes = {ENOENT})}},
    {"mqueue", "queues of the host",
     .steps = {CALL(mq_open, ARGS(T("mayfly-escape-none"), N(0), N(0), N(0)), .passes = {ENOENT})}},
    {"init-module", "code in the kernel",
     .steps = {CALL(init_module, ARGS(N(0), N(0), T("")), .passes = {ENOEXEC, EFAULT})}},
    {"delete-module", "likewise",
     .steps = {CALL(delete_module, ARGS(T("mayfly-escape-none"), N(O_NONBLOCK)),
                    .passes = {ENOENT})}},
    {"kexec", "another kernel",
     .steps = {CALL(kexec_load, ARGS(N(0), N(1000), N(0), N(0)), .passes = {EINVAL})}},
    {"reboot", "the machine's end",
     .steps = {CALL(reboot, ARGS(N(0), N(0), N(0), N(0)), .passes = {EINVAL})}},
    {"swapon", "memory on a disk of one's choice",
     .steps = {CALL(swapon, ARGS(T("/nonexistent/swap"), N(0)), .passes = {ENOENT})}},
    {"sethostname", "the host's name",
     .steps = {CALL(sethostname, ARGS(N(1), N(1)), .passes = {EFAULT})}},
    {"settime", "the host's clock", .steps = {CALL(settimeofday, ARGS(N(0), N(0)))}},
    {"syslog", "the kernel's log and its addresses",
     .steps = {CALL(syslog, ARGS(N(3), Z(64), N(64)))}},
    {"iopl", "the machine's ports", .steps = {CALL(iopl, ARGS(N(3)))},
     .after = {CALL(iopl, ARGS(N(0)))}},
    {"ioperm", "likewise", .steps = {CALL(ioperm, ARGS(N(0x80), N(1), N(1)))},
     .after = {CALL(ioperm, ARGS(N(0x80), N(1), N(0)))}},
    {"modify-ldt", "segments: rarely used code",
     .steps = {CALL(modify_ldt, ARGS(N(0), Z(16), N(16)))}},
    {"ioctl-tiocsti", "what the host's terminal is made to type",
     .steps = {CALL(ioctl, ARGS(N(0), N(TIOCSTI), T("x")), .passes = {ENOTTY})}},
    {"seccomp", "filters of one's own, that lie to who runs behind them",
     .steps = {CALL(seccomp, ARGS(N(SECCOMP_SET_MODE_FILTER), N(0), N(0)), .passes = {EFAULT})}},
    {"landlock-create", "rulesets of one's own",
     .steps = {CALL(landlock_create_ruleset, ARGS(N(0), N(0), N(1)))}},
    {"landlock-restrict", "likewise",
     .steps = {CALL(landlock_restrict_self, ARGS(N(-1), N(0)), .passes = {EBADF})}},
    {"kcmp", "where the kernel keeps things",
     .steps = {CALL(kcmp, ARGS(KN("victim"), KN("victim"), N(0), N(0), N(0)))}},
    {"vmsplice", "pages are given to pipes: rarely used code",
     .steps = {CALL(vmsplice, ARGS(N(-1), N(0), N(0), N(0)), .passes = {EBADF})}},
    {"unknown-call", "calls of newer kernels, that nobody has thought of",
     .steps = {{.nr = 4000, .is_there = true, .passes = {ENOSYS}}}},
    {"x32-call", "the second table of calls",
     .steps = {{.nr = 0x40000000 + SYS_getppid, .is_there = true, .passes = {ENOSYS}}},
     .is_deadly = true},
};

const struct attempt_list attempts_kernel = {list, ARRAY_LEN(list)};
