/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network namespace and the resource limits (cli.md I.2, steps 5 and 6).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"

int jail_join_netns(const struct jail *jail, struct err *err)
{
    const char *path = jail->args->netns;
    if (!path)
        return 0;
    FD_AUTO int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* not waiting for a FIFO */
    if (fd < 0)
        return err_set(err, -errno, "Failed to open file %s: %s", path, ERR_OS(errno));
    if (setns(fd, CLONE_NEWNET) == 0)
        return 0;
    int rc = -errno;
    return err_set(err, rc, "Failed to join network namespace: netns: %s (%s%s)", ERR_OS(rc), path,
                   rc == -EINVAL ? " is none: ip netns add NAME makes one, /run/netns/NAME" : "");
}

static int set_limit(int resource, const char *name, uint64_t value, struct err *err)
{
    const struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    if (setrlimit((__rlimit_resource_t)resource, &limit) == 0)
        return 0;
    int rc = -errno;
    char hint[128] = "";
    struct rlimit now = {0};
    if (rc == -EPERM && getrlimit((__rlimit_resource_t)resource, &now) == 0 && value > now.rlim_max)
        (void)snprintf(hint, sizeof(hint),
                       ". The jailer itself may have %llu at most: --resource-limit %s=%llu",
                       (unsigned long long)now.rlim_max, name, (unsigned long long)now.rlim_max);
    return err_set(err, rc, "Failed to set limit for resource: %s=%llu: %s (%s)%s", name,
                   (unsigned long long)value, ERR_OS(rc), err_name(rc), hint);
}

int jail_set_limits(const struct jail *jail, struct err *err)
{
    struct rlimit now;
    int rc = set_limit(RLIMIT_NOFILE, "no-file", jail->limits.no_file, err);
    if (rc < 0 || !jail->limits.has_fsize)
        return rc;
    /* A pid file that is longer is an error with a sentence, not this process's end. */
    (void)signal(SIGXFSZ, SIG_IGN); /* valid arguments: cannot fail */
    if (getrlimit(RLIMIT_FSIZE, &now) < 0)
        return err_set(err, -errno, "Failed to read the limit fsize: %s", ERR_OS(errno));
    if (jail->limits.fsize > now.rlim_max)
        return set_limit(RLIMIT_FSIZE, "fsize", jail->limits.fsize, err);
    now.rlim_cur = jail->limits.fsize; /* not for good yet */
    if (setrlimit(RLIMIT_FSIZE, &now) < 0)
        return err_set(err, -errno, "Failed to set limit for resource: fsize: %s", ERR_OS(errno));
    return 0;
}

int jail_seal_limits(const struct jail *jail, struct err *err)
{
    return jail->limits.has_fsize ? set_limit(RLIMIT_FSIZE, "fsize", jail->limits.fsize, err) : 0;
}

void jail_lift_limits(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_FSIZE, &now) < 0)
        return;
    now.rlim_cur = now.rlim_max;
    (void)setrlimit(RLIMIT_FSIZE, &now); /* if not, a file keeps what it has room for */
}
