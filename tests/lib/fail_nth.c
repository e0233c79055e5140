/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program in which the N-th system call fails, once: a supervisor is asked for each of them
 * (seccomp_unotify(2)) and answers one for the kernel. Counted are all processes' calls, from the
 * first close_range on, until a process becomes another program; not those that cannot fail.
 * usage: fail_nth N ERRNO REPORT PROGRAM [ARGUMENT...]
 *        fail_nth N @COMMAND REPORT PROGRAM [ARGUMENT...]
 *        fail_nth N kill REPORT PROGRAM [ARGUMENT...]
 * The second one runs a command of the shell ahead of the call, which then is made: a race that is
 * won. The third one kills whoever makes the call, which is not made. REPORT gets "COUNT NUMBER":
 * how many calls there were, and which one failed (-1: none).
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS_MAX 8u

struct run {
    unsigned long wanted;
    int error;
    bool kills;
    const char *command; /* NULL: the call fails */
    unsigned long count;
    int failed;                   /* the number of the call that failed; -1 */
    bool is_begun;                /* the first close_range was seen */
    pid_t programs[PROGRAMS_MAX]; /* what has become another program */
    unsigned programs_count;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(2);
}

static void send_fd(int socket, int fd)
{
    char byte = 0;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    if (sendmsg(socket, &message, 0) != 1)
        die("fail_nth: sendmsg");
}

static int receive_fd(int socket)
{
    char byte;
    int fd = -1;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof(control.space)};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
        die("fail_nth: recvmsg");
    memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
    return fd;
}

/* As root: no_new_privs would be inherited. sendmsg goes by unasked: there is nobody to ask yet. */
static _Noreturn void become(int socket, char **words)
{
    struct sock_filter insns[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_sendmsg},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
    };
    const struct sock_fprog program = {sizeof(insns) / sizeof(insns[0]), insns};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &program);
    if (fd < 0)
        die("fail_nth: seccomp");
    send_fd(socket, fd);
    (void)execv(words[0], words);
    die("fail_nth: exec");
}

/* A close that "fails" would leave open what no real failure leaves open. */
static bool can_fail(int number)
{
    static const int numbers[] = {
        SYS_close,  SYS_exit,    SYS_exit_group, SYS_umask,        SYS_clock_gettime, SYS_getpid,
        SYS_getsid, SYS_geteuid, SYS_munmap,     SYS_rt_sigreturn, SYS_rt_sigaction,  SYS_prctl};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (numbers[i] == number)
            return false;
    return true;
}

static bool is_program(const struct run *run, pid_t pid)
{
    for (unsigned i = 0; i < run->programs_count; i++)
        if (run->programs[i] == pid)
            return true;
    return false;
}

/* Shall this call fail? */
static bool judge(struct run *run, const struct seccomp_notif *call)
{
    pid_t pid = (pid_t)call->pid;
    run->is_begun |= call->data.nr == SYS_close_range;
    if (!run->is_begun || is_program(run, pid) || !can_fail(call->data.nr))
        return false;
    if (++run->count == run->wanted) {
        run->failed = call->data.nr;
        if (!run->command)
            return true;
        if (system(run->command) == -1)
            die("fail_nth: system");
    }
    bool is_exec = call->data.nr == SYS_execve || call->data.nr == SYS_execveat;
    if (is_exec && run->programs_count < PROGRAMS_MAX)
        run->programs[run->programs_count++] = pid;
    return false;
}

/* Until nobody is left under the filter. */
static void supervise(int fd, struct run *run)
{
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        struct seccomp_notif call = {0};
        if (poll(&wait, 1, -1) < 0 || !(wait.revents & POLLIN))
            return;
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
            continue; /* it was killed meanwhile */
        bool fails = judge(run, &call);
        if (fails && run->kills) {
            (void)kill((pid_t)call.pid, SIGKILL);
            continue; /* an answer might be quicker */
        }
        struct seccomp_notif_resp answer = {
            .id = call.id,
            .error = fails ? -run->error : 0,
            .flags = fails ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE,
        };
        (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* likewise */
    }
}

int main(int argc, char **argv)
{
    int ends[2];
    int status = 0;
    if (argc < 5) {
        (void)fprintf(stderr, "usage: fail_nth N ERRNO REPORT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    struct run run = {.wanted = strtoul(argv[1], NULL, 10),
                      .error = (int)strtoul(argv[2], NULL, 10),
                      .kills = strcmp(argv[2], "kill") == 0,
                      .command = argv[2][0] == '@' ? argv[2] + 1 : NULL,
                      .failed = -1};
    FILE *report = fopen(argv[3], "we");
    if (!report || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("fail_nth");
    pid_t child = fork();
    if (child < 0)
        die("fail_nth: fork");
    if (child == 0)
        become(ends[1], argv + 4);
    int fd = receive_fd(ends[0]);
    supervise(fd, &run);
    (void)fprintf(report, "%lu %d\n", run.count, run.failed);
    if (fclose(report) != 0 || waitpid(child, &status, 0) != child)
        die("fail_nth");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
