/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device's state: what the guest is told when it is taken, and the gate until it has heard
 * (vsock.md 6). Single thread.
 */
#include "devices/vsock/vsock_state.h"

#include "base/metrics.h"
#include "tests/unit/vsock/vsock_fixture.h"

#define EVENT_BUFFERS 0x800000ull
#define EVENT_SIZE 12u /* more than an event has */

/* The guest's buffer for an event; the driver notifies when the device asks for it. */
static void give_event_buffer(uint16_t head, uint32_t size)
{
    vqd_desc(&fix.event, EVENT_BASE + VQD_DESC, head, EVENT_BUFFERS + head * 64ull, size,
             VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.event, head);
}

static struct vsock_state save(void)
{
    struct vsock_state state = {0};
    vsock_save(fix.vsock, &state);
    return state;
}

static uint64_t event_fails(void)
{
    return metric_get(&metrics.vsock.ev_queue_event_fails);
}

static void test_vsock_save__event_buffer__one_reset_event_of_its_whole_length(void **state)
{
    (void)state;
    uint32_t head;
    uint32_t len;
    uint8_t bytes[EVENT_SIZE];
    uint64_t fails = event_fails();
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(gmem_write(fix.gmem, gpa(EVENT_BUFFERS + 3 * 64), bytes, sizeof(bytes)), 0);
    give_event_buffer(3, EVENT_SIZE);
    give_event_buffer(4, EVENT_SIZE);
    const struct vsock_state saved = save();
    assert_int_equal(vqd_take_used(&fix.event, &head, &len), 1);
    assert_int_equal(head, 3);
    assert_int_equal(len, EVENT_SIZE);
    assert_int_equal(vqd_take_used(&fix.event, &head, &len), 0);
    assert_int_equal(gmem_read(fix.gmem, gpa(EVENT_BUFFERS + 3 * 64), bytes, sizeof(bytes)), 0);
    assert_memory_equal(bytes, "\0\0\0\0\xee", 5);
    assert_true(saved.reset_pending);
    assert_int_equal(saved.reset_avail_idx, 2);
    assert_int_equal(event_fails(), fails);
}

static void expect_tells_nobody(void)
{
    uint64_t fails = event_fails();
    const struct vsock_state saved = save();
    assert_false(saved.reset_pending);
    assert_int_equal(event_fails(), fails + 1);
}

static void test_vsock_save__no_event_buffer__counted_and_no_gate(void **state)
{
    (void)state;
    uint32_t port;
    expect_tells_nobody();
    give(0, 4, 4096);
    int fd = host_connects(&port);
    fd_close(&fd);
}

static void test_vsock_save__event_buffer_too_small__counted_and_no_gate(void **state)
{
    (void)state;
    uint32_t head;
    uint32_t len;
    give_event_buffer(0, 3);
    expect_tells_nobody();
    assert_int_equal(vqd_take_used(&fix.event, &head, &len), 1);
    assert_int_equal(len, 0);
}

static void test_vsock_save__event_ring_against_the_rules__device_is_broken(void **state)
{
    (void)state;
    vqd_set_avail_idx(&fix.event, QUEUE_SIZE + 1);
    expect_tells_nobody();
    assert_true(device()->broken);
}

static void test_vsock_save__no_driver__nothing_is_told(void **state)
{
    (void)state;
    uint64_t fails = event_fails();
    reset_device();
    const struct vsock_state saved = save();
    assert_false(saved.reset_pending);
    assert_int_equal(saved.last_local_port, FIRST_LOCAL_PORT - 1);
    assert_int_equal(event_fails(), fails);
}

/* A host program waits to be told to the guest: what the gate holds back. */
static int host_waits(void)
{
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    return fd;
}

static void test_vsock_save__told__nothing_for_the_guest_before_the_buffer_comes_back(void **state)
{
    (void)state;
    give(0, 4, 4096);
    give_event_buffer(0, EVENT_SIZE);
    (void)save();
    int fd = host_waits();
    (void)turn();
    expect_no_packet();
    kick(0); /* more buffers for packets say nothing */
    kick(1);
    kick(2); /* nor does a kick of ours: the driver has not put the buffer back */
    (void)turn();
    expect_no_packet();
    give_event_buffer(0, EVENT_SIZE);
    (void)turn();
    expect_no_packet(); /* until it has notified */
    kick(2);
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&fd);
}

/* The driver of a restored device, whose rings are those of the saved one. */
static void restore_into_fresh(const struct vsock_state *saved)
{
    struct err err = ERR_INIT;
    reset_device();
    vsock_free(fix.vsock);
    fix.vsock = NULL;
    assert_int_equal(unlink(fix.path), 0);
    assert_int_equal(device_create(&err), 0);
    assert_int_equal(vsock_restore(fix.vsock, saved, &err), 0);
    assert_int_equal(activate_silently(), 0);
}

static void test_vsock_restore__last_local_port__the_next_one_comes_behind(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    assert_int_equal(port, FIRST_LOCAL_PORT);
    fd_close(&fd);
    const struct vsock_state saved = save();
    assert_int_equal(saved.last_local_port, FIRST_LOCAL_PORT);
    restore_into_fresh(&saved);
    give(0, 4, 4096);
    fd = host_connects(&port);
    assert_int_equal(port, FIRST_LOCAL_PORT + 1);
    fd_close(&fd);
}

static void test_vsock_restore__gate__holds_until_the_buffer_comes_back(void **state)
{
    (void)state;
    const struct vsock_state saved = {
        .last_local_port = FIRST_LOCAL_PORT - 1, .reset_pending = true, .reset_avail_idx = 0};
    restore_into_fresh(&saved);
    give(0, 4, 4096);
    int fd = host_waits();
    (void)turn();
    kick(2);
    expect_no_packet();
    give_event_buffer(0, EVENT_SIZE);
    kick(2);
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&fd);
}

static void test_vsock_reset__by_the_driver__opens_the_gate(void **state)
{
    (void)state;
    give_event_buffer(0, EVENT_SIZE);
    assert_true(save().reset_pending);
    reset_device();
    (void)turn();
    assert_int_equal(activate(), 0);
    give(0, 4, 4096);
    int fd = host_waits();
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    assert_false(save().reset_pending);
    fd_close(&fd);
}

/* Two snapshots, and the guest has not run between them: the second tells it again. */
static void test_vsock_save__twice__gate_of_the_last(void **state)
{
    (void)state;
    give_event_buffer(0, EVENT_SIZE);
    give_event_buffer(1, EVENT_SIZE);
    (void)save();
    const struct vsock_state second = save();
    assert_true(second.reset_pending);
    assert_int_equal(second.reset_avail_idx, 2);
    const struct vsock_state third = save(); /* no buffer is left; the gate stays */
    assert_true(third.reset_pending);
}

static void test_vsock_restore__port_that_is_not_ours__refused(void **state)
{
    (void)state;
    static const uint32_t ports[] = {0, FIRST_LOCAL_PORT - 2, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        const struct vsock_state saved = {.last_local_port = ports[i]};
        struct err err = ERR_INIT;
        assert_int_equal(vsock_restore(fix.vsock, &saved, &err), -EINVAL);
        assert_non_null(strstr(err.msg, "its last local port"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vsock_save__event_buffer__one_reset_event_of_its_whole_length),
        TEST(test_vsock_save__no_event_buffer__counted_and_no_gate),
        TEST(test_vsock_save__event_buffer_too_small__counted_and_no_gate),
        TEST(test_vsock_save__event_ring_against_the_rules__device_is_broken),
        TEST(test_vsock_save__no_driver__nothing_is_told),
        TEST(test_vsock_save__told__nothing_for_the_guest_before_the_buffer_comes_back),
        TEST(test_vsock_restore__last_local_port__the_next_one_comes_behind),
        TEST(test_vsock_restore__gate__holds_until_the_buffer_comes_back),
        TEST(test_vsock_reset__by_the_driver__opens_the_gate),
        TEST(test_vsock_save__twice__gate_of_the_last),
        TEST(test_vsock_restore__port_that_is_not_ours__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
