/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtqueue and virtio-blk over guest memory, with a driver that mostly keeps to the
 * rules, a disk that answers in any way, resets, and guest bytes that change between and inside
 * the device's steps. What must hold is in fuzz_blk_world.h. Input: configuration bytes, then
 * operations (tests/fuzz/make_corpus.py writes such). Single thread.
 */
#include "tests/fuzz/fuzz_blk_world.h"

#include "base/le.h"
#include "base/log.h"
#include "devices/blk/blk_req.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sectors of disks; one of them has none. */
static const uint16_t disk_sectors[] = {64, 1, 0, 1000};
static const uint32_t data_lens[] = {512, 1024, 4096, 8192, 0, 1, 511, 513, 20, 19, 40960, 131072};

/* Payload addresses that no region holds, some of them reaching out of one. */
static const uint64_t bad_addrs[] = {0,          0xf800,      0x23f00,    0x43f01,
                                     0x30000,    1ull << 63,  UINT64_MAX, UINT64_MAX - 600,
                                     0x3ffffull, 0x1000010000};

/* The one world of this process. */
static struct fuzz_blk *the_world(void)
{
    static struct fuzz_blk fuzz;
    return &fuzz;
}

static int open_disk(const char *path, bool read_only, struct disk_ring *ring,
                     disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                     struct err *err)
{
    struct fuzz_disk *disk = &the_world()->disk;
    (void)path; /* there is one disk, and no ring */
    (void)ring;
    (void)err; /* only set on failure */
    disk->bytes = calloc(1, disk->sectors_count * DISK_SECTOR_SIZE + 1);
    FUZZ_CHECK(disk->bytes);
    disk->read_only = read_only;
    disk->notify = notify;
    disk->notify_ctx = notify_ctx;
    *ret_disk = (struct disk){.ops = &fuzz_disk_ops,
                              .ctx = disk,
                              .size = disk->sectors_count * DISK_SECTOR_SIZE + 1,
                              .sectors_count = disk->sectors_count,
                              .serial = "fuzz",
                              .read_only = read_only};
    return 0;
}

/* The driver sets up from nothing: queue size, features, sometimes ring addresses of its own. */
static void activate(struct fuzz_blk *fuzz)
{
    static const uint16_t odd_sizes[] = {0, 3, 255, 257, 512, 32768, 65535};
    struct virtio_dev *dev = fuzz_dev(fuzz);
    uint32_t size_choice = fuzz_pick(&fuzz->in, 16);
    uint8_t flags = fuzz_u8(&fuzz->in);
    uint16_t size = size_choice <= 8 ? (uint16_t)(1u << size_choice) : odd_sizes[size_choice - 9];

    vqd_init(&fuzz->driver, fuzz->gmem, size_choice <= 8 ? size : 1);
    memset(fuzz->slots, 0, sizeof(fuzz->slots));
    fuzz->slots_count = size / SLOT_DESCS < SLOTS_MAX ? size / SLOT_DESCS : SLOTS_MAX;
    fuzz->exact = !FUZZ_SCRIBBLES;
    fuzz->may_break = fuzz->kick_pending = fuzz->owes_kick = fuzz->needs_reset = false;
    fuzz->flip = (struct fuzz_flip){0};
    fuzz->told_avail = 0;

    dev->acked = dev->offered;
    if (!(flags & 1))
        dev->acked &= ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    if (!(flags & 2))
        dev->acked &= ~(1ull << VIRTIO_RING_F_INDIRECT_DESC);
    struct vq_setup setup = vqd_setup(&fuzz->driver);
    setup.size = size;
    setup.ready = !(flags & 4);
    if (flags & 8) {
        setup.desc = LOW_BASE + fuzz_u16(&fuzz->in);
        setup.avail = LOW_BASE + fuzz_u16(&fuzz->in) + (flags & 16 ? LOW_SIZE - 0x8000 : 0);
        setup.used = LOW_BASE + fuzz_u16(&fuzz->in);
        fuzz->exact = false;
    }
    dev->queues[0].setup = setup;
    (void)pthread_mutex_lock(&dev->lock);
    int rc = virtio_dev_activate(dev, fuzz->gmem);
    (void)pthread_mutex_unlock(&dev->lock);
    FUZZ_CHECK((rc == 0) == dev->active && (rc < 0) == dev->broken);
    FUZZ_CHECK(rc < 0 || (size_choice <= 8 && setup.ready));
    FUZZ_CHECK(rc == 0 || size_choice > 8 || !setup.ready || (flags & 8));
}

static void reset(struct fuzz_blk *fuzz)
{
    struct virtio_dev *dev = fuzz_dev(fuzz);
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
    FUZZ_CHECK(!dev->active && !dev->broken && dev->acked == 0);
    FUZZ_CHECK(fuzz->disk.pending_count == 0 && fuzz->disk.done_count == 0);
    FUZZ_CHECK(vq_in_flight_count(fuzz_vq(fuzz)) == 0);

    /* The driver has its memory back: what the engine says now changes none of it. */
    fuzz_memory_save(fuzz);
    memset(fuzz->dirty, 0, sizeof(fuzz->dirty));
    fuzz->disk.notify(fuzz->disk.notify_ctx);
    fuzz_memory_check(fuzz, false);
}

/* A table of descriptors that are being chained. */
struct table {
    uint64_t addr;
    uint16_t first;
    uint16_t count;
    uint16_t count_max;
};

static void chain_add(struct fuzz_blk *fuzz, struct table *table, uint64_t addr, uint32_t len,
                      bool writable)
{
    uint16_t idx = (uint16_t)(table->first + table->count);
    if (table->count == table->count_max)
        return;
    if (table->count) /* the one before goes on here */
        *fuzz_host(fuzz, table->addr + (idx - 1u) * 16ull + 12) |= VRING_DESC_F_NEXT;
    vqd_desc(&fuzz->driver, table->addr, idx, addr, len, writable ? VRING_DESC_F_WRITE : 0,
             (uint16_t)(idx + 1));
    table->count++;
}

struct wish {
    uint32_t type;
    uint64_t sector;
    uint64_t data_addr;
    uint32_t data_len;
    uint32_t header_len;
    bool data_writable;
    bool split_header;
    bool split_data;
    bool merged_status;
    bool no_status;
    bool bad_status;
    bool indirect;
};

static struct wish wish_read(struct fuzz_blk *fuzz)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN,
                                     VIRTIO_BLK_T_OUT,
                                     VIRTIO_BLK_T_IN,
                                     VIRTIO_BLK_T_FLUSH,
                                     VIRTIO_BLK_T_GET_ID,
                                     VIRTIO_BLK_T_OUT,
                                     77,
                                     VIRTIO_BLK_T_DISCARD};
    uint8_t what = fuzz_u8(&fuzz->in);
    uint8_t how = fuzz_u8(&fuzz->in);
    uint8_t where = fuzz_u8(&fuzz->in);
    uint8_t odd = fuzz_u8(&fuzz->in);
    struct wish wish = {
        .type = types[what % ARRAY_LEN(types)],
        .sector = where,
        .data_len = data_lens[(what >> 3) % ARRAY_LEN(data_lens)],
        .header_len = BLK_HEADER_SIZE,
        .split_header = how & 1,
        .split_data = how & 2,
        .merged_status = how & 4,
        .indirect = how & 8,
        .data_addr = how & 16 ? HIGH_BASE : DATA_BASE + (where % 8) * 512ull,
    };
    wish.data_writable = wish.type != VIRTIO_BLK_T_OUT;
    if (odd < 0x20)
        wish.data_addr = bad_addrs[odd % ARRAY_LEN(bad_addrs)];
    else if (odd < 0x28)
        wish.header_len = odd & 1 ? 15 : 0;
    else if (odd < 0x2c)
        wish.no_status = true;
    else if (odd < 0x30)
        wish.bad_status = true;
    else if (odd < 0x38)
        wish.sector = UINT64_MAX / (odd & 7 ? odd & 7u : 1u);
    return wish;
}

/* The chain of a wish; returns what of it the device may write. */
static uint32_t chain_build(struct fuzz_blk *fuzz, const struct wish *wish, uint32_t slot,
                            struct table *table)
{
    uint64_t header = HEADER_BASE + slot * BLK_HEADER_SIZE;
    uint64_t status = wish->bad_status ? UINT64_MAX : STATUS_BASE + slot;
    uint32_t data_len = wish->data_len;
    uint32_t merged_len = wish->merged_status && wish->data_writable ? BLK_STATUS_SIZE : 0;
    uint32_t writable_len = 0;

    if (wish->split_header && wish->header_len > 7) {
        chain_add(fuzz, table, header, 7, false);
        chain_add(fuzz, table, header + 7, wish->header_len - 7, false);
    } else {
        chain_add(fuzz, table, header, wish->header_len, false);
    }
    if (wish->split_data && data_len > 100) {
        chain_add(fuzz, table, wish->data_addr, 100, wish->data_writable);
        chain_add(fuzz, table, wish->data_addr + 100, data_len - 100 + merged_len,
                  wish->data_writable);
    } else if (data_len + merged_len) {
        chain_add(fuzz, table, wish->data_addr, data_len + merged_len, wish->data_writable);
    }
    if (wish->data_writable)
        writable_len = data_len + merged_len;
    if (merged_len || wish->no_status)
        return writable_len;
    if (table->count == table->count_max)
        table->count--; /* no room: the status byte takes the last one's place */
    chain_add(fuzz, table, status, BLK_STATUS_SIZE, true);
    return writable_len + BLK_STATUS_SIZE;
}

/* Offers a request in a free slot. */
static void op_offer(struct fuzz_blk *fuzz)
{
    const struct wish wish = wish_read(fuzz);
    uint32_t slot = 0;
    while (slot < fuzz->slots_count && fuzz->slots[slot].outstanding)
        slot++;
    if (slot == fuzz->slots_count)
        return;
    struct {
        le32_t type;
        le32_t reserved;
        le64_t sector;
    } header = {le32_put(wish.type), {0}, le64_put(wish.sector)};
    FUZZ_CHECK(gmem_write(fuzz->gmem, gpa(HEADER_BASE + slot * sizeof(header)), &header,
                          sizeof(header)) == 0);
    *fuzz_host(fuzz, STATUS_BASE + slot) = STATUS_UNWRITTEN;

    uint16_t head = (uint16_t)(slot * SLOT_DESCS);
    struct table direct = {VQD_DESC, head, 0, SLOT_DESCS};
    struct table indirect = {VQD_INDIRECT + slot * 128ull, 0, 0, 8};
    bool is_indirect = wish.indirect && fuzz->driver.size >= 8;
    struct table *table = is_indirect ? &indirect : &direct;
    uint32_t writable_len = chain_build(fuzz, &wish, slot, table);
    if (is_indirect)
        vqd_desc(&fuzz->driver, VQD_DESC, head, indirect.addr, indirect.count * 16u,
                 VRING_DESC_F_INDIRECT, 0);
    fuzz->slots[slot] = (struct fuzz_slot){
        .outstanding = true,
        .own_status = !wish.no_status && !wish.bad_status && !wish.merged_status,
        .writable_len = writable_len,
    };
    bool status_lost =
        wish.no_status || wish.bad_status ||
        (wish.merged_status && !gmem_contains(fuzz->gmem, gpa(wish.data_addr), wish.data_len + 1u));
    if (wish.header_len < BLK_HEADER_SIZE || status_lost ||
        (is_indirect && !fuzz_vq(fuzz)->indirect))
        fuzz->may_break = true;
    vqd_offer(&fuzz->driver, head);
    fuzz->owes_kick = true;
}

/* Notifies only if the device asked for it, as a driver does. */
static void op_kick_politely(struct fuzz_blk *fuzz)
{
    uint16_t now = fuzz->driver.avail_idx;
    uint16_t was = fuzz->told_avail;
    bool wanted = fuzz_vq(fuzz)->event_idx
                      ? vring_need_event(vqd_avail_event(&fuzz->driver), now, was)
                      : !(vqd_used_flags(&fuzz->driver) & VRING_USED_F_NO_NOTIFY);
    fuzz->told_avail = now;
    fuzz->owes_kick = false;
    if (wanted)
        fuzz_step(fuzz, STEP_QUEUE);
}

static void op_kick(struct fuzz_blk *fuzz)
{
    fuzz->told_avail = fuzz->driver.avail_idx;
    fuzz_step(fuzz, STEP_QUEUE);
}

/* An address near something that matters. */
static uint64_t target_addr(struct fuzz_blk *fuzz)
{
    static const uint64_t bases[] = {VQD_DESC,    VQD_AVAIL,   VQD_USED, VQD_INDIRECT,
                                     HEADER_BASE, STATUS_BASE, LOW_BASE, HIGH_BASE};
    uint8_t choice = fuzz_u8(&fuzz->in);
    uint64_t off = choice & 8 ? fuzz_u16(&fuzz->in) : fuzz_u8(&fuzz->in);
    return bases[choice % ARRAY_LEN(bases)] + off;
}

static void op_flip_now(struct fuzz_blk *fuzz)
{
    uint64_t addr = target_addr(fuzz);
    uint8_t value = fuzz_u8(&fuzz->in);
    fuzz->exact = false;
    IGNORE_RESULT(gmem_write(fuzz->gmem, gpa(addr), &value, 1)); /* a hole: no change */
}

static void op_flip_later(struct fuzz_blk *fuzz)
{
    uint64_t addr = target_addr(fuzz);
    fuzz->exact = false;
    fuzz->flip = (struct fuzz_flip){
        .countdown = fuzz_u8(&fuzz->in) % 8 + 1u, .addr = addr, .value = fuzz_u8(&fuzz->in)};
}

static void op_raw_desc(struct fuzz_blk *fuzz)
{
    uint8_t where = fuzz_u8(&fuzz->in);
    uint8_t flags = fuzz_u8(&fuzz->in);
    uint64_t addr =
        flags & 0x10 ? bad_addrs[fuzz_pick(&fuzz->in, ARRAY_LEN(bad_addrs))] : target_addr(fuzz);
    uint32_t len = flags & 0x20 ? fuzz_u32(&fuzz->in) : fuzz_u8(&fuzz->in) * 16u;
    uint16_t next = fuzz_u8(&fuzz->in);
    uint64_t table = where & 0x80 ? VQD_INDIRECT : VQD_DESC;
    fuzz->exact = false;
    vqd_desc(&fuzz->driver, table, where & 0x7f, addr, len, (uint16_t)(flags & 0x0f), next);
}

static void op_raw_offer(struct fuzz_blk *fuzz)
{
    fuzz->exact = false;
    vqd_offer(&fuzz->driver, fuzz_u16(&fuzz->in));
    fuzz->owes_kick = true;
}

static void op_raw_avail_idx(struct fuzz_blk *fuzz)
{
    fuzz->exact = false;
    vqd_set_avail_idx(&fuzz->driver, fuzz_u16(&fuzz->in));
}

/* What a driver may do at any time. */
static void op_suppress(struct fuzz_blk *fuzz)
{
    uint8_t choice = fuzz_u8(&fuzz->in);
    if (choice & 1)
        vqd_set_avail_flags(&fuzz->driver, choice >> 1 & 1);
    else
        vqd_set_used_event(&fuzz->driver, (uint16_t)(fuzz->driver.used_seen + (choice >> 1)));
}

static void op_complete(struct fuzz_blk *fuzz)
{
    uint8_t choice = fuzz_u8(&fuzz->in);
    uint32_t count = fuzz->disk.pending_count;
    if (count)
        fuzz_disk_complete(&fuzz->disk, (choice & 0x7f) % count);
    else
        fuzz_disk_complete_orphans(&fuzz->disk);
    if (choice & 0x80)
        fuzz_step(fuzz, STEP_NOTIFY);
}

static void op_behave(struct fuzz_blk *fuzz)
{
    uint8_t choice = fuzz_u8(&fuzz->in);
    fuzz->disk.later = choice & 1;
    fuzz->disk.is_short = (choice & 6) == 6;
    fuzz->disk.fail_with = (choice & 6) == 2 ? -EIO : 0;
    fuzz->disk.start_result = (choice & 0x18) == 0x18 ? -EINVAL : 0;
    fuzz->disk.kick_result = (choice & 0x18) == 8 ? -EIO : 0;
    fuzz->disk.drain_result = (choice & 0x60) == 0x60 ? -EIO : 0;
    fuzz->disk.room = choice & 0x80 ? fuzz_pick(&fuzz->in, 8) : FUZZ_DISK_REQS_MAX;
}

static void op_wait(struct fuzz_blk *fuzz)
{
    fuzz->now_ns += fuzz_u8(&fuzz->in) * 10 * NS_PER_MS;
    fuzz_step(fuzz, STEP_TIMER);
}

/* Everything gets its turn until nothing is left: a request of a lawful driver is not forgotten. */
static void op_settle(struct fuzz_blk *fuzz)
{
    if (!fuzz_dev(fuzz)->active)
        return;
    fuzz->disk.room = FUZZ_DISK_REQS_MAX;
    if (fuzz->owes_kick)
        op_kick(fuzz);
    uint32_t rounds = fuzz->exact ? SLOTS_MAX + 2 : 3; /* the limiter lets one through a round */
    for (uint32_t round = 0; round < rounds; round++) {
        if (fuzz->kick_pending)
            fuzz_step(fuzz, STEP_QUEUE);
        while (fuzz->disk.pending_count)
            fuzz_disk_complete(&fuzz->disk, fuzz->disk.pending_count / 2);
        fuzz_step(fuzz, STEP_NOTIFY);
        fuzz->now_ns += 60 * NS_PER_S;
        fuzz_step(fuzz, STEP_TIMER);
        if (fuzz->exact && vqd_used_idx(&fuzz->driver) == fuzz->driver.avail_idx)
            break;
    }
    if (fuzz_dev(fuzz)->broken || !fuzz->exact)
        return;
    for (uint32_t slot = 0; slot < fuzz->slots_count; slot++)
        FUZZ_CHECK(!fuzz->slots[slot].outstanding);
}

static void op_restart(struct fuzz_blk *fuzz)
{
    reset(fuzz);
    activate(fuzz);
}

typedef void (*fuzz_op)(struct fuzz_blk *fuzz);

/* By operation byte, modulo; offers and kicks are the most likely. make_corpus.py knows the
 * order. */
static const fuzz_op ops[] = {
    op_offer,      op_offer,    op_offer,     op_kick,          op_kick_politely, op_complete,
    op_behave,     op_wait,     op_suppress,  op_settle,        op_restart,       op_flip_now,
    op_flip_later, op_raw_desc, op_raw_offer, op_raw_avail_idx,
};

static void create(struct fuzz_blk *fuzz)
{
    static char name[] = "fuzz";
    uint8_t flags = fuzz_u8(&fuzz->in);
    struct cfg_drive drive = {
        .drive_id = name,
        .path_on_host = name,
        .is_read_only = flags & 4,
        .cache_type = flags & 8 ? CFG_CACHE_WRITEBACK : CFG_CACHE_UNSAFE,
    };
    drive.rate_limiter.present = flags & 0x30;
    if (flags & 0x10)
        drive.rate_limiter.ops = (struct cfg_bucket){true, 2, 1, 100};
    if (flags & 0x20)
        drive.rate_limiter.bandwidth = (struct cfg_bucket){true, 4096, 0, 1000};
    fuzz->disk = (struct fuzz_disk){.sectors_count = disk_sectors[flags & 3],
                                    .room = FUZZ_DISK_REQS_MAX,
                                    .gmem = fuzz->gmem,
                                    .on_start = fuzz_on_disk_start,
                                    .on_start_ctx = fuzz};
    const struct blk_env env = {fuzz->loop, &fuzz->clock, NULL, open_disk};
    struct err err = ERR_INIT;
    FUZZ_CHECK(blk_create(&drive, &env, &fuzz->blk, &err) == 0);
    fuzz_dev(fuzz)->transport_ops = &fuzz_transport_ops;
    fuzz_dev(fuzz)->transport = fuzz;
}

/* The world, made at the first input and kept, with its memory cleared. */
static struct fuzz_blk *world_fresh(void)
{
    struct fuzz_blk *fuzz = the_world();
    if (!fuzz->gmem) {
        struct err err = ERR_INIT;
        struct log_settings settings = log_get();
        settings.level = LOG_LEVEL_OFF;
        log_set(&settings);
        fuzz_gmem_create(fuzz);
        fuzz->clock = (struct clock){fuzz_now, fuzz};
        FUZZ_CHECK(loop_create(&fuzz->clock, &fuzz->loop, &err) == 0);
    }
    memset(fuzz_host(fuzz, LOW_BASE), 0, LOW_SIZE);
    memset(fuzz_host(fuzz, HIGH_BASE), 0, HIGH_SIZE);
    fuzz->now_ns = NS_PER_S;
    return fuzz;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_blk *fuzz = world_fresh();
    fuzz->in = (struct fuzz_bytes){data, size};
    create(fuzz);
    activate(fuzz);
    for (uint32_t i = 0; i < OPS_MAX && fuzz->in.left; i++) {
        fuzz_op op = ops[fuzz_pick(&fuzz->in, ARRAY_LEN(ops))];
        op(fuzz);
    }
    op_settle(fuzz);
    reset(fuzz);
    fuzz->disk.drain_result = 0;
    blk_free(fuzz->blk);
    fuzz->blk = NULL;
    return 0;
}
