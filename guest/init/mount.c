/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts what a guest's userspace expects. Every step stands a second run: the kernel, or the
 * initramfs stage before switch_root, may have done it already. One thread.
 */
#include "guest/init/mount.h"

#include "guest/init/sys.h"
#include "guest/init/text.h"
#include <asm/statfs.h>
#include <linux/magic.h>

static int mount_at(const char *type, const char *path, unsigned long flags, const char *data)
{
    long err = sys_mount(type, path, type, flags, data);

    if (err == -ENOENT) {
        (void)sys_mkdir(path, 0755);
        err = sys_mount(type, path, type, flags, data);
    }
    return err == -EBUSY ? 0 : (int)err;
}

int mount_proc(void)
{
    return mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

int mount_sys(void)
{
    return mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* The kernel's own devtmpfs, when it is mounted, holds a zero device that no image ships. */
int mount_dev(void)
{
    long fd = sys_open("/dev/zero", O_RDONLY | O_PATH);

    if (fd >= 0) {
        (void)sys_close(fd);
        return 0;
    }
    return mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
}

void mount_rest(void)
{
    static const struct {
        const char *type;
        const char *path;
        unsigned long flags;
        const char *data;
    } table[] = {
        {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
        {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
        {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
        {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
        {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int err = mount_at(table[i].type, table[i].path, table[i].flags, table[i].data);

        if (err)
            text_report("cannot mount ", table[i].path, err, "Going on without it.");
    }
}

bool mount_root_is_initramfs(void)
{
    struct statfs fs;

    if (sys_call3(__NR_statfs, (long)"/", (long)&fs, 0) < 0)
        return false;
    return fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC;
}

bool mount_console(void)
{
    bool found = true;

    for (long want = 0; want <= 2; want++) {
        long fd;

        if (sys_call3(__NR_fcntl, want, F_GETFD, 0) >= 0)
            continue;
        found = false;
        /* Opened without close-on-exec: these three belong to every child as well. */
        fd = sys_call3(__NR_open, (long)"/dev/null", O_RDWR, 0);
        if (fd != want)
            break;
    }
    return found;
}
