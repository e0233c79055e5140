/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the lab machine: loads modules, builds the root file system, runs one command, tells
 * the host how it ended. Static, so that the initramfs holds nothing else. Single thread.
 */
#include "tests/lab/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The port is opened once, before the root is switched; -1 until then. */
static int agent_port_fd = -1;

static _Noreturn void machine_stop(void)
{
    /* The host kills the machine when it has read the last frame; this is for when it does not. */
    sync();
    (void)reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

_Noreturn void agent_fail(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : ((size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
    dprintf(STDERR_FILENO, "lab init: %s\n", text);
    if (agent_port_fd >= 0) {
        relay_send(agent_port_fd, FRAME_FAIL, text, len);
        sleep(10);
    }
    machine_stop();
}

static char *file_read(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buf = malloc(JOB_SIZE_MAX + 1);
    size_t len = 0;

    if (fd < 0 || !buf)
        agent_fail("cannot read %s of the initramfs: %s", path, strerror(errno));
    for (;;) {
        ssize_t n = read(fd, buf + len, JOB_SIZE_MAX - len);
        if (n < 0 || len == JOB_SIZE_MAX)
            agent_fail("%s of the initramfs cannot be read or is over 1 MiB", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    buf[len] = '\0';
    *ret_len = len;
    return buf;
}

static void list_push(char **list, size_t max, size_t *count, char *value, const char *what)
{
    if (*count >= max)
        agent_fail("the job has more than %zu %s", max, what);
    list[(*count)++] = value;
}

static void job_take(struct job *job, char *record)
{
    char *value = strchr(record, '=');

    if (!value)
        agent_fail("the job record '%s' has no value", record);
    *value++ = '\0';
    if (strcmp(record, "arg") == 0)
        list_push(job->argv, JOB_ARGS_MAX, &job->argv_count, value, "arguments");
    else if (strcmp(record, "env") == 0)
        list_push(job->env, JOB_ENV_MAX, &job->env_count, value, "environment variables");
    else if (strcmp(record, "bind") == 0)
        list_push(job->binds, JOB_DIRS_MAX, &job->binds_count, value, "directories to show");
    else if (strcmp(record, "rw") == 0)
        list_push(job->rw, JOB_DIRS_MAX, &job->rw_count, value, "writable directories");
    else if (strcmp(record, "cwd") == 0)
        job->cwd = value;
    else if (strcmp(record, "modules") == 0)
        job->modules = value;
    else if (strcmp(record, "tty") == 0)
        job->tty = true;
    else if (strcmp(record, "clock") == 0)
        job->clock_tsc = true;
    else if (strcmp(record, "stdin") == 0)
        job->has_stdin = true;
    else
        agent_fail("the job record '%s' is not known to this init", record);
}

/* The job file is a sequence of NUL-terminated "key=value" records. */
static void job_read(struct job *job)
{
    size_t len = 0;
    char *buf = file_read("/job", &len);

    for (size_t off = 0; off < len;) {
        size_t next = off + strlen(buf + off) + 1;

        job_take(job, buf + off);
        off = next;
    }
    if (job->argv_count == 0 || !job->cwd || !job->modules)
        agent_fail("the job is incomplete (command, cwd or modules missing)");
}

/* The port's device node appears shortly after its driver is loaded. */
static void port_open(void)
{
    const struct timespec pause_1ms = {.tv_nsec = 1000 * 1000};

    for (int tries = 0; tries < 10000; tries++) {
        agent_port_fd = open("/dev/vport0p1", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (agent_port_fd >= 0)
            return;
        nanosleep(&pause_1ms, NULL);
    }
    agent_fail("/dev/vport0p1 did not appear within 10 s");
}

static void console_open(void)
{
    int fd = open("/dev/console", O_RDWR);

    /* Without a console there is nobody to tell; carry on, the port still works. */
    for (int std = 0; fd >= 0 && std <= 2; std++)
        (void)dup2(fd, std);
    if (fd > 2)
        close(fd);
}

/* kvm takes as long to load as everything else here: do it beside, on the second CPU. */
static pid_t loader_start(void)
{
    pid_t pid = fork();

    if (pid < 0)
        agent_fail("cannot fork: %s", strerror(errno));
    if (pid == 0) {
        setup_modules('l');
        _exit(0);
    }
    return pid;
}

static void loader_wait(pid_t pid)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        agent_fail("loading modules ended with wait status %d", status);
    /* devtmpfs made or changed nodes meanwhile; these belong to everybody. */
    if (chmod("/dev/kvm", 0666) < 0 || chmod("/dev/net/tun", 0666) < 0)
        agent_fail("cannot set the mode of /dev/kvm or /dev/net/tun: %s", strerror(errno));
}

int main(void)
{
    static struct job job;
    char status[16];

    (void)mkdir("/dev", 0755);
    (void)mkdir("/proc", 0755);
    (void)mkdir("/sys", 0755);
    if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0 || mount("sys", "/sys", "sysfs", 0, NULL) < 0)
        agent_fail("cannot mount /dev, /proc or /sys: %s", strerror(errno));
    console_open();
    setup_modules('b');
    port_open();
    job_read(&job);
    pid_t loader = loader_start();
    setup_root(&job);
    loader_wait(loader);
    if (job.clock_tsc)
        setup_clock();

    int code = relay_run(&job, agent_port_fd);

    /* Writable shares are 9p without a cache; sync anyway, before the host ends the machine. */
    sync();
    int n = snprintf(status, sizeof(status), "%d", code);
    relay_send(agent_port_fd, FRAME_EXIT, status, (size_t)n);
    sleep(10);
    machine_stop();
}
