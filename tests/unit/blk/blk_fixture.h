/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device over a disk in memory that completes at once, later, never or badly, and a driver
 * for its queue. Single thread.
 */
#pragma once

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
    bool later;        /* requests complete when the test says so */
    uint32_t room;     /* requests it takes before -EBUSY */
    int fail_with;     /* result of every transfer, when negative */
    int drain_result;  /* negative: drain gives up, everything stays in flight */
    uint64_t takes_ns; /* of the test's clock, each request that is carried out at once */
    uint32_t flushes;
    uint32_t kicks;
    struct disk_req *pending[VQ_SIZE_MAX];
    uint32_t pending_count;
    uint32_t done_count;    /* of pending, from the front */
    void (*on_drain)(void); /* what the test does meanwhile */
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
        fix.now_ns += fix.disk.takes_ns;
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
    if (fix.disk.on_drain)
        fix.disk.on_drain();
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

static void reset_device(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
}

static int teardown(void **state)
{
    (void)state;
    if (fix.blk)
        reset_device();
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

/* Header, one data descriptor (none when data_len is 0), status; descriptors 3 * slot. Again for a
 * request that was put back: a scribbling build has eaten it. */
static void lay_out(uint16_t slot, uint32_t type, uint64_t sector, uint32_t data_len)
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
}

static void offer(uint16_t slot, uint32_t type, uint64_t sector, uint32_t data_len)
{
    lay_out(slot, type, sector, data_len);
    vqd_offer(&fix.driver, (uint16_t)(slot * 3));
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

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BARE(test) cmocka_unit_test_setup_teardown(test, setup_base, teardown)
