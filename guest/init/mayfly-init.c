/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-init: pid 1 of a guest, freestanding (no libc, a few KiB, no start-up cost).
 * Says "mayfly-init: ready N ns" once userspace is reached, runs what the command line asks for
 * (options.h), reaps, and ends the VM. One thread; never dies without a word.
 */
#include "guest/init/mount.h"
#include "guest/init/options.h"
#include "guest/init/root.h"
#include "guest/init/run.h"
#include "guest/init/setup.h"
#include "guest/init/sys.h"
#include "guest/init/text.h"

/* The kernel enters with argc, argv and envp on the stack; C wants them in registers. */
__asm__(".pushsection .text\n"
        ".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call init_main\n"
        "    hlt\n"
        ".size _start, . - _start\n"
        ".popsection\n");

void init_main(long *stack) __attribute__((noreturn, used));

static void say_ready(uint64_t ready_ns)
{
    struct text_line line = {.len = 0};

    text_add(&line, "mayfly-init: ready ");
    text_add_u64(&line, ready_ns);
    text_add(&line, " ns");
    text_send(&line);
}

static void say_exit(int status)
{
    struct text_line line = {.len = 0};

    text_add(&line, "mayfly-init: exit ");
    text_add_u64(&line, (uint64_t)status);
    text_send(&line);
}

static void signal_boot_timer(void)
{
    int err = setup_signal_boot_timer();

    /* The initramfs images bring a /dev/mem of their own; a disk needs devtmpfs first. */
    if (err == -ENOENT) {
        err = mount_dev();
        if (!err)
            err = setup_signal_boot_timer();
    }
    if (err)
        text_report("cannot signal the boot timer by ", "/dev/mem", err,
                    "The kernel needs CONFIG_DEVMEM.");
}

/* Runs the command, or a shell, or waits for a signal; returns how the VM shall end. */
static enum opt_end serve(struct options *opt, bool has_console)
{
    char path[] = "PATH=/bin:/sbin:/usr/bin:/usr/sbin";
    char home[] = "HOME=/";
    char term[] = "TERM=vt100";
    char shell_path[] = "/bin/sh";
    char *const env[] = {path, home, term, NULL};
    char *const shell[] = {shell_path, NULL};
    char *const *argv = opt->run_argv;
    enum opt_end end = opt->end;
    int status = RUN_STATUS_NOT_FOUND;
    long pid = 0;

    if (!opt->has_run) {
        bool can_shell = has_console && sys_call3(__NR_access, (long)shell[0], 1, 0) == 0;

        argv = can_shell ? shell : NULL;
    }
    if (argv && argv[0]) {
        pid = run_start(argv, env, !opt->has_run);
        if (pid < 0) {
            text_report("cannot start ", argv[0], pid, "The VM ends.");
            return end;
        }
    }
    if (pid == 0 && opt->has_run) {
        say_exit(status);
        return end;
    }
    if (run_wait(pid, &end, &status))
        say_exit(status);
    return end;
}

void init_main(long *stack)
{
    uint64_t ready_ns = sys_clock_ns();
    long argc = stack[0];
    char *const *argv = (char *const *)&stack[1];
    char *const *envp = argv + argc + 1;
    struct options opt = {.root = ""};
    bool has_console = mount_console();
    enum opt_end end;
    int err;

    if (sys_call3(__NR_getpid, 0, 0, 0) != 1) {
        text_report("this is pid 1 of a guest and nothing else", "", 0, "Nothing was done.");
        sys_exit(1);
    }
    err = mount_proc();
    if (!err)
        err = options_read(&opt);
    if (err)
        text_report("cannot read ", "/proc/cmdline", err, "Taking the defaults.");
    if (opt.root[0] && mount_root_is_initramfs()) {
        err = mount_dev();
        if (err)
            text_report("cannot mount ", "/dev", err, "The root device may not be found.");
        setup_modules();
        err = root_switch(&opt, argv, envp);
        if (err)
            run_end(opt.end);
    }
    if (opt.boot_timer)
        signal_boot_timer();
    say_ready(ready_ns);
    if (opt.init_exit)
        run_end(opt.end);
    run_block_signals();
    err = mount_dev();
    if (err)
        text_report("cannot mount ", "/dev", err, "Going on without it.");
    mount_rest();
    setup_modules();
    setup_loopback();
    end = serve(&opt, has_console);
    run_stop_all();
    run_end(end);
}
