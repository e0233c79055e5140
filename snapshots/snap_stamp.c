/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stamps of memory files (futimens(3)). Single thread.
 */
#include "snapshots/snap_stamp.h"

#include <sys/random.h>
#include <time.h>

#include "base/clock.h"

void snap_stamp_set(int fd, struct snapf_stamp *ret_stamp)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    struct stat stat;
    uint32_t random = 0;
    *ret_stamp = (struct snapf_stamp){0};
    if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
        clock_gettime(CLOCK_REALTIME, &times[1]) < 0)
        return;
    times[1].tv_sec--; /* a fraction of this second may be yet to come */
    times[1].tv_nsec = random % NS_PER_S;
    const struct snapf_stamp stamp = {.s = (uint64_t)times[1].tv_sec,
                                      .ns = (uint32_t)times[1].tv_nsec};
    if (futimens(fd, times) == 0 && fstat(fd, &stat) == 0 && snap_stamp_is(&stat, &stamp))
        *ret_stamp = stamp;
}

bool snap_stamp_is(const struct stat *stat, const struct snapf_stamp *stamp)
{
    return stamp->s != 0 && (uint64_t)stat->st_mtim.tv_sec == stamp->s &&
           (uint64_t)stat->st_mtim.tv_nsec == stamp->ns;
}
