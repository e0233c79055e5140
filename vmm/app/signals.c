/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal handlers (cli.md D). They may interrupt a thread that is logging or counting: log and
 * metrics are made for that (base/log.h, base/metrics.h).
 */
#include "vmm/app/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "jailer/seccomp/sec.h"
#include "vmm/app/exit_code.h"

/* The one thing a handler must find: what to give back to the terminal. Set once before any
 * handler can run. */
static const struct console *signal_console;

/* Guest memory that comes from a file; looked at by handlers once the path is there. */
struct mapped_memory {
    struct {
        uintptr_t start;
        uint64_t size;
    } ranges[GMEM_REGIONS_MAX];
    uint32_t ranges_count;
    const char *_Atomic path; /* heap, for the process's life; NULL: no file */
};
static struct mapped_memory signal_memory;

struct fatal_signal {
    int signum;
    enum exit_code code;
    metric_t *metric;
};

static const struct fatal_signal fatal_signals[] = {
    {SIGBUS, EXIT_CODE_SIGBUS, &metrics.signals.sigbus},
    {SIGSEGV, EXIT_CODE_SIGSEGV, &metrics.signals.sigsegv},
    {SIGXFSZ, EXIT_CODE_SIGXFSZ, &metrics.signals.sigxfsz},
    {SIGXCPU, EXIT_CODE_SIGXCPU, &metrics.signals.sigxcpu},
    {SIGHUP, EXIT_CODE_SIGHUP, &metrics.signals.sighup},
    {SIGILL, EXIT_CODE_SIGILL, &metrics.signals.sigill},
};

_Noreturn void app_signals_end_now(enum exit_code code)
{
    struct err err = ERR_INIT;
    IGNORE_RESULT(
        metrics_flush(&err)); /* on the way out: counted where it can be, nobody left to tell */
    console_restore(signal_console);
    _exit((int)code);
}

void app_signals_name_memory(const struct gmem *gmem, const char *path)
{
    struct mapped_memory *memory = &signal_memory;
    if (atomic_load_explicit(&memory->path, memory_order_acquire))
        return; /* a process loads once */
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        memory->ranges[i].start = (uintptr_t)view.host;
        memory->ranges[i].size = view.size;
    }
    memory->ranges_count = gmem_regions_count(gmem);
    /* NULL: the sentence is the shorter one. */
    atomic_store_explicit(&memory->path, strdup(path), memory_order_release);
}

/* The file that the memory at this address comes from, or NULL. */
static const char *file_behind(const void *address)
{
    const struct mapped_memory *memory = &signal_memory;
    const char *path = atomic_load_explicit(&memory->path, memory_order_acquire);
    uintptr_t at = (uintptr_t)address;
    for (uint32_t i = 0; path && i < memory->ranges_count; i++)
        if (at >= memory->ranges[i].start && at - memory->ranges[i].start < memory->ranges[i].size)
            return path;
    return NULL;
}

static void tell_bus_error(const siginfo_t *info)
{
    const char *path = info->si_code == BUS_ADRERR ? file_behind(info->si_addr) : NULL;
    if (path)
        log_error("Signal %d (SIGBUS): the guest's memory at %p has nothing behind it: the memory "
                  "file %s was cut while the VM lived, or cannot be read. Nobody may change that "
                  "file before all of its VMs have ended.",
                  SIGBUS, info->si_addr, path);
    else
        log_error("Signal %d (SIGBUS): the memory at %p has nothing behind it (%s).", SIGBUS,
                  info->si_addr,
                  info->si_code == BUS_ADRERR
                      ? "its file was cut, or no huge page or memory is left"
                      : "bad alignment or broken hardware");
}

/* What is behind a signal, where the kernel says more than its number. */
static void tell_cause(int signum, const siginfo_t *info)
{
    if (info->si_code <= 0) /* kill, tgkill, sigqueue */
        log_error("Signal %d (SIG%s) was sent by process %d.", signum, sigabbrev_np(signum),
                  (int)info->si_pid);
    else if (signum == SIGBUS)
        tell_bus_error(info);
    else if (signum == SIGSEGV || signum == SIGILL)
        log_error("Signal %d (SIG%s): a fault in this program at address %p.", signum,
                  sigabbrev_np(signum), info->si_addr);
}

static void on_fatal(int signum, siginfo_t *info, void *context)
{
    (void)context; /* registers are not looked at */
    for (size_t i = 0; i < ARRAY_LEN(fatal_signals); i++) {
        if (fatal_signals[i].signum != signum)
            continue;
        metric_store(fatal_signals[i].metric, 1);
        tell_cause(signum, info);
        log_error("Shutting down VM after intercepting signal %d, code %d.", signum, info->si_code);
        app_signals_end_now(fatal_signals[i].code);
    }
}

static void on_sigsys(int signum, siginfo_t *info, void *context)
{
    enum { SI_CODE_SECCOMP = 1 }; /* SYS_SECCOMP */
    const ucontext_t *user = context;
    metric_store(&metrics.seccomp.num_faults, 1);
    tell_cause(signum, info);
    if (info->si_code == SI_CODE_SECCOMP)
        log_error(
            "The thread %s made the system call %s (number %d, arguments 0x%llx, 0x%llx, "
            "0x%llx), which its seccomp filter does not allow. If that is a fault of this "
            "program, and no attack, please report this line; --seccomp-audit runs on and has "
            "the kernel log such calls.",
            log_thread_name(), sec_call_name(info->si_syscall), info->si_syscall,
            (unsigned long long)user->uc_mcontext.gregs[REG_RDI],
            (unsigned long long)user->uc_mcontext.gregs[REG_RSI],
            (unsigned long long)user->uc_mcontext.gregs[REG_RDX]);
    log_error("Shutting down VM after intercepting signal %d, code %d.", signum, info->si_code);
    if (info->si_code != SI_CODE_SECCOMP)
        app_signals_end_now(EXIT_CODE_UNEXPECTED);
    log_error("Shutting down VM after intercepting a bad syscall (%d).", info->si_syscall);
    app_signals_end_now(EXIT_CODE_BAD_SYSCALL);
}

static void on_sigpipe(int signum, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)context; /* registers are not looked at */
    metric_inc(&metrics.signals.sigpipe);
    /* Limited: when nobody reads our stdout any more, every byte of the guest's console ends
     * here. */
    log_guest_error("Received signal %d, code %d.", signum, info->si_code);
    errno = saved;
}

/* One of our own checks failed: libc has said on stderr which. What abort() does next, when this
 * returns, is the death by signal that the parent sees. */
static void on_abort(int signum, siginfo_t *info, void *context)
{
    struct err err = ERR_INIT;
    (void)context; /* registers are not looked at */
    metric_store(&metrics.vmm.panic_count, 1);
    log_error("Firecracker panicked at a check of its own: signal %d, code %d.", signum,
              info->si_code);
    IGNORE_RESULT(metrics_flush(&err)); /* as in end_now */
    console_restore(signal_console);
    (void)raise(signum); /* SA_RESETHAND: also when the signal came from outside */
}

/* SIGTERM and SIGINT: the parent must see death by signal. */
static void on_terminate(int signum, siginfo_t *info, void *context)
{
    (void)info;    /* the sender does not matter */
    (void)context; /* registers are not looked at */
    console_restore(signal_console);
    if (getpid() == 1) /* a PID namespace's first process dies of no default action */
        _exit(128 + signum);
    (void)raise(
        signum); /* SA_RESETHAND: the default action now; delivered when the handler returns */
}

static int install(int signum, void (*handler)(int, siginfo_t *, void *), int flags,
                   struct err *err)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    if (sigaction(signum, &action, NULL) < 0)
        return err_set(err, -errno, "installing the handler of signal %d: %s", signum,
                       ERR_OS(errno));
    return 0;
}

int app_signals_install(const struct console *console, struct err *err)
{
    int rc = 0;
    signal_console = console;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(fatal_signals); i++)
        rc = install(fatal_signals[i].signum, on_fatal, 0, err);
    if (rc == 0)
        rc = install(SIGSYS, on_sigsys, 0, err);
    if (rc == 0)
        rc = install(SIGABRT, on_abort, (int)SA_RESETHAND, err);
    if (rc == 0)
        rc = install(SIGPIPE, on_sigpipe, SA_RESTART, err);
    if (rc == 0)
        rc = install(SIGTERM, on_terminate, (int)SA_RESETHAND, err);
    if (rc == 0)
        rc = install(SIGINT, on_terminate, (int)SA_RESETHAND, err);
    return rc;
}
