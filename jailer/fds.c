/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing descriptors, and keeping some.
 */
#include "jailer/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/fd.h"
#include "jailer/jail.h"

#define FIRST_FD 3
#define NAME_SIZE_MAX 64u

struct kept {
    int fds[CMDLINE_LIST_MAX];
    unsigned count;
};

static bool is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return len > 0 && len <= NAME_SIZE_MAX && text[len] == '\0';
}

/* N or N=NAME. Returns the number, or -EINVAL. */
static int parse_one(const char *text, struct err *err)
{
    size_t digits = strspn(text, "0123456789");
    bool good = digits > 0 && digits <= 6 &&
                (text[digits] == '\0' || (text[digits] == '=' && is_name(text + digits + 1)));
    if (!good)
        return err_set(err, -EINVAL,
                       "--keep-fd %.80s: N or N=NAME is expected, a descriptor's number and a name "
                       "of up to 64 letters, digits, '.', '_' and '-'",
                       text);
    int fd = (int)strtol(text, NULL, 10);
    if (fd < FIRST_FD)
        return err_set(err, -EINVAL, "--keep-fd %.80s: 0, 1 and 2 are kept anyway", text);
    return fd;
}

static int check_tap(int fd, struct err *err)
{
    struct ifreq request = {.ifr_flags = 0};
    if (ioctl(fd, TUNGETIFF, &request) == 0 && (request.ifr_flags & IFF_TAP))
        return 0;
    return err_set(
        err, -EINVAL,
        "--keep-fd %d is /dev/net/tun, but no TAP: TUNSETIFF with IFF_TAP, IFF_NO_PI and "
        "IFF_VNET_HDR makes it one",
        fd);
}

static int check_type(int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "--keep-fd %d: %s: nothing was inherited under this number", fd,
                       ERR_OS(errno));
    if (S_ISCHR(st.st_mode) && jail_device_is_tun(st.st_rdev))
        return check_tap(fd, err);
    if (fd_is_unix_listener(fd))
        return 0;
    return err_set(err, -EINVAL,
                   "--keep-fd %d is %s: a TAP (/dev/net/tun) or a listening stream socket of "
                   "AF_UNIX is expected",
                   fd,
                   S_ISSOCK(st.st_mode)   ? "another kind of socket"
                   : S_ISREG(st.st_mode)  ? "a file"
                   : S_ISDIR(st.st_mode)  ? "a directory"
                   : S_ISFIFO(st.st_mode) ? "a pipe"
                   : S_ISCHR(st.st_mode)  ? "another character device"
                                          : "something else");
}

static int find_kept(const struct cmdline_list *keep, struct kept *kept, struct err *err)
{
    for (unsigned i = 0; i < keep->count; i++) {
        int fd = parse_one(keep->values[i], err);
        int rc = fd < 0 ? fd : check_type(fd, err);
        for (unsigned k = 0; k < kept->count && rc == 0; k++)
            if (kept->fds[k] == fd)
                rc = err_set(err, -EINVAL, "--keep-fd %d was given more than once", fd);
        if (rc < 0)
            return rc;
        kept->fds[kept->count++] = fd;
    }
    return 0;
}

/* Moves all of them beyond where they end up, and then there. */
static int renumber(struct kept *kept, struct err *err)
{
    for (unsigned i = 0; i < kept->count; i++) {
        int fd = fcntl(kept->fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)CMDLINE_LIST_MAX);
        if (fd < 0)
            return err_set(err, -errno, "--keep-fd %d cannot be moved out of the way: %s",
                           kept->fds[i], ERR_OS(errno));
        kept->fds[i] = fd;
    }
    for (unsigned i = 0; i < kept->count; i++)
        if (dup2(kept->fds[i], FIRST_FD + (int)i) < 0) /* stays open across exec */
            return err_set(err, -errno, "--keep-fd: number %u of them cannot become %u: %s", i + 1,
                           FIRST_FD + i, ERR_OS(errno));
    return 0;
}

int jail_close_fds(const struct cmdline_list *keep, struct err *err)
{
    struct kept kept = {.count = 0};
    int rc = find_kept(keep, &kept, err);
    if (rc == 0)
        rc = renumber(&kept, err);
    if (rc < 0)
        return rc;
    if (syscall(SYS_close_range, FIRST_FD + kept.count, UINT_MAX, CLOSE_RANGE_UNSHARE) < 0)
        return err_set(
            err, -errno,
            "close_range, which closes what the jailer inherited: %s. Linux 5.9 or later "
            "is needed.",
            ERR_OS(errno));
    return 0;
}
