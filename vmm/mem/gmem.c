/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the regions and the one checked door (style.md, G1-G3, G8). Any thread; the
 * regions are made once and never change, dirty words are atomic. Loads that decide anything go
 * through volatile words, because a compiler may load a plain lvalue twice (style.md section 6).
 */
#include "vmm/mem/gmem.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/ck.h"
#include "base/fd.h"

#define GMEM_PAGES_PER_WORD 64u
/* Linux moves at most this much per read(2). */
#define GMEM_READ_CHUNK_SIZE 0x7ffff000ull

#ifdef GMEM_SCRIBBLE
enum { GMEM_SCRIBBLE_ON = 1 };
#else
enum { GMEM_SCRIBBLE_ON = 0 };
#endif
#define GMEM_SCRIBBLE_BYTE 0xa5

struct gmem_region {
    uint64_t base;
    uint64_t size;
    uint8_t *host;
    void *map_base; /* mmap's result: host minus the slack in front */
    uint64_t map_size;
    uint64_t file_off;       /* bytes, of what is mapped from a file */
    _Atomic uint64_t *dirty; /* NULL: not tracked */
};

struct gmem {
    struct gmem_region regions[GMEM_REGIONS_MAX];
    uint32_t regions_count;
    uint32_t open_count; /* of them, that may be touched: all, or none while they are reserved */
    int file_fd;         /* of what is mapped from a file; else FD_NONE */
    int uffd;            /* of what somebody else fills; else FD_NONE */
    int peer_fd;         /* likewise */
};

/* Where a region's bytes come from. */
enum source { SOURCE_ZERO, SOURCE_FILE, SOURCE_NONE };

static int advise(void *map, uint64_t size, enum gmem_backing backing, struct err *err)
{
    if (backing == GMEM_BACKING_THP && madvise(map, size, MADV_HUGEPAGE) < 0)
        return err_set(err, -errno, "Cannot advise huge pages for guest memory: %s", ERR_OS(errno));
    return 0;
}

static int region_map(struct gmem_region *region, int prot, enum gmem_backing backing,
                      struct err *err)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint64_t slack = GMEM_HUGE_SIZE;

    if (backing == GMEM_BACKING_HUGETLB) {
        flags |= MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);
        slack = 0; /* the kernel aligns to the page size */
    }
    uint64_t map_size;
    if (!ck_align_up(region->size, backing == GMEM_BACKING_HUGETLB ? GMEM_HUGE_SIZE : 4096,
                     &map_size) ||
        !ck_add(map_size, slack, &map_size) || map_size > SIZE_MAX / 2)
        return err_set(err, -ENOMEM, "Cannot create mmap region: %s", ERR_OS(ENOMEM));

    void *map = mmap(NULL, map_size, prot, flags, -1, 0);
    if (map == MAP_FAILED)
        return err_set(err, -errno, "Cannot create mmap region: %s", ERR_OS(errno));

    /* The slack in front stays mapped and untouched: it costs address space only. */
    uint64_t congruent = (region->base - (uint64_t)(uintptr_t)map) & (GMEM_HUGE_SIZE - 1);
    region->map_base = map;
    region->map_size = map_size;
    region->host = (uint8_t *)map + (slack ? congruent : 0);
    return advise(map, map_size, backing, err);
}

/* From a file: one mapping, in its place when there is one, else where the kernel likes it. */
static int region_map_file(struct gmem_region *region, int fd, uint64_t off,
                           enum gmem_backing backing, struct err *err)
{
    if (region->size > SIZE_MAX / 2 || off > INT64_MAX)
        return err_set(err, -ENOMEM, "Cannot create mmap region: %s", ERR_OS(ENOMEM));
    void *map = mmap(region->host, region->size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_NORESERVE | (region->host ? MAP_FIXED : 0), fd, (off_t)off);
    if (map == MAP_FAILED)
        return err_set(err, -errno, "Cannot create mmap region: %s", ERR_OS(errno));
    if (!region->host) {
        region->map_base = region->host = map;
        region->map_size = region->size;
    }
    region->file_off = off;
    return advise(map, region->size, backing, err);
}

/* Zeros where address space was reserved. */
static int region_fill_zero(struct gmem_region *region, enum gmem_backing backing, struct err *err)
{
    if (mmap(region->host, region->size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return err_set(err, -errno, "Cannot create mmap region: %s", ERR_OS(errno));
    return advise(region->host, region->size, backing, err);
}

static int region_make(struct gmem_region *region, enum source source, int fd, uint64_t off,
                       enum gmem_backing backing, struct err *err)
{
    switch (source) {
    case SOURCE_ZERO:
        return region_map(region, PROT_READ | PROT_WRITE, backing, err);
    case SOURCE_FILE:
        return region_map_file(region, fd, off, backing, err);
    case SOURCE_NONE:
        return region_map(region, PROT_NONE, backing, err);
    }
    return -EINVAL;
}

static int region_track(struct gmem_region *region)
{
    region->dirty = calloc(gmem_dirty_words_count(region->size), sizeof(*region->dirty));
    return region->dirty ? 0 : -ENOMEM;
}

static bool ranges_valid(const struct gmem_range *ranges, uint32_t count)
{
    uint64_t free_from = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end;
        if (ranges[i].size == 0 || (ranges[i].base.v | ranges[i].size) % GMEM_PAGE_SIZE ||
            ranges[i].base.v < free_from || !ck_add(ranges[i].base.v, ranges[i].size, &end))
            return false;
        free_from = end;
    }
    return count >= 1 && count <= GMEM_REGIONS_MAX;
}

/* fd: of SOURCE_FILE. */
static int create(const struct gmem_range *ranges, uint32_t ranges_count, enum source source,
                  int fd, enum gmem_backing backing, bool track_dirty, struct gmem **ret_gmem,
                  struct err *err)
{
    uint64_t off = 0;
    if (!ranges_valid(ranges, ranges_count))
        return err_set(err, -EINVAL, "guest memory ranges overlap or are not whole pages");
    struct gmem *gmem = calloc(1, sizeof(*gmem));
    if (!gmem)
        return err_set(err, -ENOMEM, "no memory for the guest memory table");
    gmem->uffd = gmem->peer_fd = FD_NONE;
    gmem->file_fd = FD_NONE;

    int rc = 0;
    for (uint32_t i = 0; i < ranges_count; i++) {
        struct gmem_region *region = &gmem->regions[i];
        region->base = ranges[i].base.v;
        region->size = ranges[i].size;
        gmem->regions_count = i + 1;
        rc = region_make(region, source, fd, off, backing, err);
        if (rc < 0)
            goto err_free;
        off += region->size; /* mapped: no overflow */
        if (track_dirty && region_track(region) < 0) {
            rc = err_set(err, -ENOMEM, "no memory for dirty bits of %llu bytes",
                         (unsigned long long)region->size);
            goto err_free;
        }
    }
    gmem->open_count = source == SOURCE_NONE ? 0 : ranges_count;
    *ret_gmem = gmem;
    return 0;

err_free:
    gmem_free(gmem);
    return rc;
}

int gmem_create(const struct gmem_range *ranges, uint32_t ranges_count, enum gmem_backing backing,
                bool track_dirty, struct gmem **ret_gmem, struct err *err)
{
    return create(ranges, ranges_count, SOURCE_ZERO, FD_NONE, backing, track_dirty, ret_gmem, err);
}

int gmem_reserve(const struct gmem_range *ranges, uint32_t ranges_count, bool track_dirty,
                 struct gmem **ret_gmem, struct err *err)
{
    return create(ranges, ranges_count, SOURCE_NONE, FD_NONE, GMEM_BACKING_DEFAULT, track_dirty,
                  ret_gmem, err);
}

bool gmem_is_reserved(const struct gmem *gmem)
{
    return gmem->open_count == 0;
}

bool gmem_has_shape(const struct gmem *gmem, const struct gmem_range *ranges, uint32_t ranges_count,
                    bool track_dirty)
{
    bool same = gmem->regions_count == ranges_count && gmem_tracks_dirty(gmem) == track_dirty;
    for (uint32_t i = 0; same && i < ranges_count; i++)
        same = gmem->regions[i].base == ranges[i].base.v && gmem->regions[i].size == ranges[i].size;
    return same;
}

int gmem_fill(struct gmem *gmem, int *fd, enum gmem_backing backing, struct err *err)
{
    uint64_t off = 0;
    assert(gmem->open_count == 0 && backing != GMEM_BACKING_HUGETLB);
    for (uint32_t i = 0; i < gmem->regions_count; i++) {
        struct gmem_region *region = &gmem->regions[i];
        int rc = *fd == FD_NONE ? region_fill_zero(region, backing, err)
                                : region_map_file(region, *fd, off, backing, err);
        if (rc < 0) {
            /* What failed may have left nothing there, which others would be mapped to. */
            (void)mmap(region->host, region->size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
            return rc;
        }
        off += region->size; /* mapped: no overflow */
    }
    gmem->open_count = gmem->regions_count;
    gmem->file_fd = fd_steal(fd);
    return 0;
}

int gmem_create_mapped(const struct gmem_range *ranges, uint32_t ranges_count, int *fd,
                       enum gmem_backing backing, bool track_dirty, struct gmem **ret_gmem,
                       struct err *err)
{
    int rc = create(ranges, ranges_count, SOURCE_FILE, *fd, backing, track_dirty, ret_gmem, err);
    if (rc == 0)
        (*ret_gmem)->file_fd = fd_steal(fd);
    return rc;
}

void gmem_free(struct gmem *gmem)
{
    if (!gmem)
        return;
    for (uint32_t i = 0; i < gmem->regions_count; i++) {
        struct gmem_region *region = &gmem->regions[i];
        if (region->map_base)
            (void)munmap(region->map_base, region->map_size); /* our own mapping: cannot fail */
        free(region->dirty);
    }
    fd_close(&gmem->file_fd);
    fd_close(&gmem->uffd);
    fd_close(&gmem->peer_fd);
    free(gmem);
}

bool gmem_file_is_cut(const struct gmem *gmem)
{
    const struct gmem_region *last = &gmem->regions[gmem->regions_count - 1];
    struct stat stat;
    return gmem->file_fd != FD_NONE && fd_stat(gmem->file_fd, &stat) == 0 &&
           (uint64_t)stat.st_size < last->file_off + last->size;
}

void gmem_set_foreign(struct gmem *gmem, int uffd, int peer_fd)
{
    gmem->uffd = uffd;
    gmem->peer_fd = peer_fd;
}

uint32_t gmem_regions_count(const struct gmem *gmem)
{
    return gmem->regions_count;
}

struct gmem_region_view gmem_region_at(const struct gmem *gmem, uint32_t idx)
{
    assert(idx < gmem->regions_count);
    const struct gmem_region *region = &gmem->regions[idx];
    return (struct gmem_region_view){gpa(region->base), region->size, region->host};
}

/* The region that holds all of [addr, addr + len), or NULL (G2: the whole range, wrap included). */
static const struct gmem_region *region_find(const struct gmem *gmem, gpa_t addr, uint64_t len)
{
    for (uint32_t i = 0; i < gmem->open_count; i++) {
        const struct gmem_region *region = &gmem->regions[i];
        if (addr.v >= region->base && ck_range(addr.v - region->base, len, region->size))
            return region;
    }
    return NULL;
}

bool gmem_contains(const struct gmem *gmem, gpa_t addr, uint64_t len)
{
    return region_find(gmem, addr, len) != NULL;
}

static void region_mark(const struct gmem_region *region, uint64_t off, uint64_t len)
{
    if (!region->dirty || len == 0)
        return;
    uint64_t last = (off + len - 1) / GMEM_PAGE_SIZE;
    for (uint64_t page = off / GMEM_PAGE_SIZE; page <= last; page++)
        atomic_fetch_or_explicit(&region->dirty[page / GMEM_PAGES_PER_WORD],
                                 1ull << (page % GMEM_PAGES_PER_WORD), memory_order_relaxed);
}

/* Fetches every byte exactly once: natural words where the source is aligned, bytes at the ends. */
static void fetch_once(void *dst, const uint8_t *src, size_t len)
{
    uint8_t *out = dst;
    while (len && ((uintptr_t)src % sizeof(uint64_t))) {
        *out++ = *(const volatile uint8_t *)src++;
        len--;
    }
    for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
        uint64_t word = *(const volatile uint64_t *)(const void *)src;
        memcpy(out, &word, sizeof(word));
        src += sizeof(word);
        out += sizeof(word);
    }
    while (len--)
        *out++ = *(const volatile uint8_t *)src++;
}

static void fetch(void *dst, uint8_t *src, size_t len)
{
    fetch_once(dst, src, len);
    if (GMEM_SCRIBBLE_ON)
        memset(src, GMEM_SCRIBBLE_BYTE, len);
}

int gmem_read(const struct gmem *gmem, gpa_t addr, void *dst, size_t len)
{
    const struct gmem_region *region = region_find(gmem, addr, len);
    if (!region)
        return -EFAULT;
    fetch(dst, region->host + (addr.v - region->base), len);
    return 0;
}

int gmem_write(struct gmem *gmem, gpa_t addr, const void *src, size_t len)
{
    const struct gmem_region *region = region_find(gmem, addr, len);
    if (!region)
        return -EFAULT;
    memcpy(region->host + (addr.v - region->base), src, len);
    region_mark(region, addr.v - region->base, len);
    return 0;
}

int gmem_zero(struct gmem *gmem, gpa_t addr, uint64_t len)
{
    const struct gmem_region *region = region_find(gmem, addr, len);
    if (!region)
        return -EFAULT;
    memset(region->host + (addr.v - region->base), 0, len);
    region_mark(region, addr.v - region->base, len);
    return 0;
}

int gmem_read_file(struct gmem *gmem, gpa_t addr, int fd, uint64_t off, uint64_t len)
{
    const struct gmem_region *region = region_find(gmem, addr, len);
    if (!region || off > INT64_MAX || len > INT64_MAX - off)
        return -EFAULT;
    uint8_t *host = region->host + (addr.v - region->base);
    region_mark(region, addr.v - region->base, len);
    while (len) {
        size_t want = len < GMEM_READ_CHUNK_SIZE ? len : GMEM_READ_CHUNK_SIZE;
        ssize_t got = pread(fd, host, want, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) /* EFAULT: the range is ours, so the kernel had no page for it */
            return errno == EFAULT ? -ENOMEM : -errno;
        if (got == 0)
            return -ENODATA;
        host += got;
        off += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return 0;
}

int gmem_iov(struct gmem *gmem, gpa_t addr, size_t len, bool device_writes, struct iovec *ret_iov)
{
    const struct gmem_region *region = region_find(gmem, addr, len);
    if (!region)
        return -EFAULT;
    if (device_writes)
        region_mark(region, addr.v - region->base, len);
    *ret_iov = (struct iovec){region->host + (addr.v - region->base), len};
    return 0;
}

int gmem_iov_write(const struct iovec *iov, uint32_t iov_count, size_t off, const void *src,
                   size_t len)
{
    const uint8_t *bytes = src;
    size_t size = 0; /* no more than guest memory has */

    for (uint32_t i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    if (!ck_range(off, len, size))
        return -EFAULT;
    for (; len > 0; iov++) {
        size_t here = off < iov->iov_len ? iov->iov_len - off : 0;
        if (here > len)
            here = len;
        if (here > 0)
            memcpy((uint8_t *)iov->iov_base + off, bytes, here);
        off -= here > 0 ? off : iov->iov_len;
        bytes += here;
        len -= here;
    }
    return 0;
}

void gmem_iov_touch(const struct iovec *iov, uint32_t iov_count)
{
    for (uint32_t i = 0; i < iov_count; i++) {
        const volatile uint8_t *bytes = iov[i].iov_base;
        for (size_t off = 0; off < iov[i].iov_len; off += GMEM_PAGE_SIZE)
            (void)bytes[off];
        if (iov[i].iov_len > 0)
            (void)bytes[iov[i].iov_len - 1];
    }
}

int gmem_window_open(struct gmem *gmem, gpa_t addr, uint64_t size, uint64_t align,
                     struct gmem_window *ret_window)
{
    if (addr.v & (align - 1))
        return -EINVAL;
    const struct gmem_region *region = region_find(gmem, addr, size);
    if (!region || size == 0)
        return -EFAULT;
    *ret_window = (struct gmem_window){
        .host_ = region->host + (addr.v - region->base),
        .base = addr.v,
        .size = size,
        .gmem = gmem,
    };
    return 0;
}

/* The region found again for dirty bits only: the untracked case stays a pointer test. */
static void window_mark(const struct gmem_window *window, uint64_t off, uint64_t len)
{
    if (!window->gmem->regions[0].dirty)
        return;
    const struct gmem_region *region = region_find(window->gmem, gpa(window->base + off), len);
    assert(region);
    region_mark(region, window->base + off - region->base, len);
}

void gmem_window_read(const struct gmem_window *window, uint64_t off, void *dst, size_t len)
{
    assert(ck_range(off, len, window->size));
    fetch(dst, window->host_ + off, len);
}

void gmem_window_write(const struct gmem_window *window, uint64_t off, const void *src, size_t len)
{
    assert(ck_range(off, len, window->size));
    memcpy(window->host_ + off, src, len);
    window_mark(window, off, len);
}

static _Atomic uint16_t *window_u16(const struct gmem_window *window, uint64_t off)
{
    assert(off % sizeof(uint16_t) == 0 && ck_range(off, sizeof(uint16_t), window->size));
    return (_Atomic uint16_t *)(void *)(window->host_ + off);
}

uint16_t gmem_window_load_u16_acquire(const struct gmem_window *window, uint64_t off)
{
    return le16toh(atomic_load_explicit(window_u16(window, off), memory_order_acquire));
}

uint16_t gmem_window_load_u16_relaxed(const struct gmem_window *window, uint64_t off)
{
    return le16toh(atomic_load_explicit(window_u16(window, off), memory_order_relaxed));
}

void gmem_window_store_u16_release(const struct gmem_window *window, uint64_t off, uint16_t value)
{
    atomic_store_explicit(window_u16(window, off), htole16(value), memory_order_release);
    window_mark(window, off, sizeof(value));
}

int gmem_dirty_take(struct gmem *gmem, uint32_t region_idx, uint64_t *words, size_t words_count)
{
    if (region_idx >= gmem->regions_count)
        return -EINVAL;
    struct gmem_region *region = &gmem->regions[region_idx];
    if (!region->dirty)
        return -ENOTSUP;
    size_t have = gmem_dirty_words_count(region->size);
    if (words_count < have)
        return -EINVAL;
    for (size_t i = 0; i < have; i++)
        words[i] = atomic_exchange_explicit(&region->dirty[i], 0, memory_order_relaxed);
    return 0;
}

bool gmem_tracks_dirty(const struct gmem *gmem)
{
    return gmem->regions[0].dirty != NULL;
}

void gmem_dirty_give_back(struct gmem *gmem, uint32_t region_idx, const uint64_t *words)
{
    assert(region_idx < gmem->regions_count);
    struct gmem_region *region = &gmem->regions[region_idx];
    for (size_t i = 0; region->dirty && i < gmem_dirty_words_count(region->size); i++)
        atomic_fetch_or_explicit(&region->dirty[i], words[i], memory_order_relaxed);
}

int gmem_pages_in_core(const struct gmem *gmem, uint32_t idx, uint64_t off, size_t pages_count,
                       uint8_t *ret_in_core)
{
    assert(idx < gmem->regions_count);
    const struct gmem_region *region = &gmem->regions[idx];
    assert(ck_range(off, (uint64_t)pages_count * GMEM_PAGE_SIZE, region->size));
    int rc = mincore(region->host + off, pages_count * GMEM_PAGE_SIZE, ret_in_core);
    return rc < 0 ? -errno : 0;
}

int gmem_file_fd(const struct gmem *gmem)
{
    return gmem->file_fd;
}

bool gmem_is_mapped_from(const struct gmem *gmem, int fd)
{
    struct stat ours;
    struct stat other;
    return gmem->file_fd != FD_NONE && fstat(gmem->file_fd, &ours) == 0 && fstat(fd, &other) == 0 &&
           fd_is_same_file(&ours, &other);
}

/* Pages that the file has data for; its holes are zero. A file system that cannot say so has data
 * everywhere. */
static void mark_file_data(const struct gmem *gmem, uint64_t file_off, size_t pages_count,
                           uint8_t *there)
{
    off_t end = (off_t)(file_off + (uint64_t)pages_count * GMEM_PAGE_SIZE);
    off_t at = (off_t)file_off;
    while (at < end) {
        off_t data = lseek(gmem->file_fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return; /* a hole up to the end */
        off_t hole = data < 0 ? end : lseek(gmem->file_fd, data, SEEK_HOLE);
        if (data < 0 || hole < 0) {
            data = at;
            hole = end;
        }
        for (off_t page = data - data % GMEM_PAGE_SIZE; page < hole && page < end;
             page += GMEM_PAGE_SIZE)
            there[((uint64_t)page - file_off) / GMEM_PAGE_SIZE] = 1;
        at = hole;
    }
}

/* Can a page be neither in memory nor untouched? */
static bool host_swaps(void)
{
    struct sysinfo info;
    return sysinfo(&info) < 0 || info.totalswap > 0;
}

int gmem_pages_resident(const struct gmem *gmem, uint32_t idx, uint64_t off, size_t pages_count,
                        uint8_t *ret_resident)
{
    int rc = gmem_pages_in_core(gmem, idx, off, pages_count, ret_resident);
    if (rc == 0 && host_swaps())
        memset(ret_resident, 1, pages_count);
    return rc;
}

int gmem_pages_there(const struct gmem *gmem, uint32_t idx, uint64_t off, size_t pages_count,
                     uint8_t *ret_there)
{
    int rc = gmem_pages_in_core(gmem, idx, off, pages_count, ret_there);
    if (rc < 0)
        return rc;
    if (gmem->uffd != FD_NONE || host_swaps()) {
        memset(ret_there, 1, pages_count);
        return 0;
    }
    for (size_t i = 0; i < pages_count; i++)
        ret_there[i] &= 1;
    if (gmem->file_fd != FD_NONE)
        mark_file_data(gmem, gmem->regions[idx].file_off + off, pages_count, ret_there);
    return 0;
}
