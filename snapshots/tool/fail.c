/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sentences for what the system refuses. Single thread.
 */
#include "snapshots/tool/fail.h"

#include <errno.h>

static const char *advice(int code)
{
    switch (-code) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
        return ". Check the path";
    case EACCES:
    case EPERM:
        return ". Run this as a user who may";
    case EROFS:
        return ". Name a place that can be written";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ". Free space there";
    case EIO:
        return ". The disk has failed: look at the kernel's log";
    case ETXTBSY:
    case EBUSY:
        return ". End what uses the file, and try again";
    case EINVAL:
    case EOPNOTSUPP:
    case ENOSYS:
        return ". Its file system cannot do that: copy the files to another, such as ext4, XFS or "
               "tmpfs, with their holes";
    default:
        return "";
    }
}

int snaptool_fail(struct err *err, int code, const char *verb, const char *path)
{
    return err_set(err, code, "Cannot %s " SNAPTOOL_PATH ": %s: %s%s", verb, path, err_name(code),
                   ERR_OS(code), advice(code));
}
