/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's last snapshot, and whether a file is its memory. Thread: vmm.
 */
#include "snapshots/snap_past.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/snap_stamp.h"

void snap_past_set(struct snap_past *past, const struct snapf_content *content)
{
    memcpy(past->id, content->id, sizeof(past->id));
    past->stamp = content->memory_stamp;
    past->has_begun = false;
    free(past->samples);
    past->samples = calloc(content->samples_count + 1, sizeof(*past->samples));
    past->samples_count = past->samples ? content->samples_count : 0;
    for (uint32_t i = 0; i < past->samples_count; i++)
        past->samples[i] = content->samples[i];
}

void snap_past_done(struct snap_past *past)
{
    free(past->samples);
    *past = (struct snap_past){0};
}

void snap_past_begin(struct snap_past *past, int fd)
{
    past->has_begun = fstat(fd, &past->begun) == 0;
}

static bool is_begun(const struct snap_past *past, int fd)
{
    struct stat stat;
    return past->has_begun && fstat(fd, &stat) == 0 && fd_is_same_file(&stat, &past->begun);
}

bool snap_past_is_whole(const struct snap_past *past, int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && snap_stamp_is(&stat, &past->stamp);
}

/* A file system that cannot say has data everywhere. */
static bool is_hole(int fd, uint64_t off)
{
    off_t data = lseek(fd, (off_t)off, SEEK_DATA);
    return data < 0 ? errno == ENXIO : (uint64_t)data >= off + GMEM_PAGE_SIZE;
}

/* Will an untracked diff have this page of the file, whatever is there? */
static bool is_resident(const struct gmem *gmem, uint64_t off)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        uint64_t size = gmem_region_at(gmem, i).size;
        uint8_t resident;
        if (off < size)
            return gmem_pages_resident(gmem, i, off, 1, &resident) == 0 && (resident & 1);
        off -= size;
    }
    return false;
}

static int check_page(const struct snapf_sample *sample, const struct snap_file *memory,
                      struct err *err)
{
    uint8_t page[GMEM_PAGE_SIZE];
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    ssize_t len = fd_pread_full(memory->fd, page, sizeof(page), sample->off);
    if (len < 0)
        return err_set(err, (int)len, "Cannot read the memory backing file: %s (%s)",
                       ERR_OS((int)len), memory->path);
    crypto_checksum(page, (size_t)len, sum);
    if (len == sizeof(page) && memcmp(sum, sample->sum, sizeof(sum)) == 0)
        return 0;
    return err_set(err, -EINVAL,
                   "Cannot merge the diff into the memory backing file: it is not the memory of "
                   "this VM's snapshot before, whose page at byte %llu has other content (%s). "
                   "Merge the diffs in between first, or name a new file",
                   (unsigned long long)sample->off, memory->path);
}

int snap_past_check(const struct snap_past *past, const struct gmem *gmem,
                    const struct snap_file *memory, struct err *err)
{
    int rc = 0;
    if (is_begun(past, memory->fd))
        return 0;
    for (uint32_t i = 0; rc == 0 && i < past->samples_count; i++) {
        const struct snapf_sample *sample = &past->samples[i];
        bool is_ours = sample->off % GMEM_PAGE_SIZE == 0 && sample->off < memory->size;
        if (!is_ours || is_hole(memory->fd, sample->off) ||
            (!gmem_tracks_dirty(gmem) && is_resident(gmem, sample->off)))
            continue;
        rc = check_page(sample, memory, err);
    }
    return rc;
}
