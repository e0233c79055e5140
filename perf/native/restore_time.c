/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times guests that begin with their first byte of output, in turn (A B A B ...), so that a
 * drifting machine is fair to all:
 *   restore_time RUNS FILE KIND SOCKET COMMAND [ARG...] [-- KIND SOCKET COMMAND [ARG...]]...
 * KIND is `run` (the command makes a guest; SOCKET is not looked at), `api` (FILE's request is sent
 * as soon as the command's socket can be connected to) or `put` (it is sent to a command that has
 * long been waiting). Prints a line a run, in nanoseconds of CLOCK_MONOTONIC: "A exec sent first
 * replied gone": just before execve, before the request was sent, when the first byte of output and
 * the reply were there, and when the killed command was gone; 0 for what there is not. The client
 * stays on one CPU and waits without polling. One thread; part of perf, not of the product.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 100000ul
#define COMMANDS_MAX 8
#define LIMIT_MS 20000
#define SETTLE_NS 20000000 /* a process that has long been waiting */
#define LISTENS_NS 20000   /* between its bind and its listen */

enum kind { KIND_RUN, KIND_API, KIND_PUT };

struct command {
    enum kind kind;
    const char *socket;
    char **argv;
};

struct child {
    pid_t pid;
    int out;
    uint64_t exec_ns;
};

struct marks {
    uint64_t sent_ns;
    uint64_t first_ns;
    uint64_t replied_ns;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Stays on the first CPU. Returns those that a command may run on. */
static cpu_set_t take_cpu(void)
{
    cpu_set_t all;
    cpu_set_t first;

    if (sched_getaffinity(0, sizeof(all), &all) < 0)
        err(1, "sched_getaffinity");
    CPU_ZERO(&first);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &first);
    if (sched_setaffinity(0, sizeof(first), &first) < 0)
        err(1, "sched_setaffinity");
    return all;
}

/* Between vfork and execve the child's memory is ours. */
static struct child start(const struct command *command, const cpu_set_t *cpus)
{
    int out[2];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || pipe2(out, O_CLOEXEC) < 0)
        err(1, "pipe");
    volatile uint64_t exec_ns = 0;
    pid_t pid = vfork();
    if (pid < 0)
        err(1, "vfork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)sched_setaffinity(0, sizeof(*cpus), cpus);
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        exec_ns = now_ns();
        (void)execv(command->argv[0], command->argv);
        _exit(127);
    }
    (void)close(null);
    (void)close(out[1]);
    return (struct child){.pid = pid, .out = out[0], .exec_ns = exec_ns};
}

static void await(int fd, const char *what)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (poll(&poll_fd, 1, LIMIT_MS) <= 0)
        errx(1, "waited in vain for %s", what);
}

/* Watches the directory that the socket will be in. */
static int watch(const char *path)
{
    char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');
    int fd = inotify_init1(IN_CLOEXEC);

    if (!slash || (size_t)(slash - path) + 2 > sizeof(dir))
        errx(1, "%s: a short absolute path is needed", path);
    (void)snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - path), path);
    if (fd < 0 || inotify_add_watch(fd, dir, IN_CREATE) < 0)
        err(1, "%s", dir);
    return fd;
}

static void wait_ns(long ns)
{
    struct timespec pause = {.tv_nsec = ns};
    (void)nanosleep(&pause, NULL);
}

/* The path is there from bind on, a moment before listen: which may need the CPU that we are on. */
static int dial(const char *path, int watch_fd)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char events[4096];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
        err(1, "%s", path);
    memcpy(addr.sun_path, path, strlen(path));
    while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if (errno == ECONNREFUSED) {
            wait_ns(LISTENS_NS);
            continue;
        }
        if (errno != ENOENT)
            err(1, "%s", path);
        await(watch_fd, path);
        if (read(watch_fd, events, sizeof(events)) <= 0)
            err(1, "inotify");
    }
    return fd;
}

static void read_reply(int fd)
{
    char text[4096];
    ssize_t len = recv(fd, text, sizeof(text) - 1, 0);

    if (len <= 0)
        errx(1, "the connection was closed without a reply");
    text[len] = '\0';
    if (strncmp(text, "HTTP/1.1 2", 10) != 0)
        errx(1, "refused: %s", text);
}

/* Until both the guest's first byte and the reply are there; fd -1: there is no reply. */
static void await_both(int out, int fd, struct marks *marks)
{
    struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    char byte;

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, LIMIT_MS) <= 0)
            errx(1, "no output or no reply");
        uint64_t at_ns = now_ns();
        if (fds[0].fd >= 0 && fds[0].revents) {
            if (read(out, &byte, 1) != 1)
                errx(1, "a command ended without output");
            marks->first_ns = at_ns;
            fds[0].fd = -1;
        }
        if (fds[1].fd >= 0 && fds[1].revents) {
            read_reply(fd);
            marks->replied_ns = at_ns;
            fds[1].fd = -1;
        }
    }
}

static void time_one(const struct command *command, const cpu_set_t *cpus, char label,
                     const char *request)
{
    bool asks = command->kind != KIND_RUN;
    struct marks marks = {0};
    int fd = -1;
    int watch_fd = -1;

    if (asks) {
        if (unlink(command->socket) < 0 && errno != ENOENT)
            err(1, "%s", command->socket);
        watch_fd = watch(command->socket);
    }
    struct child child = start(command, cpus);
    if (asks) {
        fd = dial(command->socket, watch_fd);
        if (command->kind == KIND_PUT)
            wait_ns(SETTLE_NS);
        marks.sent_ns = now_ns();
        if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
            err(1, "send");
    }
    await_both(child.out, fd, &marks);
    (void)kill(child.pid, SIGKILL);
    if (waitpid(child.pid, NULL, 0) < 0)
        err(1, "waitpid");
    (void)printf("%c %ju %ju %ju %ju %ju\n", label, (uintmax_t)child.exec_ns,
                 (uintmax_t)marks.sent_ns, (uintmax_t)marks.first_ns, (uintmax_t)marks.replied_ns,
                 (uintmax_t)now_ns());
    (void)close(child.out);
    if (asks) {
        (void)close(fd);
        (void)close(watch_fd);
    }
}

static enum kind kind_of(const char *name)
{
    static const char *const names[] = {[KIND_RUN] = "run", [KIND_API] = "api", [KIND_PUT] = "put"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return (enum kind)i;
    errx(2, "no KIND is called %s", name);
}

static size_t read_commands(char **argv, struct command ret_commands[static COMMANDS_MAX])
{
    size_t count = 0;
    while (argv[0] && argv[1] && argv[2] && count < COMMANDS_MAX) {
        ret_commands[count++] = (struct command){kind_of(argv[0]), argv[1], &argv[2]};
        while (*argv && strcmp(*argv, "--") != 0)
            argv++;
        if (*argv)
            *argv++ = NULL;
    }
    return count;
}

static const char *read_request(const char *path)
{
    static char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
        err(1, "%s", path);
    (void)close(fd);
    return text;
}

int main(int argc, char **argv)
{
    struct command commands[COMMANDS_MAX];
    if (argc < 6)
        errx(2, "usage: restore_time RUNS FILE KIND SOCKET COMMAND [ARG...] [-- ...]");
    unsigned long runs = strtoul(argv[1], NULL, 10);
    if (runs == 0 || runs > RUNS_MAX)
        errx(2, "RUNS must be 1..%lu", RUNS_MAX);
    const char *request = read_request(argv[2]);
    size_t count = read_commands(argv + 3, commands);
    cpu_set_t cpus = take_cpu();
    for (unsigned long run = 0; run < runs; run++)
        for (size_t i = 0; i < count; i++)
            time_one(&commands[i], &cpus, (char)('A' + i), request);
    return 0;
}
