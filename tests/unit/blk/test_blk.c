/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk over a disk in memory that completes at once, later, never or badly. Single thread.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "devices/blk/blk.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (1024u * 1024)
#define DISK_SIZE (64u * 512)
#define HEADER 0x40000ull
#define DATA 0x50000ull
#define STATUS 0x60000ull
#define STATUS_UNWRITTEN 0x5a
#define QUEUE_SIZE 16u

/* The disk: bytes in memory, and how it behaves. */
struct fake_disk {
    uint8_t bytes[DISK_SIZE];
    bool later;       /* requests complete when the test says so */
    uint32_t room;    /* requests it takes before -EBUSY */
    int fail_with;    /* result of every transfer, when negative */
    int drain_result; /* negative: drain gives up, everything stays in flight */
    uint32_t flushes;
    uint32_t kicks;
    struct disk_req *pending[VQ_SIZE_MAX];
    uint32_t pending_count;
    uint32_t done_count; /* of pending, from the front */
    disk_notify_fn notify;
    void *notify_ctx;
};

static struct {
    struct fake_disk disk;
    struct gmem *gmem;
    struct loop *loop;
    struct blk *blk;
    struct vq_driver driver;
    uint64_t now_ns;
    int open_result;
} fix;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fix.now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now};

static void carry_out(struct disk_req *req)
{
    uint64_t off = req->off;
    if (req->op == DISK_FLUSH) {
        fix.disk.flushes++;
        req->result = fix.disk.fail_with;
        return;
    }
    for (uint32_t i = 0; i < req->iov_count; i++) {
        uint8_t *at = fix.disk.bytes + off;
        if (req->op == DISK_READ)
            memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
        else
            memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
        off += req->iov[i].iov_len;
    }
    req->result = fix.disk.fail_with ? fix.disk.fail_with : (int64_t)req->len;
}

static int fake_start(void *ctx, struct disk_req *req)
{
    (void)ctx;
    if (!fix.disk.later) {
        carry_out(req);
        return 1;
    }
    if (fix.disk.pending_count == fix.disk.room)
        return -EBUSY;
    fix.disk.pending[fix.disk.pending_count++] = req;
    return 0;
}

static int fake_kick(void *ctx)
{
    (void)ctx;
    fix.disk.kicks++;
    return 0;
}

static struct disk_req *fake_reap(void *ctx)
{
    (void)ctx;
    if (fix.disk.done_count == 0)
        return NULL;
    struct disk_req *req = fix.disk.pending[0];
    fix.disk.pending_count--;
    fix.disk.done_count--;
    memmove(fix.disk.pending, fix.disk.pending + 1,
            fix.disk.pending_count * sizeof(fix.disk.pending[0]));
    return req;
}

static void complete_all(void)
{
    for (uint32_t i = fix.disk.done_count; i < fix.disk.pending_count; i++)
        carry_out(fix.disk.pending[i]);
    fix.disk.done_count = fix.disk.pending_count;
}

static int fake_drain(void *ctx)
{
    (void)ctx;
    if (fix.disk.drain_result < 0)
        return fix.disk.drain_result;
    complete_all();
    return 0;
}

static void fake_close(void *ctx)
{
    (void)ctx;
}

static const struct disk_ops fake_ops = {fake_start, fake_kick, fake_reap, fake_drain, fake_close};

static int fake_open(const char *path, bool read_only, struct disk_ring *ring,
                     disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                     struct err *err)
{
    (void)ring;
    if (fix.open_result)
        return err_set(err, fix.open_result, "no %s", path);
    fix.disk.notify = notify;
    fix.disk.notify_ctx = notify_ctx;
    *ret_disk = (struct disk){.ops = &fake_ops,
                              .size = DISK_SIZE + 100,
                              .sectors_count = DISK_SIZE / 512,
                              .serial = "serial-0123456789abc",
                              .read_only = read_only};
    return 0;
}

/* disk_close frees a real disk; the fake's ops make it harmless. */
static int create(const struct cfg_drive *drive)
{
    const struct blk_env env = {fix.loop, &fake_clock, NULL, fake_open};
    struct err err = ERR_INIT;
    int rc = blk_create(drive, &env, &fix.blk, &err);
    if (rc < 0)
        return rc;
    struct virtio_dev *dev = blk_virtio(fix.blk);
    dev->acked = dev->offered & ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    vqd_init(&fix.driver, fix.gmem, QUEUE_SIZE);
    dev->queues[0].setup = vqd_setup(&fix.driver);
    return virtio_dev_activate(dev, fix.gmem);
}

static char drive_id[] = "rootfs";
static char drive_path[] = "/disk";

static struct cfg_drive plain_drive(void)
{
    return (struct cfg_drive){.drive_id = drive_id, .path_on_host = drive_path};
}

static int setup_base(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    fix.now_ns = NS_PER_S;
    fix.disk.room = VQ_SIZE_MAX;
    for (uint32_t i = 0; i < DISK_SIZE; i++)
        fix.disk.bytes[i] = (uint8_t)(i / 512 + 1);
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0)
        return -1;
    return loop_create(&fake_clock, &fix.loop, &err);
}

static int setup(void **state)
{
    const struct cfg_drive drive = plain_drive();
    return setup_base(state) < 0 ? -1 : create(&drive);
}

static int teardown(void **state)
{
    (void)state;
    if (fix.blk)
        virtio_dev_reset(blk_virtio(fix.blk));
    blk_free(fix.blk);
    loop_free(fix.loop);
    gmem_free(fix.gmem);
    return 0;
}

static void write_header(uint64_t addr, uint32_t type, uint64_t sector)
{
    struct {
        le32_t type;
        le32_t reserved;
        le64_t sector;
    } header = {le32_put(type), {0}, le64_put(sector)};
    assert_int_equal(gmem_write(fix.gmem, gpa(addr), &header, sizeof(header)), 0);
}

/* Header, one data descriptor (none when data_len is 0), status; descriptors 3 * slot. */
static void offer(uint16_t slot, uint32_t type, uint64_t sector, uint32_t data_len)
{
    uint16_t head = (uint16_t)(slot * 3);
    uint8_t unwritten = STATUS_UNWRITTEN;
    uint16_t data_flags = type == VIRTIO_BLK_T_OUT ? 0 : VRING_DESC_F_WRITE;
    write_header(HEADER + slot * 16ull, type, sector);
    assert_int_equal(gmem_write(fix.gmem, gpa(STATUS + slot), &unwritten, 1), 0);
    vqd_desc(&fix.driver, VQD_DESC, head, HEADER + slot * 16ull, 16, VRING_DESC_F_NEXT,
             (uint16_t)(data_len ? head + 1 : head + 2));
    vqd_desc(&fix.driver, VQD_DESC, (uint16_t)(head + 1), DATA + slot * 0x2000ull, data_len,
             (uint16_t)(VRING_DESC_F_NEXT | data_flags), (uint16_t)(head + 2));
    vqd_desc(&fix.driver, VQD_DESC, (uint16_t)(head + 2), STATUS + slot, 1, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.driver, head);
}

static void kick(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    (void)pthread_mutex_lock(&dev->lock);
    if (!dev->broken)
        dev->ops->on_queue(dev, 0);
    (void)pthread_mutex_unlock(&dev->lock);
}

static uint8_t status_of(uint16_t slot)
{
    struct iovec iov;
    assert_int_equal(gmem_iov(fix.gmem, gpa(STATUS + slot), 1, false, &iov), 0);
    return *(const uint8_t *)iov.iov_base;
}

/* The next used entry is this slot's, with this length and status. */
static void expect_used(uint16_t slot, uint32_t len, uint8_t status)
{
    uint32_t id;
    uint32_t used_len;
    assert_int_equal(vqd_take_used(&fix.driver, &id, &used_len), 1);
    assert_int_equal(id, slot * 3);
    assert_int_equal(used_len, len);
    assert_int_equal(status_of(slot), status);
}

static void expect_nothing_used(void)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.driver, &id, &len), 0);
}

static void test_blk_create__config_and_features__as_specified(void **state)
{
    (void)state;
    struct virtio_dev *dev = blk_virtio(fix.blk);
    assert_int_equal(dev->config_size, 16);
    assert_int_equal(dev->config[0], DISK_SIZE / 512);
    assert_int_equal(dev->config[12], 254);
    assert_int_equal(dev->offered,
                     (1ull << 32) | (1ull << 29) | (1ull << 28) | (1ull << VIRTIO_BLK_F_SEG_MAX));
    assert_int_equal(blk_invisible_tail_size(fix.blk), 100);
}

static void test_blk_create__read_only_writeback__ro_and_flush_offered(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.is_read_only = true;
    drive.cache_type = CFG_CACHE_WRITEBACK;
    assert_int_equal(create(&drive), 0);
    uint64_t offered = blk_virtio(fix.blk)->offered;
    assert_true(offered & (1ull << VIRTIO_BLK_F_RO));
    assert_true(offered & (1ull << VIRTIO_BLK_F_FLUSH));
}

static void test_blk_create__disk_cannot_be_opened__error_passed_on(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    fix.open_result = -EACCES;
    assert_int_equal(create(&drive), -EACCES);
    assert_null(fix.blk);
}

static void test_blk_read__whole_sectors__data_and_status(void **state)
{
    (void)state;
    uint8_t data[1024];
    offer(0, VIRTIO_BLK_T_IN, 2, sizeof(data));
    kick();
    expect_used(0, sizeof(data) + 1, VIRTIO_BLK_S_OK);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA), data, sizeof(data)), 0);
    assert_int_equal(data[0], 3);
    assert_int_equal(data[512], 4);
}

static void test_blk_write__then_read_back__same_bytes(void **state)
{
    (void)state;
    assert_int_equal(gmem_write(fix.gmem, gpa(DATA), "written", 7), 0);
    offer(0, VIRTIO_BLK_T_OUT, 5, 512);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_OK);
    assert_memory_equal(fix.disk.bytes + 5 * 512, "written", 7);
}

static void test_blk_request__outside_disk_or_odd_length__ioerr(void **state)
{
    (void)state;
    const struct {
        uint64_t sector;
        uint32_t len;
    } bad[] = {{DISK_SIZE / 512, 512},
               {DISK_SIZE / 512 - 1, 1024},
               {UINT64_MAX, 512},
               {UINT64_MAX / 512, 1024},
               {0, 100}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        offer(0, VIRTIO_BLK_T_IN, bad[i].sector, bad[i].len);
        kick();
        expect_used(0, 1, VIRTIO_BLK_S_IOERR);
    }
}

static void test_blk_request__unknown_type__unsupp(void **state)
{
    (void)state;
    offer(0, 77, 0, 512);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_UNSUPP);
}

static void test_blk_get_id__enough_room__serial(void **state)
{
    (void)state;
    char id[20];
    offer(0, VIRTIO_BLK_T_GET_ID, 0, 20);
    kick();
    expect_used(0, 21, VIRTIO_BLK_S_OK);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA), id, 20), 0);
    assert_memory_equal(id, "serial-0123456789abc", 20);
}

static void test_blk_get_id__short_buffer__ioerr(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_GET_ID, 0, 19);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
}

static void test_blk_flush__without_data__reaches_the_disk(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_FLUSH, 0, 0);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_OK);
    assert_int_equal(fix.disk.flushes, 1);
}

static void test_blk_write__read_only_disk__ioerr_and_untouched(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.is_read_only = true;
    assert_int_equal(create(&drive), 0);
    offer(0, VIRTIO_BLK_T_OUT, 0, 512);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
    assert_int_equal(fix.disk.bytes[0], 1);
}

static void test_blk_request__disk_error__ioerr(void **state)
{
    (void)state;
    fix.disk.fail_with = -EIO;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_FLUSH, 0, 0);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
    expect_used(1, 1, VIRTIO_BLK_S_IOERR);
}

static void test_blk_request__payload_outside_memory__ioerr(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    vqd_desc(&fix.driver, VQD_DESC, 1, MEMORY_SIZE - 100, 512,
             VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
}

static void test_blk_request__header_and_status_oddly_framed__served(void **state)
{
    (void)state;
    uint8_t byte;
    /* header in two pieces; data and status in one descriptor */
    write_header(HEADER, VIRTIO_BLK_T_IN, 1);
    vqd_desc(&fix.driver, VQD_DESC, 0, HEADER, 7, VRING_DESC_F_NEXT, 1);
    vqd_desc(&fix.driver, VQD_DESC, 1, HEADER + 7, 9, VRING_DESC_F_NEXT, 2);
    vqd_desc(&fix.driver, VQD_DESC, 2, DATA, 513, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.driver, 0);
    kick();
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.driver, &id, &len), 1);
    assert_int_equal(len, 513);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA + 511), &byte, 1), 0);
    assert_int_equal(byte, 2);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA + 512), &byte, 1), 0);
    assert_int_equal(byte, VIRTIO_BLK_S_OK);
}

static void expect_broken(void)
{
    kick();
    assert_true(blk_virtio(fix.blk)->broken);
    assert_int_equal(atomic_load(&blk_virtio(fix.blk)->irq_status), VIRTIO_IRQ_CONFIG);
    expect_nothing_used();
}

static void test_blk_request__no_room_for_status__device_broken(void **state)
{
    (void)state;
    vqd_desc(&fix.driver, VQD_DESC, 0, HEADER, 16, 0, 0);
    vqd_offer(&fix.driver, 0);
    expect_broken();
}

static void test_blk_request__header_too_short__device_broken(void **state)
{
    (void)state;
    vqd_desc(&fix.driver, VQD_DESC, 0, HEADER, 15, VRING_DESC_F_NEXT, 1);
    vqd_desc(&fix.driver, VQD_DESC, 1, STATUS, 1, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.driver, 0);
    expect_broken();
}

static void test_blk_request__status_outside_memory__device_broken(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_FLUSH, 0, 0);
    vqd_desc(&fix.driver, VQD_DESC, 2, UINT64_MAX, 1, VRING_DESC_F_WRITE, 0);
    expect_broken();
}

/* The buffer's last byte is the status byte; counted on from its address it would be in memory. */
static void test_blk_request__status_address_wraps__device_broken(void **state)
{
    (void)state;
    write_header(HEADER, 77, 0);
    vqd_desc(&fix.driver, VQD_DESC, 0, HEADER, 16, VRING_DESC_F_NEXT, 1);
    vqd_desc(&fix.driver, VQD_DESC, 1, 0ull - 0x100, 0x100 + (uint32_t)DATA, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.driver, 0);
    expect_broken();
}

static void test_blk_async__completions_in_any_pass__all_used_once(void **state)
{
    (void)state;
    fix.disk.later = true;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 1, 512);
    kick();
    expect_nothing_used();
    assert_int_equal(fix.disk.kicks, 1);
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    expect_used(1, 513, VIRTIO_BLK_S_OK);
    expect_nothing_used();
}

static void test_blk_async__engine_full__rest_served_after_completion(void **state)
{
    (void)state;
    fix.disk.later = true;
    fix.disk.room = 1;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 1, 512);
    kick();
    assert_int_equal(fix.disk.pending_count, 1);
    complete_all();
    /* A scribbling build ate descriptors and header of the request that was put back. */
    write_header(HEADER + 16, VIRTIO_BLK_T_IN, 1);
    vqd_desc(&fix.driver, VQD_DESC, 3, HEADER + 16, 16, VRING_DESC_F_NEXT, 4);
    vqd_desc(&fix.driver, VQD_DESC, 4, DATA + 0x2000, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
             5);
    vqd_desc(&fix.driver, VQD_DESC, 5, STATUS + 1, 1, VRING_DESC_F_WRITE, 0);
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(1, 513, VIRTIO_BLK_S_OK);
}

static void test_blk_reset__requests_in_flight__memory_left_alone(void **state)
{
    (void)state;
    fix.disk.later = true;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    virtio_dev_reset(blk_virtio(fix.blk));
    assert_int_equal(fix.disk.pending_count, 0);
    assert_int_equal(status_of(0), STATUS_UNWRITTEN);
    expect_nothing_used();
}

static void activate_again(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    virtio_dev_reset(dev);
    dev->acked = dev->offered & ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    vqd_init(&fix.driver, fix.gmem, QUEUE_SIZE);
    dev->queues[0].setup = vqd_setup(&fix.driver);
    assert_int_equal(virtio_dev_activate(dev, fix.gmem), 0);
}

/* Found by fuzz_blk (corpus: drain-fails): the slot was used again under the engine's hands. */
static void test_blk_reset__drain_fails__late_completion_touches_nothing(void **state)
{
    (void)state;
    fix.disk.later = true;
    fix.disk.drain_result = -EIO;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    activate_again();

    offer(0, VIRTIO_BLK_T_IN, 0, 512); /* its slot is the engine's still */
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
    assert_int_equal(fix.disk.pending_count, 1);
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx);
    expect_nothing_used();

    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    fix.disk.drain_result = 0;
}

static void test_blk_limiter__ops_spent__rest_after_the_timer(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.rate_limiter.present = true;
    drive.rate_limiter.ops = (struct cfg_bucket){true, 1, 0, 1000};
    assert_int_equal(create(&drive), 0);
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    offer(1, VIRTIO_BLK_T_IN, 1, 512);
    kick();
    expect_nothing_used();
    fix.now_ns += 1100 * NS_PER_MS;
    write_header(HEADER + 16, VIRTIO_BLK_T_IN, 1); /* a scribbling build ate it */
    vqd_desc(&fix.driver, VQD_DESC, 3, HEADER + 16, 16, VRING_DESC_F_NEXT, 4);
    vqd_desc(&fix.driver, VQD_DESC, 4, DATA + 0x2000, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
             5);
    vqd_desc(&fix.driver, VQD_DESC, 5, STATUS + 1, 1, VRING_DESC_F_WRITE, 0);
    assert_true(loop_turn(fix.loop, 0) > 0);
    expect_used(1, 513, VIRTIO_BLK_S_OK);
}

static void test_blk_queue__bad_head__device_broken(void **state)
{
    (void)state;
    vqd_offer(&fix.driver, QUEUE_SIZE);
    expect_broken();
}

static void test_blk_free__writeback_disk__flushed_once(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.cache_type = CFG_CACHE_WRITEBACK;
    assert_int_equal(create(&drive), 0);
    virtio_dev_reset(blk_virtio(fix.blk));
    blk_free(fix.blk);
    fix.blk = NULL;
    assert_int_equal(fix.disk.flushes, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BARE(test) cmocka_unit_test_setup_teardown(test, setup_base, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_create__config_and_features__as_specified),
        BARE(test_blk_create__read_only_writeback__ro_and_flush_offered),
        BARE(test_blk_create__disk_cannot_be_opened__error_passed_on),
        TEST(test_blk_read__whole_sectors__data_and_status),
        TEST(test_blk_write__then_read_back__same_bytes),
        TEST(test_blk_request__outside_disk_or_odd_length__ioerr),
        TEST(test_blk_request__unknown_type__unsupp),
        TEST(test_blk_get_id__enough_room__serial),
        TEST(test_blk_get_id__short_buffer__ioerr),
        TEST(test_blk_flush__without_data__reaches_the_disk),
        BARE(test_blk_write__read_only_disk__ioerr_and_untouched),
        TEST(test_blk_request__disk_error__ioerr),
        TEST(test_blk_request__payload_outside_memory__ioerr),
        TEST(test_blk_request__header_and_status_oddly_framed__served),
        TEST(test_blk_request__no_room_for_status__device_broken),
        TEST(test_blk_request__header_too_short__device_broken),
        TEST(test_blk_request__status_outside_memory__device_broken),
        TEST(test_blk_request__status_address_wraps__device_broken),
        TEST(test_blk_async__completions_in_any_pass__all_used_once),
        TEST(test_blk_async__engine_full__rest_served_after_completion),
        TEST(test_blk_reset__requests_in_flight__memory_left_alone),
        TEST(test_blk_reset__drain_fails__late_completion_touches_nothing),
        BARE(test_blk_limiter__ops_spent__rest_after_the_timer),
        TEST(test_blk_queue__bad_head__device_broken),
        BARE(test_blk_free__writeback_disk__flushed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
