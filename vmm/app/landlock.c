/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (landlock(7)). The numbers of rights are the kernel's; Debian 12's header ends at those
 * of Linux 6.1.
 */
#include "vmm/app/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/landlock.h"

#define RIGHT_TRUNCATE (1ull << 14)  /* ABI 3 */
#define RIGHT_IOCTL_DEV (1ull << 15) /* ABI 5 */

#define RIGHTS_OF_ABI_1 ((1ull << 13) - 1)
#define RIGHTS_NEVER                                                                               \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
     LANDLOCK_ACCESS_FS_REFER)
/* What makes sense for something that is no directory. */
#define RIGHTS_OF_FILE                                                                             \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | RIGHT_TRUNCATE |               \
     RIGHT_IOCTL_DEV)

/* struct landlock_ruleset_attr as of ABI 6. Older kernels take its beginning. */
struct ruleset {
    uint64_t files;
    uint64_t tcp;    /* ABI 4: bind and connect */
    uint64_t scoped; /* ABI 6: abstract Unix sockets, signals */
};
_Static_assert(offsetof(struct ruleset, scoped) == 16, "the kernel's layout");

static uint64_t rights_of(int abi)
{
    uint64_t rights = RIGHTS_OF_ABI_1;
    rights |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    rights |= abi >= 3 ? RIGHT_TRUNCATE : 0;
    rights |= abi >= 5 ? RIGHT_IOCTL_DEV : 0;
    return rights;
}

/* A ruleset that forbids all this kernel can forbid. Returns its fd or -errno. */
static int open_ruleset(int abi)
{
    const struct ruleset ruleset = {.files = rights_of(abi), .tcp = 3, .scoped = 3};
    size_t size = abi >= LANDLOCK_ABI_SCOPES ? sizeof(ruleset)
                  : abi >= 4                 ? offsetof(struct ruleset, scoped)
                                             : offsetof(struct ruleset, tcp);
    long fd = syscall(SYS_landlock_create_ruleset, &ruleset, size, 0); /* CLOEXEC by itself */
    return fd < 0 ? -errno : (int)fd;
}

static int fail(const char *step, int code, struct err *err)
{
    return err_set(err, code,
                   "Landlock: %s: %s (%s). --no-landlock runs without it; then this process may "
                   "open what its user may.",
                   step, ERR_OS(code), err_name(code));
}

/* Allows below a directory, or of a file, what the vmm thread may do. Returns 0 or -errno. */
static int allow(int ruleset_fd, int abi, const char *path)
{
    FD_AUTO int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights_of(abi) & ~RIGHTS_NEVER,
        .parent_fd = fd,
    };
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= RIGHTS_OF_FILE;
    return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

static int allow_paths(int ruleset_fd, int abi, const struct cmdline_list *paths, struct err *err)
{
    static const char *const devices[] = {"/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"};
    for (uint32_t i = 0; i < paths->count; i++) {
        int rc = allow(ruleset_fd, abi, paths->values[i]);
        if (rc < 0)
            return err_set(err, rc,
                           "--allow-path %s: %s (%s). It has to be there when this process "
                           "starts, and a directory or a file that may be opened.",
                           paths->values[i], ERR_OS(rc), err_name(rc));
    }
    for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
        int rc = allow(ruleset_fd, abi, devices[i]);
        if (rc < 0 && rc != -ENOENT && rc != -EACCES) /* who needs it will say that it is missing */
            return fail(devices[i], rc, err);
    }
    return 0;
}

static int restrict_self(int ruleset_fd, struct err *err)
{
    return syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0
               ? fail("landlock_restrict_self", -errno, err)
               : 0;
}

/* Returns 0 with *ret_fd, or -errno with the sentence. */
static int open_of_vmm(int abi, const struct cmdline_list *paths, int *ret_fd, struct err *err)
{
    FD_AUTO int fd = open_ruleset(abi);
    if (fd < 0)
        return fail("landlock_create_ruleset", fd, err);
    int rc = 0;
    if (paths->count > 0)
        rc = allow_paths(fd, abi, paths, err);
    else if ((rc = allow(fd, abi, "/")) < 0)
        rc = fail("/", rc, err);
    if (rc == 0)
        *ret_fd = fd_steal(&fd);
    return rc;
}

int app_landlock_start(struct app_landlock *ret, const struct cmdline_list *paths, struct err *err)
{
    int abi = landlock_abi();
    if (abi == -ENOSYS || abi == -EOPNOTSUPP)
        return 0;
    if (abi < 0)
        return fail("its version", abi, err);
    FD_AUTO int fd = FD_NONE;
    int rc = open_of_vmm(abi, paths, &fd, err);
    if (rc == 0)
        rc = restrict_self(fd, err);
    if (rc < 0)
        return rc;
    int none_fd = open_ruleset(abi);
    if (none_fd < 0)
        return fail("landlock_create_ruleset", none_fd, err);
    ret->none_fd = none_fd;
    return abi;
}

int app_landlock_give_up(const struct app_landlock *landlock, struct err *err)
{
    return landlock->none_fd < 0 ? 0 : restrict_self(landlock->none_fd, err);
}

void app_landlock_done(struct app_landlock *landlock)
{
    fd_close(&landlock->none_fd);
}
