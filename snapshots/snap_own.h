/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot must not be written over: files that the VM or its process uses. Thread: vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/mem/gmem.h"

/*
 * Is what has this name the kernel, the initrd, a drive's file, or anything else that the
 * process has open? fd: of what was opened at this name by now, which is looked at instead;
 * FD_NONE: nothing. what: "snapshot" or "memory", as sentences call it; for a memory the file that
 * the VM is mapped from is none of them. Returns 0 (also when nothing has the name), or -EBUSY with
 * a sentence that says what it is.
 */
MUST_CHECK int snap_own_refuse(const struct cfg_vm *config, const struct gmem *gmem,
                               const char *path, int fd, const char *what, struct err *err);
