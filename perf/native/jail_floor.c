/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least jail: what no jailer of a monitor can do without, unchecked. A directory with a shared
 * executable, three devices and /run becomes the root; ids; exec. Usage: jail_floor DIR PROGRAM ID
 * ARG...: makes DIR (its parent is there), binds PROGRAM over DIR/program, becomes user and group
 * ID. Part of perf, not of the product.
 */
#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MISC_MAJOR 10u

static void must(bool done, const char *what)
{
    if (!done)
        err(1, "%s", what);
}

static void enter(const char *dir, const char *program)
{
    int tree_fd = (int)syscall(SYS_open_tree, AT_FDCWD, program, OPEN_TREE_CLONE);
    must(tree_fd >= 0, "open_tree");
    must(mkdir(dir, 0755) == 0, dir);
    must(unshare(CLONE_NEWNS) == 0, "unshare");
    must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0, "slave");
    must(mount(dir, dir, NULL, MS_BIND, NULL) == 0, "bind");
    must(chdir(dir) == 0, "chdir");
    must(mknod("program", S_IFREG, 0) == 0, "program");
    must(syscall(SYS_move_mount, tree_fd, "", AT_FDCWD, "program", MOVE_MOUNT_F_EMPTY_PATH) == 0,
         "move_mount");
    must(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
    must(umount2(".", MNT_DETACH) == 0, "umount");
    must(chdir("/") == 0, "/");
}

static void make(const char *path, bool is_dir, unsigned major_number, unsigned minor_number,
                 uid_t id)
{
    int rc = is_dir ? mkdir(path, 0700)
                    : mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number));
    must(rc == 0, path);
    must(chown(path, id, id) == 0, path);
}

int main(int argc, char **argv)
{
    static char *const env[] = {NULL};
    static char name[] = "/program";
    if (argc < 4)
        errx(2, "usage: jail_floor DIR PROGRAM ID ARG...");
    uid_t id = (uid_t)strtoul(argv[3], NULL, 10);
    enter(argv[1], argv[2]);
    must(chown("/", id, id) == 0, "/");
    make("/dev", true, 0, 0, id);
    make("/dev/net", true, 0, 0, id);
    make("/run", true, 0, 0, id);
    make("/dev/net/tun", false, MISC_MAJOR, 200, id);
    make("/dev/kvm", false, MISC_MAJOR, 232, id);
    make("/dev/urandom", false, 1, 9, id);
    must(setgroups(0, NULL) == 0 && setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0,
         "ids");
    argv[3] = name;
    (void)execve(name, &argv[3], env);
    err(1, "exec");
}
