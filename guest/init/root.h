/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the initramfs to a root disk. The kernel ignores root= when an initramfs has an /init, so
 * mayfly-init keeps that promise itself.
 */
#pragma once

#include "guest/init/options.h"

enum { ROOT_WAIT_MS = 10000 };

/*
 * Waits for the device of opt->root (/dev/NAME, or PARTUUID=ID), mounts it (read-only unless rw;
 * rootfstype= or every file system of /proc/filesystems in turn), frees the initramfs, moves the
 * mounts over and executes init= or the first init found there. Returns only on failure: -errno,
 * already reported.
 */
int root_switch(const struct options *opt, char *const argv[], char *const envp[])
    __attribute__((warn_unused_result));

/*
 * Finds the block device with the partition id (as in PARTUUID=) and writes its /dev path.
 * Returns 1 found, 0 not there (yet), or -errno.
 */
int partuuid_find(const char *id, char *ret_path, size_t size) __attribute__((warn_unused_result));
