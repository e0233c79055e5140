/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: regions, one checked door, dirty bits (style.md, G-rules). Everything here may be
 * called from any thread once the regions are made; the guest's vCPUs change the bytes at any
 * time.
 *
 * A gpa_t never becomes a pointer outside this room, with two marked exceptions: gmem_region_at,
 * for the hypervisor room's memory slots, and gmem_iov, whose iovecs go straight to the kernel
 * (payload: moved, never parsed). Bytes that decide anything are fetched once, through volatile
 * words, by gmem_read, gmem_window_read or gmem_window_load_*.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/le.h"

/* Guest-physical address. */
typedef struct {
    uint64_t v;
} gpa_t;

static inline gpa_t gpa(uint64_t address)
{
    return (gpa_t){address};
}

#define GMEM_PAGE_SIZE 4096u
#define GMEM_HUGE_SIZE (2u * 1024 * 1024)
#define GMEM_REGIONS_MAX 4u

/* How the host backs guest RAM (devices.md 11). */
enum gmem_backing {
    GMEM_BACKING_DEFAULT, /* anonymous; the host's transparent-huge-page policy decides */
    GMEM_BACKING_THP,     /* anonymous, MADV_HUGEPAGE */
    GMEM_BACKING_HUGETLB, /* 2 MiB hugetlb pages, not reserved */
    GMEM_BACKING_HEAP,    /* tests: ordinary memory, dirty bits kept */
};

/* One range of RAM to make. */
struct gmem_range {
    gpa_t base;    /* multiple of 4 KiB */
    uint64_t size; /* bytes, multiple of 4 KiB, at least one page */
};

struct gmem;

/*
 * Makes guest RAM. ranges: ascending, disjoint, 1..GMEM_REGIONS_MAX. Host addresses are congruent
 * with guest addresses modulo 2 MiB, so that huge pages can back them. track_dirty: keep one bit
 * a page for writes made through this room. Returns 0 with *ret_gmem (gmem_free frees it) or
 * -errno (-ENOMEM from mmap).
 */
MUST_CHECK int gmem_create(const struct gmem_range *ranges, uint32_t ranges_count,
                           enum gmem_backing backing, bool track_dirty, struct gmem **ret_gmem,
                           struct err *err);

/*
 * Makes guest RAM from a file that has the ranges one behind the other, from its beginning on:
 * mapped privately, so that the file stays as it is and is read as pages are touched. *fd: of a
 * file that is long enough, the memory's on success and FD_NONE then; nobody may write or shorten
 * the file while the memory lives. backing: DEFAULT or THP. Host addresses are as the kernel
 * chooses. Otherwise as gmem_create.
 */
MUST_CHECK int gmem_create_mapped(const struct gmem_range *ranges, uint32_t ranges_count, int *fd,
                                  enum gmem_backing backing, bool track_dirty,
                                  struct gmem **ret_gmem, struct err *err);

/*
 * Reserves the address space of guest RAM whose content is not known yet: memory slots may name it,
 * but until gmem_fill no address is inside it, and a guest that touches it dies. Otherwise as
 * gmem_create.
 */
MUST_CHECK int gmem_reserve(const struct gmem_range *ranges, uint32_t ranges_count,
                            bool track_dirty, struct gmem **ret_gmem, struct err *err);

/* Is it reserved, and not filled yet? Any thread. */
bool gmem_is_reserved(const struct gmem *gmem);

/* Are its ranges these, and does it keep dirty bits as asked? */
bool gmem_has_shape(const struct gmem *gmem, const struct gmem_range *ranges, uint32_t ranges_count,
                    bool track_dirty);

/*
 * Gives reserved RAM its content, in its place: a file's, as gmem_create_mapped, or zeros when *fd
 * is FD_NONE. backing: DEFAULT or THP. On failure *fd is the caller's still and the memory can only
 * be freed. Returns 0 or -errno. Before anybody touches it.
 */
MUST_CHECK int gmem_fill(struct gmem *gmem, int *fd, enum gmem_backing backing, struct err *err);

/* Has the file that the memory is mapped from become shorter than the memory? Whoever touches what
 * is gone dies of it. False when there is no file. Any thread. */
bool gmem_file_is_cut(const struct gmem *gmem);

/* The memory's content comes from elsewhere when it is touched first: no page counts as untouched.
 * Takes the userfaultfd and the socket to who serves it, and keeps both open as long as it lives:
 * without them a fault would be served by zeros. Before anybody touches it. */
void gmem_set_foreign(struct gmem *gmem, int uffd, int peer_fd);

/* Unmaps everything. NULL is fine. No vCPU and no request may still use it. */
void gmem_free(struct gmem *gmem);

/* How many regions there are: 1..GMEM_REGIONS_MAX, in ascending order of address. */
uint32_t gmem_regions_count(const struct gmem *gmem);

/* Host view of one region, for hv memory slots and snapshots only; borrowed from the gmem. idx:
 * below gmem_regions_count (asserted). */
struct gmem_region_view {
    gpa_t base;
    uint64_t size;
    void *host;
};
struct gmem_region_view gmem_region_at(const struct gmem *gmem, uint32_t idx);

/* Is [addr, addr + len) wholly inside one region? Wrap-safe. len 0 is inside when addr is. */
MUST_CHECK bool gmem_contains(const struct gmem *gmem, gpa_t addr, uint64_t len);

/* Copies out of / into guest memory; the range may not leave one region. Nothing is touched
 * unless all of it is valid. gmem_read fetches every byte once. Returns 0 or -EFAULT. */
MUST_CHECK int gmem_read(const struct gmem *gmem, gpa_t addr, void *dst, size_t len);
MUST_CHECK int gmem_write(struct gmem *gmem, gpa_t addr, const void *src, size_t len);

/* Fills with zero bytes. Returns 0 or -EFAULT. */
MUST_CHECK int gmem_zero(struct gmem *gmem, gpa_t addr, uint64_t len);

/* Reads up to `len` bytes of file `fd` at `off` straight into guest memory; all must arrive.
 * Returns 0, -EFAULT (range), -ENODATA (file ends early), -ENOMEM (the host cannot back the
 * memory: no huge page left) or -errno of the read. */
MUST_CHECK int gmem_read_file(struct gmem *gmem, gpa_t addr, int fd, uint64_t off, uint64_t len);

/*
 * Host iovec of [addr, addr + len) for readv/writev/io_uring: for payload only, never to be
 * looked at. Marks the pages dirty when the kernel will write them (`device_writes`).
 * Returns 0 with *ret_iov, or -EFAULT when the range is not wholly inside one region.
 */
MUST_CHECK int gmem_iov(struct gmem *gmem, gpa_t addr, size_t len, bool device_writes,
                        struct iovec *ret_iov);

/*
 * Copies host bytes into iovecs that gmem_iov made for device writes, from byte `off` of all of
 * them on. Their pages were marked dirty when they were made: they must not be kept beyond the next
 * gmem_dirty_take. Returns 0, or -EFAULT when they end before: then nothing is written.
 */
MUST_CHECK int gmem_iov_write(const struct iovec *iov, uint32_t iov_count, size_t off,
                              const void *src, size_t len);

/*
 * Looks at every page of iovecs that gmem_iov made, and at nothing in them. For who was told EFAULT
 * by a system call that was given them: where the memory's file was cut under us this thread gets
 * the SIGBUS that says so. When it returns the memory is all there.
 */
void gmem_iov_touch(const struct iovec *iov, uint32_t iov_count);

/*
 * What pages can hold, for a copy of the memory: ret_there[i] is 0 for a page that nobody has
 * touched, which is zero. off: bytes into region idx, a multiple of the page size. Thread: vmm,
 * while no vCPU runs. Returns 0 or -errno.
 */
MUST_CHECK int gmem_pages_there(const struct gmem *gmem, uint32_t idx, uint64_t off,
                                size_t pages_count, uint8_t *ret_there);

/* Which pages may have been touched since the memory was made: those that the host has in memory
 * (mincore), of what was mapped from a file also those that only its cache has; all, where the host
 * swaps. Bit 0 of each byte. Returns 0 or -errno. */
MUST_CHECK int gmem_pages_resident(const struct gmem *gmem, uint32_t idx, uint64_t off,
                                   size_t pages_count, uint8_t *ret_resident);

/* The file that the memory is mapped from, or FD_NONE. Borrowed. */
int gmem_file_fd(const struct gmem *gmem);

/* Which pages can be read without being made or fetched: bit 0 of each byte (mincore). Returns 0 or
 * -errno. */
MUST_CHECK int gmem_pages_in_core(const struct gmem *gmem, uint32_t idx, uint64_t off,
                                  size_t pages_count, uint8_t *ret_in_core);

/* Is the memory mapped from this file? fd: borrowed. */
bool gmem_is_mapped_from(const struct gmem *gmem, int fd);

/*
 * A window: a range checked once (when a queue is activated) and then accessed by offset without
 * a search. Borrowed from the gmem. Offsets are checked on every access (cheap); a bad one is our
 * bug and asserts.
 */
struct gmem_window {
    uint8_t *host_; /* private to vmm/mem */
    uint64_t base;  /* guest-physical, for dirty bits */
    uint64_t size;  /* bytes */
    struct gmem *gmem;
};

/* Returns 0 with *ret_window, or -EFAULT (range) / -EINVAL (addr not a multiple of align, a power
 * of two). */
MUST_CHECK int gmem_window_open(struct gmem *gmem, gpa_t addr, uint64_t size, uint64_t align,
                                struct gmem_window *ret_window);

/* Single-fetch copy out of a window. */
void gmem_window_read(const struct gmem_window *window, uint64_t off, void *dst, size_t len);

/* Copy into a window; marks dirty. */
void gmem_window_write(const struct gmem_window *window, uint64_t off, const void *src, size_t len);

/* Aligned 16-bit atomics for ring indexes and flags (G4). store marks dirty. */
uint16_t gmem_window_load_u16_acquire(const struct gmem_window *window, uint64_t off);
uint16_t gmem_window_load_u16_relaxed(const struct gmem_window *window, uint64_t off);
void gmem_window_store_u16_release(const struct gmem_window *window, uint64_t off, uint16_t value);

/* Dirty bits of one region: 1 bit a page, little-endian bit order in 64-bit words, as KVM's log.
 * Takes and clears them. words: at least pages/64 rounded up. Returns 0, -ENOTSUP when not
 * tracked, -EINVAL (idx). */
MUST_CHECK int gmem_dirty_take(struct gmem *gmem, uint32_t region_idx, uint64_t *words,
                               size_t words_count);

/* Are dirty bits kept? */
bool gmem_tracks_dirty(const struct gmem *gmem);

/* Words of a region of `size` bytes. */
static inline size_t gmem_dirty_words_count(uint64_t size)
{
    return (size / GMEM_PAGE_SIZE + 63) / 64;
}

/* Sets bits again that were taken: what was to be done with them has failed. Words as taken. */
void gmem_dirty_give_back(struct gmem *gmem, uint32_t region_idx, const uint64_t *words);
