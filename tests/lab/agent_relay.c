/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the job's command and relays: its stdout and stderr become frames on the virtio-serial
 * port, frames from the host become its stdin. Runs in PID 1, so it also reaps orphans.
 */
#include "tests/lab/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FRAME_HEAD_LEN = 5,
    PIPE_SIZE_MAX = 1 << 20, /* fs.pipe-max-size's default */
};

/* What the relay holds; one instance, on PID 1's stack. */
struct relay {
    int port_fd;
    int out_fd; /* pipe or terminal; -1 after end of file */
    int err_fd;
    int in_fd; /* -1 when stdin is closed or not connected */
    int signal_fd;
    bool tty;
    pid_t child;
    int status;
    bool child_gone;
    char in[FRAME_HEAD_LEN + FRAME_DATA_MAX]; /* bytes from the host, not yet handled */
    size_t in_len;
    char buf[FRAME_DATA_MAX];
};

static void port_write(int port_fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(port_fd, data, len);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = port_fd, .events = POLLOUT};

            (void)poll(&pfd, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            dprintf(STDERR_FILENO, "lab init: cannot write to the port: %s\n", strerror(errno));
            _exit(1); /* PID 1 ending is a panic, which ends the machine and says so */
        }
    }
}

void relay_send(int port_fd, enum frame_type type, const void *data, size_t len)
{
    unsigned char head[FRAME_HEAD_LEN] = {(unsigned char)type, (unsigned char)len,
                                          (unsigned char)(len >> 8), (unsigned char)(len >> 16),
                                          (unsigned char)(len >> 24)};

    port_write(port_fd, (const char *)head, sizeof(head));
    port_write(port_fd, data, len);
}

static _Noreturn void child_exec(const struct job *job, const int fds[3])
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setsid();
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            _exit(126);
    if (job->tty)
        (void)ioctl(0, TIOCSCTTY, 0);
    if (chdir(job->cwd) < 0) {
        dprintf(STDERR_FILENO, "lab: cannot change to %s inside the lab: %s\n", job->cwd,
                strerror(errno));
        _exit(126);
    }
    (void)clearenv();
    for (size_t i = 0; i < job->env_count; i++)
        (void)putenv(job->env[i]);
    execvp(job->argv[0], job->argv);
    int code = errno == ENOENT ? 127 : 126;
    dprintf(STDERR_FILENO, "lab: cannot run '%s' inside the lab: %s\n", job->argv[0],
            strerror(errno));
    _exit(code);
}

static void pipe_make(int ret_fds[2])
{
    if (pipe2(ret_fds, O_CLOEXEC) < 0)
        agent_fail("cannot make a pipe: %s", strerror(errno));
}

/* Fork with the given descriptors as 0-2; closes them here. */
static void child_start(struct relay *r, const struct job *job, const int fds[3])
{
    r->child = fork();
    if (r->child < 0)
        agent_fail("cannot fork: %s", strerror(errno));
    if (r->child == 0)
        child_exec(job, fds);
    for (int i = 0; i < 3; i++) {
        bool again = (i > 0 && fds[i] == fds[0]) || (i > 1 && fds[i] == fds[1]);

        if (!again)
            close(fds[i]);
    }
}

static void start_with_tty(struct relay *r, const struct job *job)
{
    int main_fd = -1;
    int term_fd = -1;

    if (openpty(&main_fd, &term_fd, NULL, NULL, NULL) < 0)
        agent_fail("cannot open a terminal: %s", strerror(errno));
    (void)fcntl(main_fd, F_SETFD, FD_CLOEXEC);
    r->out_fd = main_fd;
    r->in_fd = main_fd;
    const int fds[3] = {term_fd, term_fd, term_fd};
    child_start(r, job, fds);
}

static void start_with_pipes(struct relay *r, const struct job *job)
{
    int in[2] = {-1, -1};
    int out[2];
    int err[2];

    pipe_make(out);
    pipe_make(err);
    if (job->has_stdin)
        pipe_make(in);
    else
        in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in[0] < 0)
        agent_fail("cannot open /dev/null: %s", strerror(errno));
    r->out_fd = out[0];
    r->err_fd = err[0];
    r->in_fd = in[1];
    const int fds[3] = {in[0], out[1], err[1]};
    child_start(r, job, fds);
}

static void children_reap(struct relay *r)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(r->signal_fd, &info, sizeof(info)); /* only to clear it */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != r->child)
            continue;
        r->child_gone = true;
        r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

/* Move what is there. Returns the bytes moved; 0 when there was nothing to read now. */
static size_t output_move(struct relay *r, int *fd, enum frame_type type)
{
    ssize_t n = read(*fd, r->buf, sizeof(r->buf));

    if (n > 0) {
        relay_send(r->port_fd, type, r->buf, (size_t)n);
        return (size_t)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    /* End of file; a terminal says EIO when its last user is gone. */
    if (*fd == r->in_fd)
        r->in_fd = -1;
    close(*fd);
    *fd = -1;
    return 0;
}

/*
 * What the command wrote before its end is still in the pipe. Processes that it left behind are
 * not waited for, and what they go on writing is cut at the largest size a pipe can have.
 */
static void output_drain(struct relay *r, int *fd, enum frame_type type)
{
    size_t moved = 1;

    for (size_t total = 0; *fd >= 0 && moved > 0 && total < PIPE_SIZE_MAX; total += moved)
        moved = output_move(r, fd, type);
}

static void stdin_close(struct relay *r)
{
    if (r->in_fd >= 0 && r->in_fd != r->out_fd)
        close(r->in_fd);
    r->in_fd = -1;
}

static void file_poke(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        dprintf(STDERR_FILENO, "lab init: cannot write %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The command hangs: put blocked tasks and what the CPUs do into the console log. */
static void kernel_dump(int port_fd)
{
    file_poke("/proc/sys/kernel/printk", "8 4 1 8");
    file_poke("/proc/sysrq-trigger", "w");
    file_poke("/proc/sysrq-trigger", "l");
    relay_send(port_fd, FRAME_DUMP, "", 0);
}

/* Hand one frame from the host on. Returns how many of its data bytes were taken. */
static size_t frame_take(struct relay *r, char type, const char *data, size_t len)
{
    if (type == FRAME_WINSIZE) {
        char text[32];
        struct winsize size = {0};

        (void)snprintf(text, sizeof(text), "%.*s", (int)len, data);
        if (sscanf(text, "%hu %hu", &size.ws_row, &size.ws_col) == 2 && r->tty && r->in_fd >= 0)
            (void)ioctl(r->in_fd, TIOCSWINSZ, &size);
        return len;
    }
    if (type == FRAME_DUMP)
        kernel_dump(r->port_fd);
    if (type == FRAME_PING)
        relay_send(r->port_fd, FRAME_PING, "", 0);
    if (type != FRAME_STDIN || r->in_fd < 0)
        return len;
    if (len == 0) {
        stdin_close(r);
        return 0;
    }
    ssize_t n = write(r->in_fd, data, len);
    if (n >= 0)
        return (size_t)n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    stdin_close(r); /* the reader is gone: the rest is dropped, as a shell pipe would */
    return len;
}

/* Handle complete frames in r->in; a partly taken one keeps its rest for when stdin has room. */
static void frames_handle(struct relay *r)
{
    while (r->in_len >= FRAME_HEAD_LEN) {
        unsigned char *h = (unsigned char *)r->in;
        size_t len = h[1] | (size_t)h[2] << 8 | (size_t)h[3] << 16 | (size_t)h[4] << 24;

        if (len > FRAME_DATA_MAX)
            agent_fail("the host sent a frame of %zu bytes", len);
        if (r->in_len < FRAME_HEAD_LEN + len)
            return;
        size_t took = frame_take(r, r->in[0], r->in + FRAME_HEAD_LEN, len);
        if (took < len) {
            memmove(r->in + FRAME_HEAD_LEN, r->in + FRAME_HEAD_LEN + took,
                    r->in_len - FRAME_HEAD_LEN - took);
            r->in_len -= took;
            len -= took;
            h[1] = (unsigned char)len;
            h[2] = (unsigned char)(len >> 8);
            h[3] = (unsigned char)(len >> 16);
            h[4] = (unsigned char)(len >> 24);
            return;
        }
        r->in_len -= FRAME_HEAD_LEN + len;
        memmove(r->in, r->in + FRAME_HEAD_LEN + len, r->in_len);
    }
}

static void port_read(struct relay *r)
{
    ssize_t n = read(r->port_fd, r->in + r->in_len, sizeof(r->in) - r->in_len);

    if (n > 0)
        r->in_len += (size_t)n;
}

static void relay_step(struct relay *r)
{
    bool full = r->in_len == sizeof(r->in);
    /* Bytes wait for the command's stdin: watch it instead of taking more from the host. */
    bool blocked = r->in_len >= FRAME_HEAD_LEN && r->in[0] == FRAME_STDIN && r->in_fd >= 0;
    struct pollfd pfds[5] = {
        {.fd = r->out_fd, .events = POLLIN},
        {.fd = r->err_fd, .events = POLLIN},
        {.fd = r->signal_fd, .events = POLLIN},
        {.fd = full ? -1 : r->port_fd, .events = POLLIN},
        {.fd = blocked && r->in_fd != r->out_fd ? r->in_fd : -1, .events = POLLOUT},
    };

    if (blocked && r->in_fd == r->out_fd)
        pfds[0].events |= POLLOUT;
    if (poll(pfds, 5, -1) < 0) {
        if (errno != EINTR)
            agent_fail("poll failed: %s", strerror(errno));
        return;
    }
    if (r->out_fd >= 0 && (pfds[0].revents & (POLLIN | POLLHUP | POLLERR)))
        (void)output_move(r, &r->out_fd, FRAME_OUT);
    if (r->err_fd >= 0 && pfds[1].revents)
        (void)output_move(r, &r->err_fd, FRAME_ERR);
    if (pfds[3].revents & POLLIN)
        port_read(r);
    frames_handle(r);
    if (pfds[2].revents)
        children_reap(r);
}

static void fd_nonblock(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int relay_run(const struct job *job, int port_fd)
{
    static struct relay r;
    sigset_t set;

    r = (struct relay){
        .port_fd = port_fd, .out_fd = -1, .err_fd = -1, .in_fd = -1, .tty = job->tty};
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    r.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r.signal_fd < 0)
        agent_fail("cannot make a signalfd: %s", strerror(errno));
    relay_send(port_fd, FRAME_HELLO, "", 0);
    if (job->tty)
        start_with_tty(&r, job);
    else
        start_with_pipes(&r, job);
    fd_nonblock(r.out_fd);
    fd_nonblock(r.err_fd);
    fd_nonblock(r.in_fd);

    while (!r.child_gone)
        relay_step(&r);
    output_drain(&r, &r.out_fd, FRAME_OUT);
    output_drain(&r, &r.err_fd, FRAME_ERR);
    return r.status;
}
