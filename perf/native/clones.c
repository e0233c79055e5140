/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts one command many times at once and waits for the first byte of each:
 *   clones COUNT COMMAND [ARG...]
 * Prints a line for each, "clone PID first_us cpu_us": from just before its execve to the first
 * byte of its output, and the CPU time that it had taken when all had spoken; then "up US" since
 * the first began. They stay until a byte (or the end) comes on stdin: then all are killed
 * together, and "gone US" tells when the last was gone, "usage US" what they took of CPU time in
 * all, their end included. Threads: one starts them, one listens. Part of perf, not of the product.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 4000u
#define LIMIT_MS 60000

struct clone {
    pid_t pid;
    int out;
    uint64_t exec_ns;  /* the starter's */
    uint64_t first_ns; /* the listener's */
};

struct clones {
    struct clone *each;
    uint32_t count;
    int epoll_fd;
    int null_fd;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* A pipe for each. */
static void need_descriptors(uint32_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        err(1, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < count + 64)
        errx(1, "%u clones need more than the %ju descriptors that are allowed", count,
             (uintmax_t)limit.rlim_max);
}

/* The child's memory is ours until its execve. */
static void start(const struct clones *clones, struct clone *clone, char **argv)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        err(1, "pipe");
    clone->out = out[0];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = clone};
    if (epoll_ctl(clones->epoll_fd, EPOLL_CTL_ADD, out[0], &event) < 0)
        err(1, "epoll_ctl");
    volatile uint64_t *exec_ns = &clone->exec_ns;
    pid_t pid = vfork();
    if (pid < 0)
        err(1, "vfork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(clones->null_fd, STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        *exec_ns = now_ns();
        (void)execv(argv[0], argv);
        _exit(127);
    }
    clone->pid = pid;
    (void)close(out[1]);
}

static void hear(const struct clones *clones, struct clone *clone, uint64_t at_ns)
{
    char byte;
    if (read(clone->out, &byte, 1) != 1)
        errx(1, "a command ended without output");
    clone->first_ns = at_ns;
    if (epoll_ctl(clones->epoll_fd, EPOLL_CTL_DEL, clone->out, NULL) < 0)
        err(1, "epoll_ctl");
}

static void *listen_to_all(void *arg)
{
    const struct clones *clones = arg;
    struct epoll_event events[64];

    for (uint32_t left = clones->count; left > 0;) {
        int count = epoll_wait(clones->epoll_fd, events, 64, LIMIT_MS);
        uint64_t at_ns = now_ns();
        if (count <= 0)
            errx(1, "%u clones did not speak", left);
        for (int i = 0; i < count; i++, left--)
            hear(clones, events[i].data.ptr, at_ns);
    }
    return NULL;
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) != 0)
        errx(1, "process %d is gone", pid);
    return clock_ns(clock);
}

static double us(uint64_t ns)
{
    return (double)ns / 1000.0;
}

static void report(const struct clones *clones)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < clones->count; i++) {
        const struct clone *clone = &clones->each[i];
        if (clone->first_ns > last_ns)
            last_ns = clone->first_ns;
        (void)printf("clone %d %.1f %.1f\n", clone->pid, us(clone->first_ns - clone->exec_ns),
                     us(cpu_ns(clone->pid)));
    }
    (void)printf("up %.1f\n", us(last_ns - clones->each[0].exec_ns));
    (void)fflush(stdout);
}

static void end_all(const struct clones *clones)
{
    struct rusage usage;
    uint64_t start_ns = now_ns();

    for (uint32_t i = 0; i < clones->count; i++)
        (void)kill(clones->each[i].pid, SIGKILL);
    for (uint32_t i = 0; i < clones->count; i++)
        if (waitpid(clones->each[i].pid, NULL, 0) < 0)
            err(1, "waitpid");
    (void)printf("gone %.1f\n", us(now_ns() - start_ns));
    if (getrusage(RUSAGE_CHILDREN, &usage) < 0)
        err(1, "getrusage");
    (void)printf("usage %.1f\n", (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
}

int main(int argc, char **argv)
{
    unsigned long count = argc < 3 ? 0 : strtoul(argv[1], NULL, 10);
    pthread_t listener;
    char byte;

    if (count == 0 || count > COUNT_MAX)
        errx(2, "usage: clones COUNT COMMAND [ARG...], COUNT 1..%u", COUNT_MAX);
    struct clones clones = {.count = (uint32_t)count,
                            .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                            .null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                            .each = calloc(count, sizeof(struct clone))};
    if (clones.epoll_fd < 0 || clones.null_fd < 0 || !clones.each)
        err(1, "start");
    need_descriptors(clones.count);
    if (pthread_create(&listener, NULL, listen_to_all, &clones) != 0)
        errx(1, "no thread");
    for (uint32_t i = 0; i < clones.count; i++)
        start(&clones, &clones.each[i], argv + 2);
    if (pthread_join(listener, NULL) != 0)
        errx(1, "pthread_join");
    report(&clones);
    (void)!read(STDIN_FILENO, &byte, 1);
    end_all(&clones);
    return 0;
}
