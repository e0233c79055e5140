/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtqueue: well-behaved drivers, and every way a driver can break the rules. Single thread.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "devices/virtio/queue.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define SIZE 8u
#define DATA 0x40000ull
#define MEMORY_SIZE (1024u * 1024)
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct fixture {
    struct gmem *gmem;
    struct vq vq;
    struct vq_driver driver;
    struct vq_chain chain;
};

static struct fixture fix;

static int setup_with(bool event_idx, bool indirect)
{
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0)
        return -1;
    vqd_init(&fix.driver, fix.gmem, SIZE);
    fix.vq.setup = vqd_setup(&fix.driver);
    return vq_activate(&fix.vq, fix.gmem, event_idx, indirect);
}

static int setup(void **state)
{
    (void)state;
    return setup_with(true, true);
}

static int setup_plain(void **state)
{
    (void)state;
    return setup_with(false, false);
}

static int teardown(void **state)
{
    (void)state;
    gmem_free(fix.gmem);
    return 0;
}

static void offer_simple(uint16_t head)
{
    vqd_desc(&fix.driver, VQD_DESC, head, DATA, 16, 0, 0);
    vqd_offer(&fix.driver, head);
}

static void test_vq_activate__bad_size_or_address__refused(void **state)
{
    (void)state;
    const struct vq_setup good = vqd_setup(&fix.driver);
    struct vq vq = {0};
    const uint16_t sizes[] = {0, 3, 512};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        vq.setup = good;
        vq.setup.size = sizes[i];
        assert_int_equal(vq_activate(&vq, fix.gmem, true, true), -EINVAL);
    }
    vq.setup = good;
    vq.setup.ready = false;
    assert_int_equal(vq_activate(&vq, fix.gmem, true, true), -EINVAL);
    vq.setup = good;
    vq.setup.desc += 8;
    assert_int_equal(vq_activate(&vq, fix.gmem, true, true), -EINVAL);
    vq.setup = good;
    vq.setup.used = MEMORY_SIZE - 8;
    assert_int_equal(vq_activate(&vq, fix.gmem, true, true), -EFAULT);
    vq.setup = good;
    vq.setup.avail = UINT64_MAX - 1;
    assert_int_equal(vq_activate(&vq, fix.gmem, true, true), -EFAULT);
    assert_false(vq.active);
}

static void test_vq_pop__nothing_offered__zero(void **state)
{
    (void)state;
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 0);
}

static void test_vq_pop__direct_chain__bufs_in_order(void **state)
{
    (void)state;
    vqd_desc(&fix.driver, VQD_DESC, 3, DATA, 16, NEXT, 5);
    vqd_desc(&fix.driver, VQD_DESC, 5, DATA + 100, 512, NEXT | WRITE, 0);
    vqd_desc(&fix.driver, VQD_DESC, 0, DATA + 700, 1, WRITE, 0);
    vqd_offer(&fix.driver, 3);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    assert_int_equal(fix.chain.head, 3);
    assert_int_equal(fix.chain.bufs_count, 3);
    assert_int_equal(fix.chain.readable_count, 1);
    assert_int_equal(fix.chain.readable_len, 16);
    assert_int_equal(fix.chain.writable_len, 513);
    assert_int_equal(fix.chain.bufs[1].addr.v, DATA + 100);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 0);
}

static void test_vq_pop__indirect_chain__bufs_of_the_table(void **state)
{
    (void)state;
    vqd_desc(&fix.driver, VQD_DESC, 1, VQD_INDIRECT, 2 * 16, INDIRECT, 0);
    vqd_desc(&fix.driver, VQD_INDIRECT, 0, DATA, 16, NEXT, 1);
    vqd_desc(&fix.driver, VQD_INDIRECT, 1, DATA + 64, 1, WRITE, 0);
    vqd_offer(&fix.driver, 1);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    assert_int_equal(fix.chain.bufs_count, 2);
    assert_int_equal(fix.chain.bufs[1].addr.v, DATA + 64);
}

/* One broken chain: what the driver writes, and what pop must say. */
struct broken {
    const char *what;
    void (*make)(struct vq_driver *driver);
    int expected;
};

static void make_head_out_of_range(struct vq_driver *driver)
{
    vqd_offer(driver, SIZE);
}
static void make_index_too_far(struct vq_driver *driver)
{
    vqd_set_avail_idx(driver, SIZE + 1);
}
static void make_next_out_of_range(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, DATA, 16, NEXT, SIZE);
    vqd_offer(driver, 0);
}
static void make_loop(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, DATA, 16, NEXT, 0);
    vqd_offer(driver, 0);
}
static void make_readable_after_writable(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, DATA, 16, NEXT | WRITE, 1);
    vqd_desc(driver, VQD_DESC, 1, DATA, 16, 0, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_with_next(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, 16, INDIRECT | NEXT, 1);
    vqd_offer(driver, 0);
}
static void make_indirect_in_indirect(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, 16, INDIRECT, 0);
    vqd_desc(driver, VQD_INDIRECT, 0, VQD_INDIRECT, 16, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_odd_length(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, 17, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_empty(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, 0, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_outside_memory(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, MEMORY_SIZE - 16, 32, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_wrapping(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, UINT64_MAX - 7, 16, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_indirect_next_outside_table(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, 16, INDIRECT, 0);
    vqd_desc(driver, VQD_INDIRECT, 0, DATA, 16, NEXT, 1);
    vqd_offer(driver, 0);
}
static void make_indirect_longer_than_queue(struct vq_driver *driver)
{
    for (uint16_t i = 0; i <= SIZE; i++)
        vqd_desc(driver, VQD_INDIRECT, i, DATA, 1, i < SIZE ? NEXT : 0, (uint16_t)(i + 1));
    vqd_desc(driver, VQD_DESC, 0, VQD_INDIRECT, (SIZE + 1) * 16, INDIRECT, 0);
    vqd_offer(driver, 0);
}
static void make_more_than_4_gib(struct vq_driver *driver)
{
    vqd_desc(driver, VQD_DESC, 0, DATA, UINT32_MAX, NEXT, 1);
    vqd_desc(driver, VQD_DESC, 1, DATA, 1, 0, 0);
    vqd_offer(driver, 0);
}

static const struct broken broken_chains[] = {
    {"head out of range", make_head_out_of_range, -EPROTO},
    {"avail index too far ahead", make_index_too_far, -EPROTO},
    {"next out of range", make_next_out_of_range, -EPROTO},
    {"descriptor loop", make_loop, -EPROTO},
    {"readable after writable", make_readable_after_writable, -EPROTO},
    {"indirect with next", make_indirect_with_next, -EPROTO},
    {"indirect in indirect", make_indirect_in_indirect, -EPROTO},
    {"indirect table of 17 bytes", make_indirect_odd_length, -EPROTO},
    {"indirect table of 0 bytes", make_indirect_empty, -EPROTO},
    {"indirect table outside memory", make_indirect_outside_memory, -EFAULT},
    {"indirect table wraps", make_indirect_wrapping, -EFAULT},
    {"indirect next outside the table", make_indirect_next_outside_table, -EPROTO},
    {"indirect chain longer than the queue", make_indirect_longer_than_queue, -EPROTO},
    {"more than 4 GiB in one chain", make_more_than_4_gib, -EPROTO},
};

static void test_vq_pop__broken_chain__negative_not_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken_chains); i++) {
        gmem_free(fix.gmem);
        assert_int_equal(setup_with(true, true), 0);
        broken_chains[i].make(&fix.driver);
        int rc = vq_pop(&fix.vq, &fix.chain);
        if (rc != broken_chains[i].expected)
            fail_msg("%s: expected %d, saw %d", broken_chains[i].what, broken_chains[i].expected,
                     rc);
    }
}

static void test_vq_pop__indirect_not_negotiated__broken(void **state)
{
    (void)state;
    vqd_desc(&fix.driver, VQD_DESC, 0, VQD_INDIRECT, 16, INDIRECT, 0);
    vqd_desc(&fix.driver, VQD_INDIRECT, 0, DATA, 16, 0, 0);
    vqd_offer(&fix.driver, 0);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), -EPROTO);
}

static void test_vq_pop__head_in_flight_offered_again__broken(void **state)
{
    (void)state;
    offer_simple(2);
    vqd_offer(&fix.driver, 2);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    assert_int_equal(vq_in_flight_count(&fix.vq), 1);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), -EPROTO);
}

static void test_vq_unpop__chain__popped_again(void **state)
{
    (void)state;
    offer_simple(2);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    vq_unpop(&fix.vq, 2);
    vqd_desc(&fix.driver, VQD_DESC, 2, DATA, 16, 0, 0); /* a scribbling build ate it */
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    assert_int_equal(fix.chain.head, 2);
}

static void test_vq_publish__pushed_entries__seen_only_after_publish(void **state)
{
    (void)state;
    uint32_t id;
    uint32_t len;
    offer_simple(4);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    vq_push_used(&fix.vq, 4, 77);
    assert_int_equal(vqd_take_used(&fix.driver, &id, &len), 0);
    vq_publish(&fix.vq);
    assert_int_equal(vqd_take_used(&fix.driver, &id, &len), 1);
    assert_int_equal(id, 4);
    assert_int_equal(len, 77);
}

static void test_vq_ring__70000_requests__indexes_wrap(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 70000; i++) {
        uint32_t id;
        uint32_t len;
        offer_simple((uint16_t)(i % SIZE));
        assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
        vq_push_used(&fix.vq, fix.chain.head, i);
        vq_publish(&fix.vq);
        assert_int_equal(vqd_take_used(&fix.driver, &id, &len), 1);
        assert_int_equal(id, i % SIZE);
    }
}

static void serve_one(uint16_t head)
{
    offer_simple(head);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
    vq_push_used(&fix.vq, head, 0);
    vq_publish(&fix.vq);
}

static void test_vq_needs_kick__used_event__only_when_crossed(void **state)
{
    (void)state;
    vqd_set_used_event(&fix.driver, 1); /* tell me when the second entry is there */
    serve_one(0);
    assert_false(vq_needs_kick(&fix.vq));
    serve_one(1);
    assert_true(vq_needs_kick(&fix.vq));
    assert_false(vq_needs_kick(&fix.vq)); /* nothing new */
}

static void test_vq_needs_kick__plain_flags__no_interrupt_flag_obeyed(void **state)
{
    (void)state;
    serve_one(0);
    assert_true(vq_needs_kick(&fix.vq));
    vqd_set_avail_flags(&fix.driver, VRING_AVAIL_F_NO_INTERRUPT);
    serve_one(1);
    assert_false(vq_needs_kick(&fix.vq));
}

static void test_vq_notify__event_idx__avail_event_moves_and_race_is_seen(void **state)
{
    (void)state;
    serve_one(0);
    vq_notify_off(&fix.vq);
    assert_false(vq_notify_on(&fix.vq));
    assert_int_equal(vqd_avail_event(&fix.driver), 1);
    offer_simple(1);
    assert_true(vq_notify_on(&fix.vq));
}

static void test_vq_notify__plain_flags__no_notify_set_and_cleared(void **state)
{
    (void)state;
    vq_notify_off(&fix.vq);
    assert_int_equal(vqd_used_flags(&fix.driver), VRING_USED_F_NO_NOTIFY);
    assert_false(vq_notify_on(&fix.vq));
    assert_int_equal(vqd_used_flags(&fix.driver), 0);
}

/* readable: 4 + 12 bytes; writable: 3 + 0 + 6 bytes. */
static void pop_framed_chain(void)
{
    vqd_desc(&fix.driver, VQD_DESC, 0, DATA, 4, NEXT, 1);
    vqd_desc(&fix.driver, VQD_DESC, 1, DATA + 0x100, 12, NEXT, 2);
    vqd_desc(&fix.driver, VQD_DESC, 2, DATA + 0x200, 3, NEXT | WRITE, 3);
    vqd_desc(&fix.driver, VQD_DESC, 3, DATA + 0x300, 0, NEXT | WRITE, 4);
    vqd_desc(&fix.driver, VQD_DESC, 4, DATA + 0x400, 6, WRITE, 0);
    vqd_offer(&fix.driver, 0);
    assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
}

static void test_vq_chain_read__across_descriptors__one_run_of_bytes(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(gmem_write(fix.gmem, gpa(DATA), "abcd", 4), 0);
    assert_int_equal(gmem_write(fix.gmem, gpa(DATA + 0x100), "efghijklmnop", 12), 0);
    pop_framed_chain();
    assert_int_equal(vq_chain_read(fix.gmem, &fix.chain, 2, out, 10), 0);
    assert_memory_equal(out, "cdefghijkl", 10);
    assert_int_equal(vq_chain_read(fix.gmem, &fix.chain, 8, out, 9), -ENODATA);
}

static void test_vq_chain_write__across_descriptors__lands_in_order(void **state)
{
    (void)state;
    char out[5];
    pop_framed_chain();
    assert_int_equal(vq_chain_write(fix.gmem, &fix.chain, 1, "12345", 5), 0);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA + 0x201), out, 2), 0);
    assert_int_equal(gmem_read(fix.gmem, gpa(DATA + 0x400), out + 2, 3), 0);
    assert_memory_equal(out, "12345", 5);
    assert_int_equal(vq_chain_write(fix.gmem, &fix.chain, 5, "12345", 5), -ENODATA);
}

static void test_vq_chain_iov__part_of_chain__pieces_and_limits(void **state)
{
    (void)state;
    struct iovec iov[2];
    pop_framed_chain();
    assert_int_equal(vq_chain_iov(fix.gmem, &fix.chain, true, 1, 5, iov, 2), 2);
    assert_int_equal(iov[0].iov_len, 2);
    assert_int_equal(iov[1].iov_len, 3);
    assert_int_equal(vq_chain_iov(fix.gmem, &fix.chain, true, 1, 5, iov, 1), -E2BIG);
    assert_int_equal(vq_chain_iov(fix.gmem, &fix.chain, true, 5, 5, iov, 2), -ENODATA);
}

static void test_vq_chain_iov__address_outside_or_wrapping__efault(void **state)
{
    (void)state;
    const uint64_t bad[] = {MEMORY_SIZE - 1, UINT64_MAX - 1};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct iovec iov;
        char byte[2];
        vqd_desc(&fix.driver, VQD_DESC, (uint16_t)i, bad[i], 4, 0, 0);
        vqd_offer(&fix.driver, (uint16_t)i);
        assert_int_equal(vq_pop(&fix.vq, &fix.chain), 1);
        assert_int_equal(vq_chain_iov(fix.gmem, &fix.chain, false, 0, 4, &iov, 1), -EFAULT);
        assert_int_equal(vq_chain_read(fix.gmem, &fix.chain, 2, byte, 2), -EFAULT);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define PLAIN(test) cmocka_unit_test_setup_teardown(test, setup_plain, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_vq_activate__bad_size_or_address__refused),
        WITH(test_vq_pop__nothing_offered__zero),
        WITH(test_vq_pop__direct_chain__bufs_in_order),
        WITH(test_vq_pop__indirect_chain__bufs_of_the_table),
        WITH(test_vq_pop__broken_chain__negative_not_empty),
        PLAIN(test_vq_pop__indirect_not_negotiated__broken),
        WITH(test_vq_pop__head_in_flight_offered_again__broken),
        WITH(test_vq_unpop__chain__popped_again),
        WITH(test_vq_publish__pushed_entries__seen_only_after_publish),
        WITH(test_vq_ring__70000_requests__indexes_wrap),
        WITH(test_vq_needs_kick__used_event__only_when_crossed),
        PLAIN(test_vq_needs_kick__plain_flags__no_interrupt_flag_obeyed),
        WITH(test_vq_notify__event_idx__avail_event_moves_and_race_is_seen),
        PLAIN(test_vq_notify__plain_flags__no_notify_set_and_cleared),
        WITH(test_vq_chain_read__across_descriptors__one_run_of_bytes),
        WITH(test_vq_chain_write__across_descriptors__lands_in_order),
        WITH(test_vq_chain_iov__part_of_chain__pieces_and_limits),
        WITH(test_vq_chain_iov__address_outside_or_wrapping__efault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
