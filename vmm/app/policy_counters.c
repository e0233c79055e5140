/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of counters, mapped for reading.
 */
#include "vmm/app/policy_counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cmdline.h"
#include "base/metrics.h"
#include "jailer/policy/wire.h"

#define NAME(place, name) [place] = (name),
static const char *const names[] = {POL_COUNTER_LIST(NAME)};
#undef NAME

static int fail(const char *fd_text, int code, const char *why, struct err *err)
{
    return err_set(
        err, code,
        "--policy-counters-fd %s: %s: %s (%s). The jailer gives this option, with --policy.",
        fd_text, why, ERR_OS(code), err_name(code));
}

int app_policy_show(const char *fd_text, struct err *err)
{
    struct stat st;
    int fd = cmdline_parse_fd(fd_text);
    if (fd < 0)
        return fail(fd_text, -EINVAL, "a descriptor's number is expected", err);
    if (fstat(fd, &st) < 0)
        return fail(fd_text, -errno, "nothing was inherited under this number", err);
    if ((st.st_mode & S_IFMT) != 0) /* files of the kernel's own have no kind */
        return fail(fd_text, -EINVAL, "it is no BPF map", err);
    const void *page = mmap(NULL, POL_COUNTERS_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return fail(fd_text, -errno, "it is no map of counters", err);
    (void)close(fd); /* the mapping stays */
    metrics_prometheus_show(names, page, POL_COUNTERS);
    return 0;
}
