/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file systems that a guest's userspace expects, and the console as descriptors 0 to 2.
 */
#pragma once

#include <stdbool.h>

/* Mounts /proc if it is not there yet. Returns 0 or -errno. */
int mount_proc(void) __attribute__((warn_unused_result));

/* Mounts /dev (devtmpfs) if it is not there yet. Returns 0 or -errno. */
int mount_dev(void) __attribute__((warn_unused_result));

/* Mounts /sys if it is not there yet. Returns 0 or -errno. */
int mount_sys(void) __attribute__((warn_unused_result));

/* Mounts /sys, /dev/pts, /dev/shm, /run, /tmp and cgroup2; a failure is reported, not returned. */
void mount_rest(void);

/* True when the root directory is the kernel's initramfs, not a disk. */
bool mount_root_is_initramfs(void);

/* Fills descriptors 0 to 2 from /dev/null where the kernel found no console. False: no console. */
bool mount_console(void);
