/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of permitted system calls (table.h). A row says where a call is allowed, with which
 * arguments, and who needs it. All rows hold until the guest runs (SEC_FILTER_START); those of
 * SEC_VMM, SEC_API and SEC_VCPU for good. Nothing else is ever allowed: no execve, no ptrace, no
 * mount, no kill, no memory that is executed. Spec: cli.md H.
 */
#include "jailer/seccomp/table.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/attr.h"

#define START SEC_START
#define VMM SEC_VMM
#define API SEC_API
#define VCPU SEC_VCPU
#define ALL SEC_ALL

/* Argument `n`, of 32 bits, is `v`; its bits of mask `m` are `v`. */
#define INT(n, v) .checks_count = 1, .checks = {{(n), 0xffffffffu, (uint32_t)(v)}}
#define BITS(n, m, v) .checks_count = 1, .checks = {{(n), (uint32_t)(m), (uint32_t)(v)}}
#define LONG(n, v) .checks_count = 1, .checks = {{(n), ~0ull, (uint64_t)(v)}}

#define CALL(c, w, why)                                                                            \
    {                                                                                              \
        .call = #c, .where = (w), .reason = (why)                                                  \
    }
#define IOCTL(request, w, why)                                                                     \
    {                                                                                              \
        .call = "ioctl", .label = #request, .where = (w), INT(1, request), .reason = (why)         \
    }
#define WITH(c, argument, value, w, why)                                                           \
    {                                                                                              \
        .call = #c, .label = #value, .where = (w), INT(argument, value), .reason = (why)           \
    }
#define SOCKOPT(c, option, w, why)                                                                 \
    {                                                                                              \
        .call = #c, .label = #option, .where = (w), .checks_count = 2,                             \
        .checks = {{1, 0xffffffffu, SOL_SOCKET}, {2, 0xffffffffu, option}}, .reason = (why)        \
    }
#define FUTEX(op, w, why)                                                                          \
    {                                                                                              \
        .call = "futex", .label = #op, .where = (w), BITS(1, FUTEX_CMD_MASK, op), .reason = (why)  \
    }
#define TGKILL(signal, w, why)                                                                     \
    {                                                                                              \
        .call = "tgkill", .label = #signal " within the process", .where = (w), .checks_count = 2, \
        .checks = {{0, 0xffffffffu, SEC_OWN_PID}, {2, 0xffffffffu, (signal)}}, .reason = (why)     \
    }

/* What glibc's pthread_create asks for where it has no clone3. */
#define THREAD_FLAGS                                                                               \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |            \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* glibc's SIGRTMIN: its own two are below. musl's own three are. */
#define SIGNAL_SETXID 33
#define SIGNAL_KICK 34
#define SIGNAL_KICK_MUSL 35

/* Newer than Debian 12's headers. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

const struct sec_rule sec_rules[] = {
    /* --- a thread's life --- */
    {.call = "clone3",
     .where = START,
     .error = ENOSYS,
     .reason = "its flags are in memory, where no filter sees them: glibc takes clone then"},
    {.call = "clone",
     .label = "a thread",
     .where = START,
     LONG(0, THREAD_FLAGS),
     .reason = "api, vCPU and helper threads, all made before the guest runs"},
    CALL(rseq, START, "a thread's start in glibc"),
    CALL(set_robust_list, START, "a thread's start in glibc"),
    WITH(prctl, 0, PR_SET_NAME, START, "threads have the names that clients look for"),
    WITH(prctl, 0, PR_GET_NAME, START, "the main thread keeps the one it has"),
    CALL(exit, ALL, "a thread's end"),
    CALL(exit_group, ALL, "the process's end, which any thread may have to bring"),
    CALL(rt_sigprocmask, ALL, "glibc blocks signals around a thread's start and end, and in abort"),
    WITH(rt_sigaction, 0, SIGNAL_SETXID, START, "glibc's, with the first thread"),
    WITH(rt_sigaction, 0, SIGNAL_KICK, START, "what kicks a vCPU out of KVM_RUN"),
    WITH(rt_sigaction, 0, SIGNAL_KICK_MUSL, START, "what clients take for that"),
    WITH(rt_sigaction, 0, SIGABRT, ALL, "abort puts the default back; SIGSYS keeps its handler"),
    CALL(rt_sigtimedwait, ALL,
         "a file over its size limit is an error and no signal: that is taken away"),
    CALL(rt_sigreturn, ALL,
         "the end of any signal's handler: kicks, SIGPIPE, SIGSYS in audit mode"),
    CALL(getpid, ALL, "raise and abort"),
    CALL(gettid, ALL, "raise and abort"),
    TGKILL(SIGABRT, ALL, "abort: a failed assertion, a smashed stack"),
    TGKILL(SIGTERM, ALL, "the terminal is put back, then the signal takes its default way"),
    TGKILL(SIGINT, ALL, "likewise"),
    TGKILL(SIGNAL_KICK, VMM, "kicks a vCPU out of KVM_RUN: pause, snapshot, end"),

    /* --- waiting and time --- */
    FUTEX(FUTEX_WAIT, ALL, "locks, joins"),
    FUTEX(FUTEX_WAKE, ALL, "locks, joins"),
    FUTEX(FUTEX_WAIT_BITSET, ALL, "condition variables, joins"),
    CALL(sched_yield, ALL, "metrics: a flush waits for one on another thread"),
    CALL(restart_syscall, ALL, "a wait goes on that was stopped by SIGSTOP or a debugger"),
    CALL(clock_gettime, ALL, "time, where the host's clock cannot be read without a call"),
    CALL(epoll_wait, VMM | API, "the loop"),
    CALL(poll, VMM | API, "the end of a page-fault handler; replies that are due at the end"),

    /* --- memory --- */
    {.call = "mmap",
     .label = "not executable",
     .where = ALL,
     BITS(2, PROT_EXEC, 0),
     .reason = "malloc, a thread's stack, guest memory, rings; glibc's last words in abort"},
    {.call = "mprotect",
     .label = "not executable",
     .where = START,
     BITS(2, PROT_EXEC, 0),
     .reason = "a thread's stack and its guard"},
    CALL(munmap, ALL, "malloc, a thread's stack"),
    CALL(mremap, VMM | API, "realloc of a large block"),
    CALL(brk, ALL, "malloc, which gives back what a driver's reset has freed"),
    WITH(madvise, 2, MADV_DONTNEED, ALL, "a thread's stack at its end; malloc gives memory back"),
    WITH(madvise, 2, MADV_HUGEPAGE, START, "guest memory of huge pages"),
    WITH(madvise, 2, MADV_POPULATE_WRITE, START, "pages of a load that are sure to be written"),
    CALL(mincore, VMM, "a Full snapshot reads no page that was never there"),

    /* --- files and streams --- */
    CALL(read, ALL, "eventfds, files, the console"),
    CALL(write, ALL, "eventfds, the log, metrics, the guest's serial output"),
    CALL(writev, ALL, "TAPs and vsock's streams, in pieces; glibc's last words in abort"),
    CALL(close, ALL, "connections, files"),
    CALL(lseek, VMM, "sizes of disks; holes of memory files"),
    CALL(pread64, VMM | VCPU, "disks, and sparse memory files"),
    CALL(pwrite64, VMM | VCPU, "disks, and memory into a snapshot"),
    CALL(preadv, VMM | VCPU, "disks, of several pieces"),
    CALL(pwritev, VMM | VCPU, "disks, of several pieces"),
    CALL(pwritev2, VMM, "Async disks, as far as it goes without waiting"),
    CALL(readv, VMM, "TAPs and vsock's streams, in pieces"),
    {.call = "openat",
     .label = "no set-user-id",
     .where = VMM,
     BITS(3, S_ISUID | S_ISGID | S_ISVTX, 0),
     .reason = "PATCH of a drive, a snapshot's files; before: kernel, KVM, TAPs, logs"},
    CALL(newfstatat, VMM, "what a path or an open file is"),
    CALL(fstat, VCPU, "is the memory file cut; it takes no path"),
    CALL(statx, VMM, "whether a snapshot's file can be replaced by a rename"),
    CALL(getxattr, VMM, "likewise: a file with access lists is written in place"),
    {.call = "fchmod",
     .label = "no set-user-id",
     .where = VMM,
     BITS(1, S_ISUID | S_ISGID | S_ISVTX, 0),
     .reason = "a snapshot's new file gets the old one's mode"},
    CALL(fchown, VMM, "and its owner"),
    CALL(ftruncate, VMM, "a snapshot's files; half a line of metrics is taken back"),
    CALL(fallocate, VMM, "holes in a memory file"),
    CALL(fsync, VMM, "durable disks and snapshots"),
    CALL(fdatasync, VMM | VCPU, "a guest's flush"),
    CALL(fadvise64, VMM, "prefetch of a memory file"),
    CALL(utimensat, VMM, "the stamp by which a memory file is known"),
    CALL(rename, VMM, "files for Prometheus, replaced whole"),
    CALL(renameat2, VMM, "a snapshot's files get their names, never somebody else's"),
    CALL(unlink, VMM, "temporary files; vsock's socket when a load failed"),
    CALL(readlink, START, "paths of the command line"),
    WITH(fcntl, 1, F_GETFL, VMM, "an inherited console is not ours to change for good"),
    WITH(fcntl, 1, F_SETFD, START, "an inherited socket ends with this program"),
    {.call = "fcntl",
     .label = "F_SETFL without O_ASYNC",
     .where = ALL,
     .checks_count = 2,
     .checks = {{1, 0xffffffffu, F_SETFL}, {2, O_ASYNC, 0}},
     .reason = "the console is put back as it was, by whichever thread ends all; O_ASYNC sends "
               "signals to whom the terminal belongs"},
    WITH(fcntl, 1, F_DUPFD_CLOEXEC, START, "a file that two owners close"),
    WITH(fcntl, 1, F_OFD_SETLK, VMM, "memory files that VMs live from are not written in place"),
    WITH(fcntl, 1, F_OFD_GETLK, VMM, "likewise"),
    CALL(dup3, START, "the fd table is grown once, while nobody shares it"),
    CALL(getpgrp, ALL, "the console, when it is a terminal's"),
    IOCTL(TCGETS, ALL, "likewise"),
    IOCTL(TCSETS, ALL, "the terminal is put back, by whichever thread ends all"),
    IOCTL(TIOCGPGRP, ALL, "is the terminal ours, before it is put back"),
    IOCTL(BLKGETSIZE64, VMM, "a block device as a drive"),
    CALL(uname, VMM, "a snapshot says on which host it was taken"),
    CALL(sysinfo, VMM, "glibc's qsort asks how much memory there is"),
    CALL(getrandom, ALL, "tokens, ids, samples; glibc's malloc"),
    {.call = "prlimit64",
     .label = "its own",
     .where = VMM,
     INT(0, 0),
     .reason = "the file size limit that a flush has met; before: the fd table"},

    /* --- descriptors and sockets --- */
    CALL(eventfd2, START, "notification between threads, and with KVM"),
    CALL(epoll_create1, START, "the loops"),
    CALL(epoll_ctl, ALL, "who is listened to; a driver's reset forgets streams on its vCPU"),
    {.call = "socket",
     .label = "AF_UNIX, SOCK_STREAM",
     .where = VMM,
     .checks_count = 2,
     .checks = {{0, 0xffffffffu, AF_UNIX}, {1, 0xf, SOCK_STREAM}},
     .reason = "a guest's vsock stream to the host; before: the API, the page-fault handler"},
    {.call = "socket",
     .label = "AF_UNIX, SOCK_DGRAM",
     .where = START,
     .checks_count = 2,
     .checks = {{0, 0xffffffffu, AF_UNIX}, {1, 0xf, SOCK_DGRAM}},
     .reason = "if_nametoindex: the sentence about a TAP that cannot be opened"},
    IOCTL(SIOCGIFINDEX, START, "likewise"),
    CALL(connect, VMM, "a guest's vsock stream to the host"),
    CALL(bind, START, "the sockets of the API and of vsock"),
    CALL(listen, START, "likewise"),
    CALL(getsockname, START, "the path of an inherited API socket, for the log"),
    CALL(accept4, VMM | API, "the API's clients, vsock's"),
    CALL(recvfrom, VMM | API, "the API's requests, vsock's streams"),
    CALL(sendto, API, "the API's replies"),
    CALL(sendmsg, START, "guest memory to the page-fault handler"),
    CALL(shutdown, VMM, "half a vsock stream ends"),
    SOCKOPT(setsockopt, SO_PASSRIGHTS, VMM, "no descriptor comes with a peer's bytes"),
    SOCKOPT(getsockopt, SO_TYPE, START, "is an inherited socket the API's"),
    SOCKOPT(getsockopt, SO_DOMAIN, START, "likewise"),
    SOCKOPT(getsockopt, SO_ACCEPTCONN, START, "likewise"),
    SOCKOPT(getsockopt, SO_PEERCRED, START, "who the page-fault handler is"),
    SOCKOPT(getsockopt, SO_PEERPIDFD, START, "and a handle on it"),
    CALL(pidfd_open, START, "the same on kernels before 6.5"),

    /* --- the walls themselves --- */
    CALL(seccomp, START, "each thread narrows itself once"),
    CALL(landlock_restrict_self, START, "each thread gives up the file system"),
    CALL(capset, START, "each thread gives up those that it does not need"),

    /* --- io_uring: one ring, made, restricted and enabled before the guest runs --- */
    CALL(io_uring_setup, START, "the ring of Async drives"),
    CALL(io_uring_enter, VMM, "requests of Async drives"),
    WITH(io_uring_register, 1, IORING_REGISTER_FILES, START, "the ring's table of files"),
    WITH(io_uring_register, 1, IORING_REGISTER_FILES_UPDATE, VMM, "a drive's file is replaced"),
    WITH(io_uring_register, 1, IORING_REGISTER_EVENTFD, START, "completions wake the loop"),
    WITH(io_uring_register, 1, IORING_REGISTER_IOWQ_MAX_WORKERS, START, "few kernel threads"),
    WITH(io_uring_register, 1, IORING_REGISTER_RESTRICTIONS, START, "five operations, no others"),
    WITH(io_uring_register, 1, IORING_REGISTER_ENABLE_RINGS, START, "the end of all that"),

    /* --- network --- */
    IOCTL(TUNSETIFF, START, "opens a TAP"),
    IOCTL(TUNGETIFF, START, "what an inherited TAP is"),
    IOCTL(TUNSETVNETHDRSZ, START, "frames with a virtio header of 12 bytes"),
    IOCTL(TUNSETOFFLOAD, VMM | VCPU, "what the driver takes, when it says so, on its vCPU"),

    /* --- page-fault handler --- */
    CALL(userfaultfd, START, "guest memory that a handler brings"),
    IOCTL(USERFAULTFD_IOC_NEW, START, "the same, by /dev/userfaultfd"),
    IOCTL(UFFDIO_API, START, "likewise"),
    IOCTL(UFFDIO_REGISTER, START, "likewise"),
    IOCTL(UFFDIO_UNREGISTER, VMM, "a handler has ended: nobody waits for it any more"),
    IOCTL(UFFDIO_WAKE, VMM, "likewise"),

    /* --- KVM: making a VM --- */
    IOCTL(KVM_CHECK_EXTENSION, VMM, "what this host's KVM can"),
    IOCTL(KVM_GET_VCPU_MMAP_SIZE, START, "how much each vCPU shares with us"),
    IOCTL(KVM_CREATE_VM, START, "the VM"),
    IOCTL(KVM_ENABLE_CAP, START, "split irqchip, exits on nothing that we do not serve"),
    IOCTL(KVM_SET_TSS_ADDR, START, "where Intel keeps what real mode needs"),
    IOCTL(KVM_SET_USER_MEMORY_REGION, START, "guest memory"),
    IOCTL(KVM_CREATE_IRQCHIP, START, "--irqchip full"),
    IOCTL(KVM_CREATE_PIT2, START, "--irqchip full"),
    IOCTL(KVM_CREATE_VCPU, START, "the vCPUs"),
    IOCTL(KVM_GET_SUPPORTED_CPUID, START, "what a guest may be told of the CPU"),
    IOCTL(KVM_SET_CPUID2, START, "what it is told"),
    IOCTL(KVM_GET_MSR_INDEX_LIST, VMM, "which MSRs a snapshot keeps"),
    IOCTL(KVM_SET_TSC_KHZ, START, "a clone's clock ticks as the snapshot's did"),
    IOCTL(KVM_SET_MSRS, START, "a vCPU's state, at boot and of a snapshot"),
    IOCTL(KVM_SET_REGS, START, "likewise"),
    IOCTL(KVM_SET_SREGS, START, "likewise"),
    IOCTL(KVM_SET_FPU, START, "likewise"),
    IOCTL(KVM_SET_LAPIC, START, "likewise"),
    IOCTL(KVM_SET_XSAVE, START, "likewise"),
    IOCTL(KVM_SET_XCRS, START, "likewise"),
    IOCTL(KVM_SET_DEBUGREGS, START, "likewise"),
    IOCTL(KVM_SET_VCPU_EVENTS, START, "likewise"),
    IOCTL(KVM_SET_MP_STATE, START, "likewise"),
    IOCTL(KVM_SET_CLOCK, START, "the VM's clock, of a snapshot"),
    IOCTL(KVM_SET_IRQCHIP, START, "likewise"),
    IOCTL(KVM_SET_PIT2, START, "likewise"),
    IOCTL(KVM_IRQ_LINE, START, "a line that may have been up is raised again by a load"),
    IOCTL(KVM_IRQFD, START, "devices' interrupts"),
    IOCTL(KVM_IOEVENTFD, START, "drivers' notifications"),
    IOCTL(KVM_REGISTER_COALESCED_MMIO, START, "InterruptACK without an exit"),

    /* --- KVM: running it --- */
    {.call = "ioctl",
     .label = "KVM_RUN",
     .where = VCPU,
     INT(1, KVM_RUN),
     .is_hot = true,
     .reason = "the guest"},
    IOCTL(KVM_SET_GSI_ROUTING, VMM | VCPU, "the guest writes its IOAPIC"),
    IOCTL(KVM_TRANSLATE, VCPU, "the sentence about an instruction that the host cannot run"),
    IOCTL(KVM_GET_REGS, VMM | VCPU, "a snapshot; that sentence"),
    IOCTL(KVM_GET_SREGS, VMM | VCPU, "likewise"),
    IOCTL(KVM_GET_MSRS, VMM, "a snapshot"),
    IOCTL(KVM_GET_LAPIC, VMM, "a snapshot"),
    IOCTL(KVM_GET_XSAVE, VMM, "a snapshot"),
    IOCTL(KVM_GET_XSAVE2, VMM, "a snapshot, where the state is larger than 4 KiB"),
    IOCTL(KVM_GET_XCRS, VMM, "a snapshot"),
    IOCTL(KVM_GET_DEBUGREGS, VMM, "a snapshot"),
    IOCTL(KVM_GET_VCPU_EVENTS, VMM, "a snapshot"),
    IOCTL(KVM_GET_MP_STATE, VMM, "a snapshot"),
    IOCTL(KVM_GET_NESTED_STATE, VMM, "a snapshot"),
    IOCTL(KVM_GET_CPUID2, VMM, "a snapshot"),
    IOCTL(KVM_GET_TSC_KHZ, VMM, "a snapshot"),
    IOCTL(KVM_GET_CLOCK, VMM, "a snapshot"),
    IOCTL(KVM_GET_IRQCHIP, VMM, "a snapshot"),
    IOCTL(KVM_GET_PIT2, VMM, "a snapshot"),
    IOCTL(KVM_GET_DIRTY_LOG, VMM, "a Diff snapshot"),
    IOCTL(KVM_KVMCLOCK_CTRL, VMM, "a pause is no lockup of the guest"),
};

const size_t sec_rules_count = ARRAY_LEN(sec_rules);
