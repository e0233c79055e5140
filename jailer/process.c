/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From jailer to monitor: into the background, into a PID namespace, into the cgroup, pid file,
 * ids, exec (cli.md I.2, steps 12 to 14); of a PID namespace's first process the pid file comes
 * last, from outside. Whoever stays behind waits until the monitor's file runs, so that what goes
 * wrong is told where the jailer was started.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "jailer/jail.h"

#define KEEP_NAMES_SIZE (CMDLINE_LIST_MAX * 80u)
#define READY_MARK '>' /* what whoever waits reads first when nothing but exec is left */

/* Everything that a child needs to be told apart. */
struct start {
    struct jail *jail;
    char **words; /* of the monitor */
    struct err *err;
    bool in_cgroup;   /* it was born there */
    int ready_fd;     /* a pipe's, at whose other end somebody waits; FD_NONE: nobody */
    char cpu_us[24];  /* words: CPU time of the process that becomes the monitor */
    char jail_us[24]; /* and of the jailer, that process's with it */
};

/* ------------------------------------------------------------------ pid file */

static void pid_file_name(const struct jail *jail, char ret_name[static NAME_MAX + 8])
{
    (void)snprintf(ret_name, NAME_MAX + 8, "%s.pid", jail->exec_name);
}

static int fail_pid_file(const struct jail *jail, const char *name, int rc, struct err *err)
{
    if (rc != -EEXIST)
        return err_set(err, rc, "Failed to open file /%s: %s", name, ERR_OS(rc));
    return err_set(
        err, rc,
        "Failed to open file /%s: %s. A monitor runs in that jail, or has run: if it has "
        "ended, remove %s/%s and the API's socket",
        name, ERR_OS(rc), jail->root_path, name);
}

int jail_check_pid_file(const struct jail *jail, struct err *err)
{
    char name[NAME_MAX + 8];
    pid_file_name(jail, name);
    if (faccessat(jail->root_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return fail_pid_file(jail, name, -EEXIST, err);
    return errno == ENOENT ? 0 : fail_pid_file(jail, name, -errno, err);
}

static int write_pid_file(struct jail *jail, pid_t pid, struct err *err)
{
    char name[NAME_MAX + 8];
    char text[16];
    pid_file_name(jail, name);
    int len = snprintf(text, sizeof(text), "%d", (int)pid);
    FD_AUTO int fd =
        openat(jail->root_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int rc = fd < 0 ? -errno : 0;
    if (rc < 0)
        return fail_pid_file(jail, name, rc, err);
    rc = jail_undo_note(&jail->undo, jail->root_fd, name, false, err);
    if (rc < 0)
        return rc;
    rc = fd_write_full(fd, text, (size_t)len);
    return rc < 0 ? fail_pid_file(jail, name, rc, err) : 0;
}

/* ------------------------------------------------------------------ exec */

/* What exec would hand on to a user who is not root: the inheritable ones, with which the ambient
 * ones go. */
static int forget_capabilities(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    int rc = syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
    data[0].inheritable = data[1].inheritable = 0;
    if (rc == 0 && syscall(SYS_capset, &header, data) < 0)
        rc = -errno;
    if (rc == 0)
        return 0;
    return err_set(err, rc, "Failed to forget inheritable capabilities: %s", ERR_OS(rc));
}

static int become_user(const struct jail *jail, struct err *err)
{
    int rc = forget_capabilities(err);
    if (rc < 0)
        return rc;
    if (jail->args->rootless && jail->rootless.has_own_ids)
        return 0; /* it is; the groups stay, since nobody may leave them */
    if (setgid(jail->gid) < 0)
        return err_set(err, -errno, "Failed to become group %u: %s", jail->gid, ERR_OS(errno));
    if (setgroups(0, NULL) < 0)
        return err_set(err, -errno, "Failed to leave the supplementary groups: %s", ERR_OS(errno));
    /* Exec makes the saved id the new one, too; until then a failure can be undone. */
    if (setresuid(jail->uid, jail->uid, 0) < 0)
        return err_set(err, -errno, "Failed to become user %u: %s", jail->uid, ERR_OS(errno));
    return 0;
}

/* "LISTEN_FDNAMES=api:tap": as the options say; "unknown" where they do not. */
static void name_kept_fds(const struct jail *jail, char *buf, size_t size)
{
    size_t len = (size_t)snprintf(buf, size, "LISTEN_FDNAMES=");
    for (unsigned i = 0; i < jail->args->keep_fds.count && len < size; i++) {
        const char *equals = strchr(jail->args->keep_fds.values[i], '=');
        len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ":" : "",
                                equals ? equals + 1 : "unknown");
    }
}

/* Without the mark, somebody who was killed ahead of exec would look like one that runs. */
static int say_ready(const struct start *start)
{
    const char mark = READY_MARK;
    int rc = start->ready_fd < 0 ? 0 : fd_write_full(start->ready_fd, &mark, 1);
    if (rc == 0)
        return 0;
    return err_set(start->err, rc, "Failed to tell the jailer that the monitor is ready: %s",
                   ERR_OS(rc));
}

/* Read where they are needed: a process's own count begins at 0. */
static void tell_cpu(struct start *start)
{
    unsigned long long own_us = clock_process_cpu_ns() / NS_PER_US;
    (void)snprintf(start->cpu_us, sizeof(start->cpu_us), "%llu", own_us);
    (void)snprintf(start->jail_us, sizeof(start->jail_us), "%llu",
                   own_us + start->jail->forked_cpu_us);
}

/* By its mount or its file, not its name: a process of the jail's user may live there and give the
 * name to something else. Returns only when it fails; errno says why. */
static void exec_file(const struct jail *jail, char *const *words, char *const *env)
{
    int fd = jail->tree_fd >= 0 ? jail->tree_fd : jail->copy_fd;
    (void)execveat(fd, "", words, env, AT_EMPTY_PATH);
}

/* Returns only with what failed. */
static int exec_monitor(struct start *start)
{
    struct jail *jail = start->jail;
    char path[NAME_MAX + 2];
    char fds[32];
    char pid[32];
    char names[KEEP_NAMES_SIZE];
    char *env[] = {fds, pid, names, NULL};
    (void)snprintf(path, sizeof(path), "/%s", jail->exec_name);
    (void)snprintf(fds, sizeof(fds), "LISTEN_FDS=%u", jail->kept_fds);
    (void)snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid());
    name_kept_fds(jail, names, sizeof(names));
    if (jail->kept_fds == 0)
        env[0] = NULL;
    int rc = jail_seal_limits(jail, start->err);
    if (rc == 0)
        rc = become_user(jail, start->err);
    if (rc < 0)
        return rc;
    rc = say_ready(start);
    if (rc == 0) {
        (void)signal(SIGXFSZ, SIG_DFL); /* jail_set_limits has it ignored */
        tell_cpu(start);
        exec_file(jail, start->words, env);
        rc =
            err_set(start->err, -errno, "Failed to exec into Firecracker: %s (%s in the jail %s)%s",
                    ERR_OS(errno), path, jail->root_path,
                    errno == ENOENT   ? ". It is there: what it is run by is not. A program for a "
                                        "jail is linked statically, and is no script"
                    : errno == EACCES ? ". Is that on a file system that is mounted noexec?"
                                      : "");
        (void)signal(SIGXFSZ, SIG_IGN);
    }
    /* Root may undo. */
    if (!(jail->args->rootless && jail->rootless.has_own_ids) && setresuid(0, 0, 0) < 0)
        rc = err_set(start->err, -errno, "Failed to become root again, to remove what was made: %s",
                     ERR_OS(errno));
    return rc;
}

/* The process that becomes the monitor. has_keeper: another one writes the pid file. */
static int launch(struct start *start, bool has_keeper)
{
    struct jail *jail = start->jail;
    int rc = start->in_cgroup ? 0 : jail_cgroups_enter(&jail->cgroups, start->err);
    if (rc == 0 && !has_keeper)
        rc = write_pid_file(jail, getpid(), start->err);
    if (rc == 0)
        rc = exec_monitor(start);
    jail_cgroups_leave(&jail->cgroups);
    return rc;
}

/* ------------------------------------------------------------------ children */

/* A child that makes more of the steps. Exec closes its end of the pipe: then all is well. */
struct child {
    pid_t pid;
    int pipe_fd; /* what it says when it fails */
};

/* As fork, with flags. Returns 0 in the child, 1 in the parent, or -errno. *ret_in_cgroup: whether
 * the child is in the cgroup. */
static int spawn(struct jail *jail, uint64_t flags, bool into_cgroup, pid_t *ret_pid,
                 bool *ret_in_cgroup)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    *ret_in_cgroup = into_cgroup && jail->cgroups.dir_fd >= 0;
    if (*ret_in_cgroup) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)jail->cgroups.dir_fd;
    }
    jail->forked_cpu_us += clock_process_cpu_ns() / NS_PER_US;
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0 && *ret_in_cgroup) { /* Linux before 5.7, or no thread group's place */
        *ret_in_cgroup = false;
        args.flags = flags;
        pid = syscall(SYS_clone3, &args, sizeof(args));
    }
    if (pid < 0)
        return -errno;
    *ret_pid = (pid_t)pid;
    return pid > 0;
}

/* A failed child's last words, and its end. */
static _Noreturn void end_child(const struct start *start, int pipe_fd)
{
    struct jail *jail = start->jail;
    jail_take_back(jail);
    /* If nobody listens any more there is nobody to tell. */
    IGNORE_RESULT(fd_write_full(pipe_fd, start->err->msg, strlen(start->err->msg)));
    _exit(EXIT_FAILURE);
}

/* Of a child that did not come so far as to take back what it has made: it is ended, with all that
 * it started, and its pid file goes; the rest is taken back here. */
static void end_silent_child(const struct start *start, const struct child *child)
{
    char name[NAME_MAX + 8];
    (void)kill(child->pid, SIGKILL);  /* has it ended? fine */
    (void)kill(-child->pid, SIGKILL); /* with --daemonize it leads a group */
    (void)waitpid(child->pid, NULL, 0);
    while (waitpid(-child->pid, NULL, 0) > 0)
        continue; /* all of them: until then their cgroup cannot be removed */
    pid_file_name(start->jail, name);
    (void)unlinkat(start->jail->root_fd, name, 0); /* there was none before */
}

/* Waits until the child's program runs. Returns 0, or -errno with what the child has said: then it
 * has taken back what was made. */
static int await(const struct start *start, const struct child *child)
{
    char text[ERR_MSG_MAX_SIZE + 1] = "";
    ssize_t len = fd_read_full(child->pipe_fd, text, sizeof(text) - 1);
    bool is_ready = len > 0 && text[0] == READY_MARK;
    if (is_ready && len == 1)
        return 0;
    if (len <= 0) {
        end_silent_child(start, child);
        if (len < 0)
            return err_set(start->err, (int)len, "Failed to wait for the monitor to start: %s",
                           ERR_OS((int)len));
        return err_set(start->err, -ECHILD,
                       "The process of %s was killed before it ran the monitor. Is a limit "
                       "(--cgroup) of memory too small? The kernel's log tells (dmesg).",
                       start->jail->args->id);
    }
    (void)waitpid(child->pid, NULL, 0); /* it has ended, or is about to */
    jail_forget(start->jail);
    return err_set(start->err, -ECHILD, "%s", text + is_ready);
}

static int open_pipe(int ret_fds[2], struct err *err)
{
    if (pipe2(ret_fds, O_CLOEXEC) == 0)
        return 0;
    return err_set(err, -errno, "Failed to make a pipe: %s", ERR_OS(errno));
}

/* The monitor is process 1 of a namespace; this one writes its pid down and is done. */
static int run_in_pid_ns(struct start *start)
{
    struct child child = {.pid = -1};
    int fds[2];
    int rc = open_pipe(fds, start->err);
    if (rc < 0)
        return rc;
    bool leads_session = !start->jail->args->daemonize && getsid(0) == getpid();
    rc = spawn(start->jail, CLONE_NEWPID, true, &child.pid, &start->in_cgroup);
    if (rc == 0) {
        if (leads_session)
            (void)setsid(); /* it leads none: cannot fail */
        start->ready_fd = fds[1];
        (void)launch(start, true);
        end_child(start, fds[1]);
    }
    (void)close(fds[1]);
    if (rc < 0)
        return err_set(start->err, rc, "Failed to clone into a new PID namespace: %s", ERR_OS(rc));
    child.pipe_fd = fds[0];
    rc = await(start, &child);
    if (rc == 0) {
        rc = write_pid_file(start->jail, child.pid, start->err);
        if (rc == 0)
            rc = say_ready(start);
        if (rc < 0) { /* nobody would find it */
            (void)kill(child.pid, SIGKILL);
            (void)waitpid(child.pid, NULL, 0); /* its cgroup is empty then */
        }
    }
    (void)close(fds[0]);
    if (rc == 0)
        _exit(EXIT_SUCCESS);
    return rc;
}

static int run_here(struct start *start)
{
    return start->jail->args->new_pid_ns ? run_in_pid_ns(start) : launch(start, false);
}

/* In the background: a session of its own, of which it is not the leader. */
static _Noreturn void run_as_daemon(struct start *start, int pipe_fd)
{
    pid_t pid;
    if (setsid() < 0) {
        (void)err_set(start->err, -errno, "Failed to setsid: %s", ERR_OS(errno));
        end_child(start, pipe_fd);
    }
    int rc = spawn(start->jail, 0, !start->jail->args->new_pid_ns, &pid, &start->in_cgroup);
    if (rc > 0)
        _exit(EXIT_SUCCESS);
    if (rc < 0) {
        (void)err_set(start->err, rc, "Failed to fork: %s", ERR_OS(rc));
        end_child(start, pipe_fd);
    }
    for (int fd = 0; fd <= 2; fd++)
        if (dup2(start->jail->null_fd, fd) < 0) {
            (void)err_set(start->err, -errno, "Failed to dup2 /dev/null: %s", ERR_OS(errno));
            end_child(start, pipe_fd);
        }
    start->ready_fd = pipe_fd;
    (void)run_here(start);
    end_child(start, pipe_fd);
}

static int daemonize(struct start *start)
{
    struct child child = {.pid = -1};
    int fds[2];
    int rc = open_pipe(fds, start->err);
    if (rc < 0)
        return rc;
    bool in_cgroup;
    /* Whoever the child leaves behind is this one's then, to be waited for. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* valid arguments: cannot fail */
    rc = spawn(start->jail, 0, false, &child.pid, &in_cgroup);
    if (rc == 0)
        run_as_daemon(start, fds[1]);
    (void)close(fds[1]);
    if (rc < 0)
        return err_set(start->err, rc, "Failed to fork: %s", ERR_OS(rc));
    child.pipe_fd = fds[0];
    rc = await(start, &child);
    if (rc == 0)
        _exit(EXIT_SUCCESS);
    (void)close(fds[0]);
    return rc;
}

int jail_run(struct jail *jail, int argc, char *const *argv, struct err *err)
{
    enum { OWN_WORDS = 11 };
    char start_us[24];
    char path[NAME_MAX + 2];
    char **words = calloc((size_t)argc + OWN_WORDS + 1, sizeof(*words));
    if (!words)
        return err_set(err, -ENOMEM, "no memory for the monitor's command line");
    struct start start = {.jail = jail, .words = words, .err = err, .ready_fd = FD_NONE};
    const struct {
        const char *name;
        const char *value;
    } times[] = {{"--start-time-us", start_us},
                 {"--start-time-cpu-us", start.cpu_us},
                 {"--parent-cpu-time-us", start.jail_us}};
    size_t count = 0;
    (void)snprintf(start_us, sizeof(start_us), "%llu", (unsigned long long)jail->start_us);
    (void)snprintf(path, sizeof(path), "/%s", jail->exec_name);
    words[count++] = path;
    words[count++] = (char *)(uintptr_t) "--id";
    words[count++] = (char *)(uintptr_t)jail->args->id;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        words[count++] = (char *)(uintptr_t)times[i].name;
        words[count++] = (char *)(uintptr_t)times[i].value;
    }
    char counters[12];
    (void)snprintf(counters, sizeof(counters), "%d", jail->counters_fd);
    if (jail->counters_fd >= 0) {
        words[count++] = (char *)(uintptr_t) "--policy-counters-fd";
        words[count++] = counters;
    }
    for (int i = jail->args->rest; i < argc; i++)
        words[count++] = argv[i];
    int rc = jail->args->daemonize ? daemonize(&start) : run_here(&start);
    free(words);
    return rc;
}
