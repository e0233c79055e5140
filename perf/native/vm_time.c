/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times one run of a command from outside, and looks at its memory if asked. Marks are absolute
 * CLOCK_MONOTONIC nanoseconds, so that they can be laid beside a kernel trace taken with that
 * clock:
 *   start  just before execve, in the child
 *   first  its first output byte has arrived
 *   end    wait4 has returned
 * What follows the first byte stays in the pipe until the end: a reader woken for every byte would
 * be measured too. Prints one JSON object. One thread; part of perf, not of the product.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIPE_SIZE (1 << 20)
#define OUTPUT_MAX (1u << 20)
#define PATH_MAX_LEN 64

struct marks {
    uint64_t start_ns;
    uint64_t first_ns;
    uint64_t end_ns;
    int status;
    long max_rss_kib;
};

struct task {
    char **command;
    const char *root;     /* directory to be the command's root, or NULL */
    const char *smaps_to; /* file for its smaps at its first byte, or NULL */
    const char *output_to;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* vfork: the child shares our memory, so it can leave the time of its execve here. */
static pid_t start(const struct task *task, const int out[2], uint64_t *ret_start_ns)
{
    volatile uint64_t *at = ret_start_ns;
    pid_t pid = vfork();

    if (pid < 0)
        err(1, "vfork");
    if (pid == 0) {
        if (task->root && (chroot(task->root) < 0 || chdir("/") < 0))
            _exit(126);
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
            _exit(126);
        (void)close(null);
        (void)close(out[0]);
        (void)close(out[1]);
        *at = now_ns();
        (void)execv(task->command[0], task->command);
        _exit(127);
    }
    return pid;
}

static void copy_proc(pid_t pid, const char *name, const char *to)
{
    char path[PATH_MAX_LEN];
    char buf[8192];
    ssize_t got;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (in < 0 || out < 0)
        err(1, "%s or %s", path, to);
    while ((got = read(in, buf, sizeof(buf))) > 0)
        if (write(out, buf, (size_t)got) != got)
            err(1, "%s", to);
    if (got < 0)
        err(1, "%s", path);
    (void)close(in);
    (void)close(out);
}

/* Freezes the command at its first byte, copies its smaps, lets it go on. */
static void look_at_memory(pid_t pid, const char *to)
{
    if (kill(pid, SIGSTOP) < 0)
        err(1, "SIGSTOP");
    copy_proc(pid, "smaps", to);
    if (kill(pid, SIGCONT) < 0)
        err(1, "SIGCONT");
}

static struct marks run(const struct task *task, char *output, size_t *ret_len)
{
    struct marks marks = {0};
    struct rusage usage;
    size_t len = 0;
    ssize_t got;
    int out[2];

    if (pipe2(out, O_CLOEXEC) < 0 || fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
        err(1, "pipe");
    pid_t pid = start(task, out, &marks.start_ns);
    (void)close(out[1]);
    got = read(out[0], output, 1);
    marks.first_ns = got == 1 ? now_ns() : 0;
    len = got == 1 ? 1 : 0;
    if (got == 1 && task->smaps_to)
        look_at_memory(pid, task->smaps_to);
    if (wait4(pid, &marks.status, 0, &usage) < 0)
        err(1, "wait4");
    marks.end_ns = now_ns();
    marks.max_rss_kib = usage.ru_maxrss;
    while (len < OUTPUT_MAX && (got = read(out[0], output + len, OUTPUT_MAX - len)) > 0)
        len += (size_t)got;
    (void)close(out[0]);
    *ret_len = len;
    return marks;
}

static bool parse(int argc, char **argv, struct task *ret_task)
{
    struct task task = {0};
    int i = 1;

    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (strcmp(argv[i], "--smaps") == 0)
            task.smaps_to = argv[i + 1];
        else if (strcmp(argv[i], "--output") == 0)
            task.output_to = argv[i + 1];
        else if (strcmp(argv[i], "--root") == 0)
            task.root = argv[i + 1];
        else
            return false;
    }
    if (i + 1 >= argc)
        return false;
    task.command = &argv[i + 1];
    *ret_task = task;
    return true;
}

static void keep(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) < 0)
        err(1, "%s", path);
}

int main(int argc, char **argv)
{
    static char output[OUTPUT_MAX];
    struct task task;
    size_t len = 0;

    if (!parse(argc, argv, &task))
        errx(2, "usage: vm_time [--root DIR] [--smaps FILE] [--output FILE] -- COMMAND [ARG...]");
    struct marks marks = run(&task, output, &len);
    if (task.output_to)
        keep(task.output_to, output, len);
    (void)printf("{\"start_ns\": %ju, \"first_ns\": %ju, \"end_ns\": %ju, \"status\": %d, "
                 "\"max_rss_kib\": %ld}\n",
                 (uintmax_t)marks.start_ns, (uintmax_t)marks.first_ns, (uintmax_t)marks.end_ns,
                 WIFEXITED(marks.status) ? WEXITSTATUS(marks.status) : 128 + WTERMSIG(marks.status),
                 marks.max_rss_kib);
    return 0;
}
