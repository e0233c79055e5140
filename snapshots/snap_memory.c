/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory into a file: runs of pages that hold something, each by one write straight from the
 * guest's memory; the rest are holes. Thread: vmm, while the machine is paused.
 */
#include "snapshots/snap_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"

/* Pages looked at together: 64 MiB. */
#define CHUNK_PAGES 16384u
/* A run is written when it has so many bytes, so that the disk begins early. */
#define RUN_MAX_SIZE (8u << 20)

/* Pages chosen of those that come by, each with the same chance. */
struct picks {
    uint64_t offs[SNAP_RANDOM_SAMPLES]; /* in the file */
    uint64_t seen_count;
};

/* One region on its way to the file. */
struct walk {
    const struct gmem *gmem;
    const struct snap_file *file;
    struct snap_written *written;
    struct gmem_region_view view;
    uint32_t region_idx;
    uint64_t file_off;
    const uint64_t *dirty; /* of a diff that is tracked; else NULL */
    enum cfg_snapshot_type type;
    uint64_t run_off; /* bytes into the region */
    uint64_t run_len;
    uint64_t random;   /* state of the choice */
    struct picks put;  /* of those that are written */
    struct picks kept; /* of a tracked diff: of those that are not */
    uint8_t there[CHUNK_PAGES];
    uint8_t in_core[CHUNK_PAGES]; /* of a tracked diff */
};

uint64_t snap_memory_size(const struct gmem *gmem)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++)
        size += gmem_region_at(gmem, i).size;
    return size;
}

static int fail_write(const struct walk *walk, int code, struct err *err)
{
    return err_set(err, code, "Cannot write memory: %s (%s)", ERR_OS(code), walk->file->path);
}

/* No vCPU runs and no device writes. */
static bool page_is_zero(const uint8_t *page)
{
    const uint64_t *words = (const uint64_t *)(const void *)page;
    uint64_t any = 0;
    for (size_t i = 0; i < GMEM_PAGE_SIZE / sizeof(*words) && any == 0; i += 8)
        any = words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] | words[i + 5] |
              words[i + 6] | words[i + 7];
    return any == 0;
}

/* xorshift64: which pages are samples need not be a secret. */
static uint64_t random_next(struct walk *walk)
{
    walk->random ^= walk->random << 13;
    walk->random ^= walk->random >> 7;
    walk->random ^= walk->random << 17;
    return walk->random;
}

/* A page that comes by. A multiplication, not a division: there may be a million of them. */
static void pick(struct walk *walk, struct picks *picks, uint64_t off)
{
    uint64_t place = picks->seen_count++;
    if (place >= SNAP_RANDOM_SAMPLES)
        place = (random_next(walk) >> 32) * picks->seen_count >> 32;
    if (place < SNAP_RANDOM_SAMPLES)
        picks->offs[place] = walk->file_off + off;
}

/* How many of them to take when there is room for `room`. */
static uint32_t picks_count(const struct picks *picks, uint32_t room)
{
    return picks->seen_count < room ? (uint32_t)picks->seen_count : room;
}

/* Half of each, or more of the one when there is less of the other. */
static void picks_join(const struct walk *walk, struct snap_written *written)
{
    uint32_t kept = picks_count(&walk->kept, SNAP_RANDOM_SAMPLES / 2);
    uint32_t put = picks_count(&walk->put, SNAP_RANDOM_SAMPLES - kept);
    kept = picks_count(&walk->kept, SNAP_RANDOM_SAMPLES - put);
    memcpy(written->picked, walk->put.offs, put * sizeof(written->picked[0]));
    memcpy(written->picked + put, walk->kept.offs, kept * sizeof(written->picked[0]));
    written->picked_count = put + kept;
    written->pages_count = walk->put.seen_count;
}

static int run_flush(struct walk *walk, struct err *err)
{
    const uint8_t *from = (const uint8_t *)walk->view.host + walk->run_off;
    int rc = fd_pwrite_full(walk->file->fd, from, walk->run_len, walk->file_off + walk->run_off);
    walk->run_len = 0;
    return rc < 0 ? fail_write(walk, rc, err) : 0;
}

/* A page that is zero, in a file that may hold something there. */
static int page_clear(const struct walk *walk, uint64_t off, struct err *err)
{
    static const uint8_t zeros[GMEM_PAGE_SIZE];
    uint64_t at = walk->file_off + off;
    if (fallocate(walk->file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                  GMEM_PAGE_SIZE) == 0)
        return 0;
    int rc = fd_pwrite_full(walk->file->fd, zeros, sizeof(zeros), at);
    return rc < 0 ? fail_write(walk, rc, err) : 0;
}

/* A page that is to be in the file as it is. */
static int page_take(struct walk *walk, uint64_t off, struct err *err)
{
    int rc = 0;
    /* Zeros of a diff are written: a hole of it would say that nothing changed. */
    if (walk->type == CFG_SNAPSHOT_FULL && page_is_zero((const uint8_t *)walk->view.host + off))
        return walk->file->was_same ? page_clear(walk, off, err) : 0;
    if (walk->run_len > 0 &&
        (walk->run_off + walk->run_len != off || walk->run_len >= RUN_MAX_SIZE))
        rc = run_flush(walk, err);
    if (walk->run_len == 0)
        walk->run_off = off;
    walk->run_len += GMEM_PAGE_SIZE;
    pick(walk, &walk->put, off);
    return rc;
}

/* Fills walk->there: which pages of the chunk are looked at. */
static int chunk_look(struct walk *walk, uint64_t off, uint32_t pages_count)
{
    if (walk->type == CFG_SNAPSHOT_DIFF && !walk->dirty)
        return gmem_pages_resident(walk->gmem, walk->region_idx, off, pages_count, walk->there);
    if (walk->type == CFG_SNAPSHOT_FULL)
        return gmem_pages_there(walk->gmem, walk->region_idx, off, pages_count, walk->there);
    for (uint32_t i = 0; i < pages_count; i++) {
        uint64_t page = off / GMEM_PAGE_SIZE + i;
        walk->there[i] = walk->dirty[page / 64] >> (page % 64) & 1;
    }
    return gmem_pages_in_core(walk->gmem, walk->region_idx, off, pages_count, walk->in_core);
}

static int chunk_write(struct walk *walk, uint64_t off, uint32_t pages_count, struct err *err)
{
    int rc = chunk_look(walk, off, pages_count);
    if (rc < 0)
        return err_set(err, rc, "Cannot find the guest's pages: mincore: %s", ERR_OS(rc));
    for (uint32_t i = 0; i < pages_count; i++) {
        uint64_t at = off + (uint64_t)i * GMEM_PAGE_SIZE;
        if (walk->there[i] & 1)
            rc = page_take(walk, at, err);
        else if (walk->type == CFG_SNAPSHOT_FULL && walk->file->was_same)
            rc = page_clear(walk, at, err);
        else if (walk->in_core[i] & 1)
            pick(walk, &walk->kept, at);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int region_write(struct walk *walk, struct err *err)
{
    for (uint64_t off = 0; off < walk->view.size; off += (uint64_t)CHUNK_PAGES * GMEM_PAGE_SIZE) {
        uint64_t left = (walk->view.size - off) / GMEM_PAGE_SIZE;
        uint32_t count = left < CHUNK_PAGES ? (uint32_t)left : CHUNK_PAGES;
        int rc = chunk_write(walk, off, count, err);
        if (rc < 0)
            return rc;
    }
    return run_flush(walk, err);
}

/* What changed in a region since the last snapshot: KVM's log and ours. */
static int take_dirty(struct machine *machine, struct gmem *gmem, uint32_t idx, uint64_t *words,
                      struct err *err)
{
    size_t count = gmem_dirty_words_count(gmem_region_at(gmem, idx).size);
    uint64_t *ours = calloc(count, sizeof(*ours));
    if (!ours)
        return err_set(err, -ENOMEM, "no memory for a region's dirty bits");
    int rc = machine_dirty_log(machine, idx, words, err);
    if (rc == 0)
        rc = gmem_dirty_take(gmem, idx, ours, count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        words[i] |= ours[i];
    free(ours);
    return rc;
}

void snap_written_done(struct snap_written *written)
{
    for (uint32_t i = 0; i < GMEM_REGIONS_MAX; i++) {
        free(written->dirty[i]);
        written->dirty[i] = NULL;
    }
}

void snap_written_give_back(struct gmem *gmem, struct snap_written *written)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++)
        if (written->dirty[i])
            gmem_dirty_give_back(gmem, i, written->dirty[i]);
    snap_written_done(written);
}

/* Of every region. */
static int dirty_take(struct machine *machine, struct gmem *gmem, struct snap_written *written,
                      struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && gmem_tracks_dirty(gmem) && i < gmem_regions_count(gmem); i++) {
        size_t count = gmem_dirty_words_count(gmem_region_at(gmem, i).size);
        written->dirty[i] = calloc(count, sizeof(uint64_t));
        rc = written->dirty[i] ? take_dirty(machine, gmem, i, written->dirty[i], err)
                               : err_set(err, -ENOMEM, "no memory for a region's dirty bits");
    }
    return rc;
}

static int regions_write(struct walk *walk, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < gmem_regions_count(walk->gmem); i++) {
        walk->region_idx = i;
        walk->view = gmem_region_at(walk->gmem, i);
        walk->dirty = walk->written->dirty[i];
        walk->run_len = 0;
        rc = region_write(walk, err);
        walk->file_off += walk->view.size;
    }
    return rc;
}

static void random_seed(struct walk *walk)
{
    if (getrandom(&walk->random, sizeof(walk->random), 0) < 0)
        walk->random = 0;
    walk->random |= 1; /* 0 would stay 0 */
}

int snap_memory_write(struct machine *machine, const struct snap_file *file,
                      enum cfg_snapshot_type type, struct snap_written *ret_written,
                      struct err *err)
{
    struct gmem *gmem = machine_memory(machine);
    struct walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return err_set(err, -ENOMEM, "no memory for copying the guest's");
    *ret_written = (struct snap_written){0};
    random_seed(walk);
    walk->gmem = gmem;
    walk->file = file;
    walk->written = ret_written;
    walk->type = type;
    int rc = dirty_take(machine, gmem, ret_written, err);
    if (rc == 0)
        rc = regions_write(walk, err);
    picks_join(walk, ret_written);
    if (rc < 0)
        snap_written_give_back(gmem, ret_written);
    free(walk);
    return rc;
}

/* ------------------------------------------------------------------ samples */

/* The page at `off` of the file, as guest-physical address. Returns false behind the end. */
static bool page_at(const struct gmem *gmem, uint64_t off, gpa_t *ret_addr)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        if (off < view.size) {
            *ret_addr = gpa(view.base.v + off);
            return true;
        }
        off -= view.size;
    }
    return false;
}

/* The offset in the file of a guest-physical address. Returns false when it is no memory. */
static bool offset_of(const struct gmem *gmem, uint64_t addr, uint64_t *ret_off)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        if (addr >= view.base.v && addr - view.base.v < view.size) {
            *ret_off = before + (addr - view.base.v) / GMEM_PAGE_SIZE * GMEM_PAGE_SIZE;
            return true;
        }
        before += view.size;
    }
    return false;
}

static bool sum_of(const struct gmem *gmem, uint64_t off, uint8_t ret_sum[CRYPTO_CHECKSUM_SIZE])
{
    uint8_t page[GMEM_PAGE_SIZE];
    gpa_t addr;
    if (off % GMEM_PAGE_SIZE != 0 || !page_at(gmem, off, &addr) ||
        gmem_read(gmem, addr, page, sizeof(page)) < 0)
        return false;
    crypto_checksum(page, sizeof(page), ret_sum);
    return true;
}

/* room: how many samples there may be then. */
static void sample_add(const struct gmem *gmem, uint64_t off, uint32_t room,
                       struct snapf_content *content)
{
    struct snapf_sample *sample = &content->samples[content->samples_count];
    for (uint32_t i = 0; i < content->samples_count; i++)
        if (content->samples[i].off == off)
            return;
    if (content->samples_count == room || !sum_of(gmem, off, sample->sum))
        return;
    sample->off = off;
    content->samples_count++;
}

static void sample_address(const struct gmem *gmem, uint64_t addr, struct snapf_content *content)
{
    uint64_t off;
    if (offset_of(gmem, addr, &off))
        sample_add(gmem, off, SNAPF_SAMPLES_MAX - SNAP_RANDOM_SAMPLES, content);
}

/* KVM writes a guest's clock whenever it stops and goes on: two snapshots never agree on it. */
static void sample_clocks(const struct gmem *gmem, const struct machine_state *state,
                          struct snapf_content *content)
{
    for (uint32_t i = 0; i < state->vcpus_count; i++) {
        uint64_t clock = hv_vcpu_state_clock(&state->vcpus[i]);
        if (clock != 0)
            sample_address(gmem, clock, content);
    }
}

static void sample_rings(const struct gmem *gmem, const struct machine_state *state,
                         struct snapf_content *content)
{
    for (uint32_t i = 0; i < state->devices_count; i++) {
        const struct virtio_state *virtio = &state->devices[i].virtio;
        for (uint32_t queue = 0; virtio->active && queue < virtio->queues_count; queue++) {
            sample_address(gmem, virtio->queues[queue].setup.avail, content);
            sample_address(gmem, virtio->queues[queue].setup.used, content);
        }
    }
}

void snap_samples_take(const struct gmem *gmem, const struct snap_written *written,
                       struct snapf_content *content)
{
    const struct machine_state *state = &content->machine;
    sample_address(gmem, state->generation.place.vmgenid_base, content);
    sample_clocks(gmem, state, content);
    sample_rings(gmem, state, content);
    content->samples_fixed_count = content->samples_count;
    for (uint32_t i = 0; i < written->picked_count; i++)
        sample_add(gmem, written->picked[i], SNAPF_SAMPLES_MAX, content);
}

static int fail_sample(const struct snapf_sample *sample, struct err *err)
{
    return err_set(err, -EINVAL,
                   "The memory file is not the one of this state file: its page at byte %llu has "
                   "other content. Load both files of one snapshot; a diff has to be merged onto "
                   "its base first",
                   (unsigned long long)sample->off);
}

int snap_samples_check(const struct gmem *gmem, const struct snapf_content *content,
                       struct err *err)
{
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    for (uint32_t i = 0; i < content->samples_fixed_count; i++) {
        const struct snapf_sample *sample = &content->samples[i];
        if (!sum_of(gmem, sample->off, sum) || memcmp(sum, sample->sum, sizeof(sum)) != 0)
            return fail_sample(sample, err);
    }
    return 0;
}

int snap_samples_check_file(int fd, const struct snapf_content *content, struct err *err)
{
    uint8_t page[GMEM_PAGE_SIZE];
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    for (uint32_t i = content->samples_fixed_count; i < content->samples_count; i++) {
        const struct snapf_sample *sample = &content->samples[i];
        ssize_t len =
            sample->off <= INT64_MAX ? fd_pread_full(fd, page, sizeof(page), sample->off) : 0;
        if (len < 0)
            return err_set(err, (int)len, "Failed to read the memory file: %s", ERR_OS((int)len));
        crypto_checksum(page, (size_t)len, sum);
        if (len != sizeof(page) || memcmp(sum, sample->sum, sizeof(sum)) != 0)
            return fail_sample(sample, err);
    }
    return 0;
}
