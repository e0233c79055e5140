/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children, signals and the end of the VM. Signals stay blocked and are taken one at a time by
 * rt_sigtimedwait, so there is no handler and no race. One thread.
 */
#include "guest/init/run.h"

#include "guest/init/mount.h"
#include "guest/init/sys.h"
#include "guest/init/text.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/reboot.h>
#include <linux/wait.h>

enum {
    SIGSET_SIZE = 8,
    STOP_STEP_NS = 2000000,
    STOP_STEP_COUNT = 100, /* 200 ms between SIGTERM and SIGKILL */
    PATH_SIZE = 512,
    TTY_NAME_SIZE = 64,
};

static uint64_t signal_set(void)
{
    return 1ul << (SIGCHLD - 1) | 1ul << (SIGINT - 1) | 1ul << (SIGTERM - 1) |
           1ul << (SIGUSR1 - 1) | 1ul << (SIGUSR2 - 1);
}

static long set_mask(long how, uint64_t set)
{
    return sys_call6(__NR_rt_sigprocmask, how, (long)&set, 0, SIGSET_SIZE, 0, 0);
}

static long reboot_command(unsigned command)
{
    return sys_call6(__NR_reboot, (long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, 0, 0, 0);
}

void run_block_signals(void)
{
    (void)set_mask(SIG_BLOCK, signal_set());
    /* Refused in a container; then there is no Ctrl-Alt-Del to wait for. */
    (void)reboot_command(LINUX_REBOOT_CMD_CAD_OFF);
}

/*
 * Gives the child a session whose terminal is the real device behind /dev/console (which itself
 * cannot be one), so that a shell has job control. Failing that it keeps what it inherited.
 */
static void take_terminal(void)
{
    static const char where[] = "/sys/class/tty/console/active";
    char name[TTY_NAME_SIZE];
    char path[PATH_SIZE];
    long fd = sys_open(where, O_RDONLY);
    long got = fd < 0 ? fd : sys_read(fd, name, sizeof(name) - 1);
    const char *last = name;

    if (fd >= 0)
        (void)sys_close(fd);
    (void)sys_call3(__NR_setsid, 0, 0, 0);
    if (got <= 0)
        return;
    /* "ttyS1 ttyS0\n": the last name is the one that /dev/console stands for. */
    for (long i = 0; i < got; i++) {
        if (name[i] == ' ')
            last = &name[i + 1];
        if (name[i] == '\n')
            got = i;
    }
    name[got] = 0;
    if (!text_join(path, sizeof(path), "/dev/", last))
        return;
    fd = sys_open(path, O_RDWR);
    if (fd < 0)
        return;
    for (int to = 0; to <= 2; to++)
        (void)sys_call3(__NR_dup2, fd, to, 0);
    (void)sys_ioctl(0, TIOCSCTTY, 0);
}

static NORETURN void exec_child(char *const argv[], char *const envp[], bool interactive)
{
    static const char *const dirs[] = {"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"};
    const char *name = argv[0];
    bool has_slash = false;
    long err = -ENOENT;

    for (const char *at = name; *at; at++)
        has_slash |= *at == '/';
    if (interactive)
        take_terminal();
    (void)set_mask(SIG_UNBLOCK, signal_set());
    if (has_slash)
        err = sys_execve(name, argv, envp);
    for (size_t i = 0; !has_slash && i < ARRAY_LEN(dirs) && err == -ENOENT; i++) {
        char path[PATH_SIZE];

        if (text_join(path, sizeof(path), dirs[i], name))
            err = sys_execve(path, argv, envp);
    }
    text_report("cannot execute ", name, err, "Check the path in mayfly.run= and the image.");
    sys_exit(err == -ENOENT ? RUN_STATUS_NOT_FOUND : RUN_STATUS_NOT_EXECUTABLE);
}

long run_start(char *const argv[], char *const envp[], bool interactive)
{
    long pid = sys_call3(__NR_fork, 0, 0, 0);

    if (pid == 0)
        exec_child(argv, envp, interactive);
    return pid;
}

/* Reaps every child that has ended. True when `pid` was among them. */
static bool reap(long pid, int *ret_status)
{
    bool found = false;

    for (;;) {
        int status = 0;
        long got = sys_call6(__NR_wait4, -1, (long)&status, WNOHANG, 0, 0, 0);

        if (got <= 0)
            return found;
        if (got != pid)
            continue;
        found = true;
        *ret_status = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
    }
}

int run_wait(long pid, enum opt_end *end, int *ret_status)
{
    uint64_t set = signal_set();

    for (;;) {
        long sig = sys_call6(__NR_rt_sigtimedwait, (long)&set, 0, 0, SIGSET_SIZE, 0, 0);

        switch (sig) {
        case SIGCHLD:
            if (reap(pid, ret_status) && pid)
                return 1;
            break;
        case SIGINT:
        case SIGTERM:
            *end = OPT_END_REBOOT;
            return 0;
        case SIGUSR1:
            *end = OPT_END_HALT;
            return 0;
        case SIGUSR2:
            *end = OPT_END_POWEROFF;
            return 0;
        default:
            break;
        }
    }
}

void run_stop_all(void)
{
    int status;

    (void)sys_call3(__NR_kill, -1, SIGTERM, 0);
    (void)sys_call3(__NR_kill, -1, SIGCONT, 0);
    for (int i = 0; i < STOP_STEP_COUNT; i++) {
        (void)reap(0, &status);
        if (sys_call3(__NR_kill, -1, 0, 0) == -ESRCH)
            break;
        sys_sleep_ns(STOP_STEP_NS);
    }
    (void)sys_call3(__NR_kill, -1, SIGKILL, 0);
    (void)sys_call3(__NR_sync, 0, 0, 0);
    /* Clean journal; EINVAL on an initramfs and EBUSY with files open are no loss after sync. */
    (void)sys_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

static void choose_triple_fault(void)
{
    int sys_err = mount_sys();
    long fd = sys_err ? sys_err : sys_open("/sys/kernel/reboot/type", O_WRONLY);
    long err = fd < 0 ? fd : sys_write(fd, "triple", 6);

    if (err < 0)
        text_report("cannot ask for a triple fault by ", "/sys/kernel/reboot/type", err,
                    "Rebooting the usual way.");
}

void run_end(enum opt_end end)
{
    static const unsigned commands[] = {
        [OPT_END_REBOOT] = LINUX_REBOOT_CMD_RESTART,
        [OPT_END_POWEROFF] = LINUX_REBOOT_CMD_POWER_OFF,
        [OPT_END_HALT] = LINUX_REBOOT_CMD_HALT,
        [OPT_END_TRIPLE] = LINUX_REBOOT_CMD_RESTART,
    };
    long err;

    if (end == OPT_END_TRIPLE)
        choose_triple_fault();
    /* TCSBRK with 1: wait until the last byte has left the serial port. */
    (void)sys_ioctl(1, TCSBRK, 1);
    if (end == OPT_END_PANIC)
        sys_exit(1);
    err = reboot_command(commands[end]);
    text_report("cannot end the VM", "", err, "Ending pid 1, so the kernel panics.");
    sys_exit(1);
}
