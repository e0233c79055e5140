/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts the root disk and leaves the initramfs for it. One thread; runs once, before anything
 * else of the guest's userspace.
 */
#include "guest/init/root.h"

#include "guest/init/mount.h"
#include "guest/init/sys.h"
#include "guest/init/text.h"
#include <asm/stat.h>
#include <linux/stat.h>

enum { FS_LIST_MAX = 2048, DIR_BUF_SIZE = 2048, DIR_DEPTH_MAX = 16, PATH_SIZE = 512 };

/* A directory entry as getdents64 writes it. */
struct dir_entry {
    uint64_t ino;
    int64_t next_off;
    uint16_t len;
    uint8_t type;
    char name[];
};

static int find_device(const char *root, char *ret_path, size_t size)
{
    long fd;

    if (text_starts(root, "PARTUUID="))
        return partuuid_find(root + text_len("PARTUUID="), ret_path, size);
    if (!text_starts(root, "/dev/"))
        return -EINVAL;
    fd = sys_open(root, O_PATH);
    if (fd < 0)
        return fd == -ENOENT ? 0 : (int)fd;
    (void)sys_close(fd);
    return text_copy(ret_path, size, root, text_len(root)) ? 1 : -E2BIG;
}

/* 0, or -errno: -ENODEV when the device does not appear in time. */
static int wait_device(const char *root, char *ret_path, size_t size)
{
    for (int waited_ms = 0; waited_ms < ROOT_WAIT_MS; waited_ms++) {
        int found = find_device(root, ret_path, size);

        if (found)
            return found < 0 ? found : 0;
        sys_sleep_ns(1000000);
    }
    return -ENODEV;
}

static long mount_typed(const struct options *opt, const char *device, const char *type)
{
    unsigned long flags = opt->root_rw ? 0 : MS_RDONLY;

    return sys_mount(device, "/newroot", type, flags, opt->root_flags[0] ? opt->root_flags : NULL);
}

/*
 * Tries ext4, then each file system that the kernel has and that wants a device (in
 * /proc/filesystems: one name after a tab). ext4 first: ext2 and ext3 complain loudly about it.
 */
static long mount_any(const struct options *opt, const char *device)
{
    char list[FS_LIST_MAX];
    long fd = sys_open("/proc/filesystems", O_RDONLY);
    long got = fd < 0 ? fd : sys_read(fd, list, sizeof(list) - 1);
    long err = mount_typed(opt, device, "ext4");
    char *line = list;

    if (fd >= 0)
        (void)sys_close(fd);
    if (err != -EINVAL && err != -ENODEV)
        return err;
    if (got < 0)
        return got;
    list[got] = 0;
    while (*line) {
        char *end = line;

        while (*end && *end != '\n')
            end++;
        if (*end)
            *end++ = 0;
        if (*line == '\t') {
            err = mount_typed(opt, device, line + 1);
            /* EINVAL: not this file system. Anything else is this disk's real trouble. */
            if (err != -EINVAL)
                return err;
        }
        line = end;
    }
    return err;
}

static bool same_device(const char *path, uint64_t dev, bool *ret_is_dir)
{
    struct stat st;

    if (sys_call3(__NR_lstat, (long)path, (long)&st, 0) < 0)
        return false;
    *ret_is_dir = (st.st_mode & S_IFMT) == S_IFDIR;
    return st.st_dev == dev;
}

static void empty_directory(const char *path, uint64_t dev, int depth);

/* Removes one entry of a directory, whose path ends with a slash, and what it holds. */
static void remove_entry(const char *path, const char *name, uint64_t dev, int depth)
{
    char child[PATH_SIZE];
    bool is_dir;

    if (text_equal(name, ".") || text_equal(name, "..") ||
        !text_join(child, sizeof(child), path, name) || !same_device(child, dev, &is_dir))
        return;
    if (!is_dir) {
        (void)sys_call3(__NR_unlink, (long)child, 0, 0);
        return;
    }
    if (!text_join(child, sizeof(child), child, "/"))
        return;
    empty_directory(child, dev, depth + 1);
    (void)sys_call3(__NR_rmdir, (long)child, 0, 0);
}

/* Removes what the directory holds, but never crosses into another mount: frees initramfs RAM. */
static void empty_directory(const char *path, uint64_t dev, int depth)
{
    char buf[DIR_BUF_SIZE] __attribute__((aligned(8)));
    long fd = sys_open(path, O_RDONLY | O_DIRECTORY);

    if (fd < 0 || depth > DIR_DEPTH_MAX)
        return;
    for (;;) {
        long got = sys_call3(__NR_getdents64, fd, (long)buf, sizeof(buf));

        if (got <= 0)
            break;
        for (long at = 0; at < got;) {
            const struct dir_entry *entry = (const void *)&buf[at];

            at += entry->len;
            remove_entry(path, entry->name, dev, depth);
        }
    }
    (void)sys_close(fd);
}

static void move_mount(const char *path, const char *new_path)
{
    if (sys_mount(path, new_path, NULL, MS_MOVE, NULL) < 0)
        (void)sys_umount(path, MNT_DETACH);
}

static int enter_root(void)
{
    struct stat st;
    long err = sys_call3(__NR_lstat, (long)"/", (long)&st, 0);

    if (err < 0)
        return (int)err;
    move_mount("/dev", "/newroot/dev");
    move_mount("/proc", "/newroot/proc");
    empty_directory("/", st.st_dev, 0);
    err = sys_call3(__NR_chdir, (long)"/newroot", 0, 0);
    if (!err)
        err = sys_mount(".", "/", NULL, MS_MOVE, NULL);
    if (!err)
        err = sys_call3(__NR_chroot, (long)".", 0, 0);
    if (!err)
        err = sys_call3(__NR_chdir, (long)"/", 0, 0);
    return (int)err;
}

static int exec_init(const struct options *opt, char *const argv[], char *const envp[])
{
    static const char *const inits[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
    long err = -ENOENT;

    if (opt->init[0]) {
        err = sys_execve(opt->init, argv, envp);
        text_report("cannot execute init=", opt->init, err, "Trying the usual places.");
    }
    for (size_t i = 0; i < ARRAY_LEN(inits); i++) {
        long this_err = sys_execve(inits[i], argv, envp);

        if (this_err != -ENOENT)
            err = this_err;
    }
    text_report("cannot execute an init on ", opt->root, err,
                "The disk needs one of /sbin/init, /etc/init, /bin/init, /bin/sh, or give init=.");
    return (int)err;
}

int root_switch(const struct options *opt, char *const argv[], char *const envp[])
{
    char device[PATH_SIZE];
    long err = wait_device(opt->root, device, sizeof(device));

    if (err) {
        text_report("cannot find the root device root=", opt->root, err,
                    "Give /dev/NAME or PARTUUID=ID of an attached disk.");
        return (int)err;
    }
    (void)sys_mkdir("/newroot", 0755);
    err = opt->root_type[0] ? mount_typed(opt, device, opt->root_type) : mount_any(opt, device);
    if (err) {
        text_report("cannot mount the root device ", device, err,
                    "Check its file system, rootfstype= and rootflags=.");
        return (int)err;
    }
    err = enter_root();
    if (err) {
        text_report("cannot move to the root device ", device, err, "The guest ends.");
        return (int)err;
    }
    return exec_init(opt, argv, envp);
}
