/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk's requests, engines, limiter and reset. Single thread.
 */
#include <stdio.h>

#include "devices/blk/blk_req.h"
#include "tests/unit/blk/blk_fixture.h"

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
    const struct blk_env env = {fix.loop, &fake_clock, NULL, fake_open};
    struct err err = ERR_INIT;
    assert_int_equal(blk_create(&drive, &env, &fix.blk, &err), -EACCES);
    assert_string_equal(err.msg,
                        "Virtio backend error: Error manipulating the backing file: no /disk");
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

static void test_blk_req_parse__more_than_is_moved_at_once__ioerr(void **state)
{
    (void)state;
    const struct blk_limits limits = {.sectors_count = UINT64_MAX};
    static struct vq_chain chain; /* large */
    struct blk_request req;
    uint8_t status = VIRTIO_BLK_S_OK;
    write_header(HEADER, VIRTIO_BLK_T_IN, 0);
    chain = (struct vq_chain){.readable_count = 1,
                              .bufs_count = 2,
                              .readable_len = BLK_HEADER_SIZE,
                              .writable_len = BLK_DATA_MAX_SIZE + BLK_STATUS_SIZE,
                              .bufs = {{gpa(HEADER), BLK_HEADER_SIZE, false}}};
    assert_int_equal(blk_req_parse(fix.gmem, &chain, &limits, &req, &status), 1);
    write_header(HEADER, VIRTIO_BLK_T_IN, 0); /* a scribbling build ate it */
    chain.writable_len += 512;
    assert_int_equal(blk_req_parse(fix.gmem, &chain, &limits, &req, &status), 0);
    assert_int_equal(status, VIRTIO_BLK_S_IOERR);
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
    assert_int_equal(virtio_irq_status_read(blk_virtio(fix.blk)), VIRTIO_IRQ_CONFIG);
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
    reset_device();
    assert_int_equal(fix.disk.pending_count, 0);
    assert_int_equal(status_of(0), STATUS_UNWRITTEN);
    expect_nothing_used();
}

static void try_lock_and_notify(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    assert_int_equal(pthread_mutex_trylock(&dev->lock), 0); /* nobody waits for the disk's pace */
    assert_false(dev->active);
    (void)pthread_mutex_unlock(&dev->lock);
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx); /* the loop's turn in the middle of it */
}

static void test_blk_reset__disk_takes_its_time__lock_is_free_meanwhile(void **state)
{
    (void)state;
    fix.disk.later = true;
    fix.disk.on_drain = try_lock_and_notify;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    reset_device();
    fix.disk.on_drain = NULL;
    assert_int_equal(fix.disk.pending_count, 0);
}

static void activate_again(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    reset_device();
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
    lay_out(1, VIRTIO_BLK_T_IN, 1, 512);
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
    reset_device();
    blk_free(fix.blk);
    fix.blk = NULL;
    assert_int_equal(fix.disk.flushes, 1);
}

/* Uses the groups up: the last test of all. */
static void test_blk_create__more_ids_than_groups__refused_and_closed(void **state)
{
    (void)state;
    const struct blk_env env = {fix.loop, &fake_clock, NULL, fake_open};
    struct cfg_drive drive = plain_drive();
    struct err err = ERR_INIT;
    char id[16];
    drive.drive_id = id;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i <= METRICS_INSTANCES_MAX; i++) {
        blk_free(fix.blk);
        fix.blk = NULL;
        fix.disk.closes = 0;
        (void)snprintf(id, sizeof(id), "many%u", i);
        rc = blk_create(&drive, &env, &fix.blk, &err);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_non_null(strstr(err.msg, "no room for the metrics of block device many"));
    assert_non_null(strstr(err.msg, ": more than 64 ids"));
    assert_null(fix.blk);
    assert_int_equal(fix.disk.closes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_create__config_and_features__as_specified),
        BARE(test_blk_create__read_only_writeback__ro_and_flush_offered),
        BARE(test_blk_create__disk_cannot_be_opened__error_passed_on),
        TEST(test_blk_read__whole_sectors__data_and_status),
        TEST(test_blk_write__then_read_back__same_bytes),
        TEST(test_blk_request__outside_disk_or_odd_length__ioerr),
        TEST(test_blk_req_parse__more_than_is_moved_at_once__ioerr),
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
        TEST(test_blk_reset__disk_takes_its_time__lock_is_free_meanwhile),
        TEST(test_blk_reset__drain_fails__late_completion_touches_nothing),
        BARE(test_blk_limiter__ops_spent__rest_after_the_timer),
        TEST(test_blk_queue__bad_head__device_broken),
        BARE(test_blk_free__writeback_disk__flushed_once),
        BARE(test_blk_create__more_ids_than_groups__refused_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
