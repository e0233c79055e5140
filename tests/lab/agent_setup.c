/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab machine's file systems: module loading, host root over 9p with a tmpfs overlay, fresh
 * /dev /proc /sys /tmp /run, loopback interface. Runs once in PID 1, before the command.
 */
#include "tests/lab/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* MODULE_INIT_COMPRESSED_FILE of linux/module.h, absent from older headers, is not needed: the
 * host unpacks compressed modules before they get here. */
static void module_load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        agent_fail("cannot open the module %s: %s", path, strerror(errno));
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        agent_fail("cannot load the module %s: %s", path, strerror(errno));
    close(fd);
}

void setup_modules(char group)
{
    char line[256];
    FILE *order = fopen("/modules/order", "re");

    if (!order)
        agent_fail("cannot open /modules/order: %s", strerror(errno));
    while (fgets(line, sizeof(line), order)) {
        char path[300];

        line[strcspn(line, "\n")] = '\0';
        if (line[0] != group || line[1] != ' ')
            continue;
        (void)snprintf(path, sizeof(path), "/modules/%s", line + 2);
        module_load(path);
    }
    fclose(order);
}

static void dir_make(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        agent_fail("cannot make the directory %s: %s", path, strerror(errno));
}

/* mkdir -p; the path is absolute. */
static void dir_make_all(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len >= sizeof(part))
        agent_fail("a directory name has %zu bytes, too many", len);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        dir_make(part, 0755);
    }
}

static void fs_mount(const char *what, const char *where, const char *type, unsigned long flags,
                     const char *opts)
{
    if (mount(what, where, type, flags, opts) < 0)
        agent_fail("cannot mount %s (%s) on %s: %s", what, type ? type : "bind", where,
                   strerror(errno));
}

/*
 * Host root below, tmpfs above. cache=loose: the host's files are taken not to change while the
 * lab runs, which keeps repeated reads inside the machine.
 */
static void root_build(void)
{
    dir_make("/host", 0755);
    dir_make("/over", 0755);
    dir_make("/new", 0755);
    fs_mount("root", "/host", "9p", MS_RDONLY,
             "trans=virtio,version=9p2000.L,msize=512000,cache=loose,access=any");
    fs_mount("over", "/over", "tmpfs", 0, "mode=0755");
    dir_make("/over/upper", 0755);
    dir_make("/over/work", 0755);
    fs_mount("root", "/new", "overlay", 0,
             "lowerdir=/host,upperdir=/over/upper,workdir=/over/work");
}

/* Bind mount `seen` on `where`, which is made as what `seen` is: a directory or a file. */
static void path_show(const char *seen, const char *where)
{
    struct stat st;

    if (stat(seen, &st) < 0)
        agent_fail("cannot find the host's %s: %s", seen + strlen("/seen"), strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        dir_make_all(where);
    } else {
        int fd = open(where, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
            agent_fail("cannot make the file %s: %s", where, strerror(errno));
        close(fd);
    }
    fs_mount(seen, where, NULL, MS_BIND, NULL);
}

/* Give /new/<dir> an empty tmpfs, then show the host directories below it that the job names. */
static void tmp_mount(const struct job *job, const char *dir, const char *opts)
{
    char where[4200];
    size_t dir_len = strlen(dir);

    (void)snprintf(where, sizeof(where), "/new%s", dir);
    dir_make_all(where);
    fs_mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, opts);
    for (size_t i = 0; i < job->binds_count; i++) {
        char seen[4200];

        if (strncmp(job->binds[i], dir, dir_len) != 0 || job->binds[i][dir_len] != '/')
            continue;
        (void)snprintf(seen, sizeof(seen), "/seen%s", job->binds[i]);
        (void)snprintf(where, sizeof(where), "/new%s", job->binds[i]);
        path_show(seen, where);
    }
}

static void link_make(const char *target, const char *path)
{
    if (symlink(target, path) < 0 && errno != EEXIST)
        agent_fail("cannot make the link %s: %s", path, strerror(errno));
}

static void node_make(const char *path, mode_t mode, unsigned int minor_nr)
{
    if (mknod(path, S_IFCHR | mode, makedev(10, minor_nr)) < 0 && errno != EEXIST)
        agent_fail("cannot make the device node %s: %s", path, strerror(errno));
    if (chmod(path, mode) < 0)
        agent_fail("cannot set the mode of %s: %s", path, strerror(errno));
}

/* Nodes that udev and kmod would make; opening one loads its module. Numbers:
 * linux/miscdevice.h. */
static void dev_fill(void)
{
    dir_make("/new/dev/pts", 0755);
    fs_mount("pts", "/new/dev/pts", "devpts", 0, "mode=0620,ptmxmode=0666");
    (void)unlink("/new/dev/ptmx");
    link_make("pts/ptmx", "/new/dev/ptmx");
    link_make("/proc/self/fd", "/new/dev/fd");
    link_make("fd/0", "/new/dev/stdin");
    link_make("fd/1", "/new/dev/stdout");
    link_make("fd/2", "/new/dev/stderr");
    dir_make("/new/dev/net", 0755);
    node_make("/new/dev/net/tun", 0666, 200);
    node_make("/new/dev/kvm", 0666, 232);
    node_make("/new/dev/loop-control", 0660, 237);
    node_make("/new/dev/vhost-net", 0660, 238);
    node_make("/new/dev/vhost-vsock", 0660, 241);
}

static void modules_show(const struct job *job)
{
    const char *name = strrchr(job->modules, '/');
    char seen[4200];
    char where[4200];

    if (!name)
        agent_fail("the module directory '%s' is not an absolute path", job->modules);
    (void)snprintf(seen, sizeof(seen), "/seen%s", job->modules);
    (void)snprintf(where, sizeof(where), "/new/lib/modules%s", name);
    path_show(seen, where);
}

static void loopback_up(void)
{
    struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
        agent_fail("cannot bring the loopback interface up: %s", strerror(errno));
    close(fd);
}

static void rw_mount(const struct job *job)
{
    for (size_t i = 0; i < job->rw_count; i++) {
        char where[4200];
        char *path = strchr(job->rw[i], ':');

        if (!path)
            agent_fail("the writable directory '%s' has no tag", job->rw[i]);
        *path++ = '\0';
        (void)snprintf(where, sizeof(where), "/new%s", path);
        dir_make_all(where);
        fs_mount(job->rw[i], where, "9p", 0,
                 "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any");
    }
}

static void sys_mount(void)
{
    fs_mount("proc", "/new/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    fs_mount("sys", "/new/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    fs_mount("cgroup2", "/new/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    fs_mount("debugfs", "/new/sys/kernel/debug", "debugfs", 0, NULL);
    fs_mount("tracefs", "/new/sys/kernel/tracing", "tracefs", 0, NULL);
    fs_mount("bpf", "/new/sys/fs/bpf", "bpf", 0, NULL);
}

void setup_root(const struct job *job)
{
    root_build();
    /* A second, non-recursive view of the overlay: what our mounts are about to cover. */
    dir_make("/seen", 0755);
    fs_mount("/new", "/seen", NULL, MS_BIND, NULL);

    fs_mount("dev", "/new/dev", "devtmpfs", MS_NOSUID, NULL);
    dev_fill();
    tmp_mount(job, "/dev/shm", "mode=1777,size=75%");
    tmp_mount(job, "/tmp", "mode=1777,size=75%");
    tmp_mount(job, "/run", "mode=0755,size=75%");
    dir_make("/new/run/lock", 01777);
    sys_mount();
    modules_show(job);
    rw_mount(job);

    /*
     * As switch_root does: move the new root over the initramfs, so that the command may make user
     * namespaces and call pivot_root (a plain chroot allows neither). PID 1 shares its root with
     * the kernel threads, so module autoloading finds modprobe here, too.
     */
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        agent_fail("cannot switch to the new root: %s", strerror(errno));
    loopback_up();
    if (sethostname("lab", 3) < 0)
        agent_fail("cannot set the host name: %s", strerror(errno));
}

void setup_clock(void)
{
    static const char *path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    const struct timespec pause_10ms = {.tv_nsec = 10 * 1000 * 1000};
    char name[32] = "";

    for (int tries = 0; tries < 1000; tries++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);

        if (n < 0)
            agent_fail("cannot read %s: %s", path, strerror(errno));
        close(fd);
        name[n] = '\0';
        if (strcmp(name, "tsc\n") == 0)
            return;
        nanosleep(&pause_10ms, NULL);
    }
    agent_fail("the kernel reads the time from '%s', not from tsc", name);
}
