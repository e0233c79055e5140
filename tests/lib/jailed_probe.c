/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for a monitor in tests of the jailer: prints how it finds itself, "key value" a line.
 * usage: jailed_probe [...] [probe-sleep | probe-write | probe-eat | probe-fork]
 *   probe-sleep  then sleeps until it is killed
 *   probe-write  tries to change its own file
 *   probe-eat    touches memory until it is killed
 *   probe-fork   counts the children that it may have
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void print_ids(void)
{
    uid_t real, effective, saved;
    gid_t group, effective_group, saved_group;
    char name[16];
    if (getresuid(&real, &effective, &saved) < 0 ||
        getresgid(&group, &effective_group, &saved_group) < 0)
        abort();
    (void)prctl(PR_GET_NAME, name);
    printf("uids %u %u %u\ngids %u %u %u\ngroups %d\n", real, effective, saved, group,
           effective_group, saved_group, getgroups(0, NULL));
    printf("pid %d\nleads_session %d\ncomm %s\n", (int)getpid(), getsid(0) == getpid(), name);
}

static void print_limits(void)
{
    struct rlimit files, size;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_FSIZE, &size) < 0)
        abort();
    printf("no_file %llu %llu\nfsize %lld\n", (unsigned long long)files.rlim_cur,
           (unsigned long long)files.rlim_max, (long long)size.rlim_cur);
}

static void print_fds(void)
{
    printf("fds");
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n");
}

static void print_root(void)
{
    DIR *root = opendir("/");
    char cwd[256];
    printf("cwd %s\nroot", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
    for (struct dirent *entry; root && (entry = readdir(root));)
        if (entry->d_name[0] != '.')
            printf(" %s", entry->d_name);
    printf("\n");
    if (root)
        closedir(root);
}

static void write_self(const char *path)
{
    struct statvfs fs;
    int fd = open(path, O_WRONLY | O_TRUNC);
    printf("open %s\n", fd < 0 ? strerrorname_np(errno) : "done");
    printf("chmod %s\n", chmod(path, 0777) < 0 ? strerrorname_np(errno) : "done");
    printf("chown %s\n", chown(path, 1, 1) < 0 ? strerrorname_np(errno) : "done");
    printf("unlink %s\n", unlink(path) < 0 ? strerrorname_np(errno) : "done");
    bool is_restricted = statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY &&
                         fs.f_flag & ST_NOSUID && fs.f_flag & ST_NODEV;
    printf("restricted %d\n", is_restricted);
}

static void count_children(void)
{
    enum { CHILDREN_MAX = 50 };
    pid_t pids[CHILDREN_MAX];
    int count = 0;
    (void)fflush(stdout); /* children must not say it again */
    while (count < CHILDREN_MAX && (pids[count] = fork()) > 0)
        count++;
    if (count < CHILDREN_MAX && pids[count] == 0)
        for (;;)
            pause();
    printf("children %d %s\n", count, count < CHILDREN_MAX ? strerrorname_np(errno) : "0");
    for (int i = 0; i < count; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
}

static void eat_memory(void)
{
    for (size_t size = 1 << 20;;) {
        char *piece = malloc(size);
        if (!piece)
            exit(3);
        memset(piece, 1, size);
    }
}

int main(int argc, char **argv)
{
    const char *last = argv[argc - 1];
    for (int i = 0; i < argc; i++)
        printf("argv%d %s\n", i, argv[i]);
    for (char **entry = environ; *entry; entry++)
        printf("env %s\n", *entry);
    print_ids();
    print_limits();
    print_fds();
    print_root();
    if (strcmp(last, "probe-write") == 0)
        write_self(argv[0]);
    if (strcmp(last, "probe-fork") == 0)
        count_children();
    printf("end 1\n");
    (void)fflush(stdout);
    if (strcmp(last, "probe-eat") == 0)
        eat_memory();
    while (strcmp(last, "probe-sleep") == 0)
        pause();
    return 0;
}
