/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of a NIC with a frame filter: what it is given, what of it reaches the guest, and that
 * no change of guest memory gets a frame past it. Single thread.
 */
#include "tests/unit/net/net_fixture.h"

#define BUFFER_SIZE 2048u
#define DEST (TAP_HEADER_SIZE + 30u) /* of the byte that the filter decides by, in a buffer */
#define OURS 0xfe                    /* its value in the filter's frames */

/* A filter that takes by one byte, and gives what the test has put. */
static struct {
    struct frame_filter filter;
    uint8_t taken[FRAME_FILTER_TAKE_MAX_SIZE];
    size_t taken_len;
    size_t taken_frame_len;
    uint32_t taken_count;
    uint32_t wants_count;
    uint32_t ready_count; /* frames to give */
    size_t ready_len;
    uint32_t resets_count;
    uint64_t due_ns;
    uint64_t scribble_addr; /* guest memory that changes as soon as it was asked; 0: none */
    uint8_t scribble_value;
    uint32_t kicks_count; /* of the receive queue, by the device itself */
} fake;

static bool fake_wants(const struct frame_filter *filter, const uint8_t *head, size_t head_len)
{
    (void)filter;
    fake.wants_count++;
    assert_in_range(head_len, 14, 128);
    bool wanted = head_len > DEST - TAP_HEADER_SIZE && head[DEST - TAP_HEADER_SIZE] == OURS;
    if (fake.scribble_addr) /* another vCPU is quick */
        assert_int_equal(gmem_write(fix.gmem, gpa(fake.scribble_addr), &fake.scribble_value, 1), 0);
    return wanted;
}

static void fake_take(struct frame_filter *filter, const uint8_t *bytes, size_t len,
                      size_t frame_len)
{
    assert_ptr_equal(filter, &fake.filter);
    assert_true(len <= sizeof(fake.taken));
    memcpy(fake.taken, bytes, len);
    fake.taken_len = len;
    fake.taken_frame_len = frame_len;
    fake.taken_count++;
}

static size_t fake_pull(struct frame_filter *filter, uint8_t *frame)
{
    (void)filter;
    if (fake.ready_count == 0)
        return 0;
    fake.ready_count--;
    memset(frame, 0xc3, fake.ready_len);
    return fake.ready_len;
}

static uint64_t fake_due_ns(const struct frame_filter *filter)
{
    (void)filter;
    return fake.due_ns;
}

static void fake_reset(struct frame_filter *filter)
{
    (void)filter;
    fake.resets_count++;
}

static const struct frame_filter_ops fake_ops = {fake_wants, fake_take, fake_pull, fake_due_ns,
                                                 fake_reset};

static void on_kick(void *transport, uint32_t queue)
{
    (void)transport;
    fake.kicks_count += queue == 0;
}

static const struct virtio_transport_ops fake_transport = {.kick = on_kick};

static int filter_setup(void **state)
{
    int rc = setup(state);
    memset(&fake, 0, sizeof(fake));
    fake.filter.ops = &fake_ops;
    fake.ready_len = 60;
    net_set_filter(fix.net, &fake.filter);
    net_virtio(fix.net)->transport_ops = &fake_transport;
    return rc;
}

static int filter_teardown(void **state)
{
    net_virtio(fix.net)->transport_ops = NULL;
    return teardown(state);
}

/* ------------------------------------------------------------------ from the guest */

static uint64_t tx_addr(uint16_t head)
{
    return TX_BUFFERS + head * 0x20000ull;
}

/* A frame in one buffer, the filter's or not. */
static uint8_t *send_frame(uint16_t head, size_t len, uint8_t dest)
{
    uint8_t *frame = frame_of(len, (uint8_t)head);
    if (len > DEST)
        frame[DEST] = dest;
    assert_int_equal(gmem_write(fix.gmem, gpa(tx_addr(head)), frame, len), 0);
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, head, tx_addr(head), (uint32_t)len, 0, 0);
    vqd_offer(&fix.tx, head);
    return frame;
}

static ssize_t host_gets(uint8_t *bytes, size_t size)
{
    return recv(fix.host, bytes, size, MSG_DONTWAIT);
}

static void expect_sent_used(uint16_t head)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 1);
    assert_int_equal(id, head);
}

static void test_net_tx__wanted_frame__taken_and_not_sent(void **state)
{
    (void)state;
    static uint8_t got[FRAME_MAX];
    static const size_t lens[] = {43,  60,   140,
                                  141, 1526, TAP_HEADER_SIZE + FRAME_FILTER_TAKE_MAX_SIZE};
    uint64_t sent = metric_get(&counters()->tx_packets_count);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        const uint8_t *frame = send_frame((uint16_t)i, lens[i], OURS);
        kick(1);
        assert_int_equal(fake.taken_count, i + 1);
        assert_int_equal(fake.taken_len, lens[i] - TAP_HEADER_SIZE);
        assert_int_equal(fake.taken_frame_len, lens[i] - TAP_HEADER_SIZE);
        assert_memory_equal(fake.taken, frame + TAP_HEADER_SIZE, fake.taken_len);
        expect_sent_used((uint16_t)i);
    }
    assert_int_equal(host_gets(got, sizeof(got)), -1);
    assert_int_equal(metric_get(&counters()->tx_packets_count), sent);
}

static void test_net_tx__wanted_frame_of_any_size__its_beginning_taken(void **state)
{
    (void)state;
    const uint8_t *frame = send_frame(0, TAP_FRAME_MAX_SIZE, OURS);
    kick(1);
    assert_int_equal(fake.taken_len, FRAME_FILTER_TAKE_MAX_SIZE);
    assert_int_equal(fake.taken_frame_len, TAP_FRAME_MAX_SIZE - TAP_HEADER_SIZE);
    assert_memory_equal(fake.taken, frame + TAP_HEADER_SIZE, fake.taken_len);
}

static void test_net_tx__other_frame__sent(void **state)
{
    (void)state;
    static uint8_t got[FRAME_MAX];
    const uint8_t *frame = send_frame(0, 1000, 1);
    kick(1);
    assert_int_equal(fake.wants_count, 1);
    assert_int_equal(fake.taken_count, 0);
    assert_int_equal(host_gets(got, sizeof(got)), 1000);
    assert_memory_equal(got, frame, 1000);
}

/* The byte that decides turns into ours once the filter has said no: the host gets the frame as it
 * was when it said so. */
static void test_net_tx__memory_turns_into_ours__sent_as_decided(void **state)
{
    (void)state;
    static uint8_t got[FRAME_MAX];
    fake.scribble_addr = tx_addr(0) + DEST;
    fake.scribble_value = OURS;
    const uint8_t *frame = send_frame(0, 1000, 1);
    kick(1);
    assert_int_equal(fake.taken_count, 0);
    assert_int_equal(host_gets(got, sizeof(got)), 1000);
    assert_memory_equal(got, frame, 140); /* what was looked at */
    assert_int_equal(got[DEST], 1);
}

/* And the other way round: it never reaches the host, and the filter takes what it has decided
 * on. */
static void test_net_tx__memory_turns_into_others__taken_as_decided(void **state)
{
    (void)state;
    uint8_t byte;
    fake.scribble_addr = tx_addr(0) + DEST;
    fake.scribble_value = 1;
    const uint8_t *frame = send_frame(0, 1000, OURS);
    kick(1);
    assert_int_equal(fake.taken_count, 1);
    assert_memory_equal(fake.taken, frame + TAP_HEADER_SIZE, fake.taken_len);
    assert_int_equal(fake.taken[DEST - TAP_HEADER_SIZE], OURS);
    assert_int_equal(host_gets(&byte, 1), -1);
}

static void test_net_tx__wanted_frames__cost_nothing(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {
        .present = true,
        .bandwidth = {.present = true, .size = 2000, .refill_time_ms = 100},
        .ops = {.present = true, .size = 2, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &(struct cfg_rate_limiter){0}, &limiter);
    for (uint16_t head = 0; head < 10; head++)
        send_frame(head, 1500, OURS);
    kick(1);
    kick(1); /* the device asks for it itself */
    assert_int_equal(fake.taken_count, 10);
    send_frame(10, 1000, 1);
    send_frame(11, 1000, 1);
    send_frame(12, 1000, OURS); /* waits behind what is denied */
    send_frame(13, 1000, 1);
    kick(1);
    assert_int_equal(fake.taken_count, 10);
    for (uint16_t head = 0; head < 12; head++)
        expect_sent_used(head);
}

/* ------------------------------------------------------------------ to the guest */

static uint64_t rx_addr(uint16_t head)
{
    return RX_BUFFERS + head * 0x1000ull;
}

static void offer_buffers(uint16_t first, uint16_t count, uint32_t len)
{
    for (uint16_t i = first; i < first + count; i++) {
        static uint8_t dirt[BUFFER_SIZE];
        memset(dirt, 0x77, sizeof(dirt));
        assert_int_equal(gmem_write(fix.gmem, gpa(rx_addr(i)), dirt, sizeof(dirt)), 0);
        vqd_desc(&fix.rx, VQD_DESC, i, rx_addr(i), len, VRING_DESC_F_WRITE, 0);
        vqd_offer(&fix.rx, i);
    }
}

static void expect_used(uint16_t head, uint32_t len)
{
    uint32_t id;
    uint32_t used_len;
    assert_int_equal(vqd_take_used(&fix.rx, &id, &used_len), 1);
    assert_int_equal(id, head);
    assert_int_equal(used_len, len);
}

static void expect_nothing_used(void)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.rx, &id, &len), 0);
}

/* The filter's frame lies in buffers of that length. */
static void expect_filtered(uint16_t head, uint32_t buffer_len, size_t frame_len)
{
    uint8_t wanted[TAP_HEADER_SIZE + FRAME_FILTER_PULL_MAX_SIZE] = {0};
    size_t len = TAP_HEADER_SIZE + frame_len;
    memset(wanted + TAP_HEADER_SIZE, 0xc3, frame_len);
    wanted[10] = (uint8_t)((len + buffer_len - 1) / buffer_len);
    for (size_t off = 0; off < len; off += buffer_len, head++) {
        size_t here = len - off < buffer_len ? len - off : buffer_len;
        assert_memory_equal(memory(rx_addr(head), here), wanted + off, here);
        assert_int_equal(*memory(rx_addr(head) + here, 1), 0x77); /* no more */
        expect_used(head, (uint32_t)here);
    }
}

static void test_net_rx__frame_was_taken__answered_in_the_same_turn(void **state)
{
    (void)state;
    offer_buffers(0, 40, BUFFER_SIZE);
    fake.ready_count = 1;
    send_frame(0, 100, OURS);
    kick(1);
    expect_sent_used(0);
    expect_filtered(0, BUFFER_SIZE, 60);
    send_frame(1, 100, 1); /* not the filter's: no reason to ask it */
    fake.ready_count = 1;
    kick(1);
    expect_nothing_used();
}

static void test_net_rx__both_have_frames__the_filter_first(void **state)
{
    (void)state;
    const uint8_t *frame = frame_of(100, 1);
    offer_buffers(0, 40, BUFFER_SIZE);
    fake.ready_count = 2;
    assert_int_equal(send(fix.host, frame, 100, 0), 100);
    kick(0);
    expect_filtered(0, BUFFER_SIZE, 60);
    expect_filtered(1, BUFFER_SIZE, 60);
    expect_used(2, 100);
}

static void test_net_rx__buffers_too_few_for_the_tap__do_for_the_filter(void **state)
{
    (void)state;
    const uint8_t *frame = frame_of(100, 1);
    fake.ready_len = FRAME_FILTER_PULL_MAX_SIZE;
    fake.ready_count = 1;
    assert_int_equal(send(fix.host, frame, 100, 0), 100);
    offer_buffers(0, 15, 100); /* 1500 bytes */
    kick(0);
    expect_nothing_used();
    offer_buffers(15, 1, 100);
    kick(0);
    expect_filtered(0, 100, FRAME_FILTER_PULL_MAX_SIZE);
    expect_nothing_used();
    assert_int_equal(fake.ready_count, 0);
}

static void test_net_rx__without_merging__one_buffer(void **state)
{
    (void)state;
    reset_device();
    assert_int_equal(activate(0), 0);
    fake.ready_len = FRAME_FILTER_PULL_MAX_SIZE;
    fake.ready_count = 2;
    offer_buffers(0, 2, 1526);
    kick(0);
    expect_filtered(0, 1526, FRAME_FILTER_PULL_MAX_SIZE);
    expect_filtered(1, 1526, FRAME_FILTER_PULL_MAX_SIZE);
}

static void test_net_rx__limiter_denies__held_and_delivered_first(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 1, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &limiter, &(struct cfg_rate_limiter){0});
    offer_buffers(0, 40, BUFFER_SIZE);
    fake.ready_count = 2;
    kick(0);
    expect_filtered(0, BUFFER_SIZE, 60);
    expect_nothing_used();
    fix.now_ns += 100 * NS_PER_MS;
    assert_int_equal(loop_turn(fix.loop, 0), 1);
    expect_filtered(1, BUFFER_SIZE, 60);
}

static void test_net_rx__pause__held_frame_delivered_and_ring_whole(void **state)
{
    (void)state;
    struct virtio_dev *dev = net_virtio(fix.net);
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 1, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &limiter, &(struct cfg_rate_limiter){0});
    offer_buffers(0, 40, BUFFER_SIZE);
    fake.ready_count = 2;
    kick(0);
    assert_int_equal(virtio_dev_pause(dev, fix.now_ns), 0);
    expect_filtered(0, BUFFER_SIZE, 60);
    expect_filtered(1, BUFFER_SIZE, 60);
    assert_int_equal(vq_in_flight_count(&dev->queues[0]), 0);
    fake.due_ns = fix.now_ns + NS_PER_MS;
    fake.ready_count = 1;
    fix.now_ns += NS_PER_S;
    assert_true(loop_turn(fix.loop, 0) >= 0); /* nothing moves */
    expect_nothing_used();
    assert_int_equal(fake.ready_count, 1);
    virtio_dev_resume(dev);
}

static void test_net_rx__tap_is_gone__the_filter_answers_on(void **state)
{
    (void)state;
    offer_buffers(0, 40, BUFFER_SIZE);
    kick(0);
    fd_close(&fix.host); /* as an interface that is gone: reads fail from now on */
    assert_true(loop_turn(fix.loop, 0) >= 0);
    fake.ready_count = 1;
    send_frame(0, 100, OURS);
    kick(1);
    expect_filtered(0, BUFFER_SIZE, 60);
}

static void test_net_rx__due__asked_by_the_clock(void **state)
{
    (void)state;
    offer_buffers(0, 40, BUFFER_SIZE);
    fake.due_ns = fix.now_ns + 400 * NS_PER_MS;
    kick(0);
    expect_nothing_used();
    fix.now_ns = fake.due_ns - 1;
    assert_int_equal(loop_turn(fix.loop, 0), 0);
    fix.now_ns++;
    fake.due_ns = 0;
    fake.ready_count = 1;
    assert_int_equal(loop_turn(fix.loop, 0), 1);
    expect_filtered(0, BUFFER_SIZE, 60);
    fix.now_ns += NS_PER_S;
    assert_int_equal(loop_turn(fix.loop, 0), 0);
}

static void test_net_rx__endless_frames__a_pass_has_its_budget(void **state)
{
    (void)state;
    offer_buffers(0, 127, BUFFER_SIZE);
    fake.ready_count = 1000;
    kick(0);
    for (uint16_t i = 0; i < 64; i++)
        expect_used(i, TAP_HEADER_SIZE + 60);
    expect_nothing_used();
    assert_int_equal(fake.kicks_count, 1); /* goes on by itself */
}

static void test_net_reset__filter__forgets_too(void **state)
{
    (void)state;
    fake.due_ns = fix.now_ns + NS_PER_MS;
    offer_buffers(0, 40, BUFFER_SIZE);
    kick(0);
    reset_device();
    assert_int_equal(fake.resets_count, 1);
    fake.ready_count = 1;
    fix.now_ns += NS_PER_S;
    assert_true(loop_turn(fix.loop, 0) >= 0); /* the timer finds nobody */
    assert_int_equal(fake.ready_count, 1);
}

static void test_net_set_filter__taken_away__frames_go_to_the_tap(void **state)
{
    (void)state;
    static uint8_t got[FRAME_MAX];
    net_set_filter(fix.net, NULL);
    send_frame(0, 100, OURS);
    kick(1);
    assert_int_equal(host_gets(got, sizeof(got)), 100);
    assert_int_equal(fake.wants_count, 0);
}

/* Buffers that take no frame cost a turn, too: a guest that offers them again and again gets no
 * endless pass. */
static void test_net_rx__budget_spent_on_bad_buffers__no_frame_is_delivered_on_credit(void **state)
{
    (void)state;
    uint32_t id;
    uint32_t len;
    uint32_t used_count = 0;
    offer_buffers(0, 1, BUFFER_SIZE);
    for (uint16_t i = 1; i < 65; i++) { /* for the device to read */
        vqd_desc(&fix.rx, VQD_DESC, i, rx_addr(i), 100, 0, 0);
        vqd_offer(&fix.rx, i);
    }
    offer_buffers(65, 62, BUFFER_SIZE);
    fake.ready_count = 1000;
    kick(0);
    while (vqd_take_used(&fix.rx, &id, &len) == 1)
        used_count++;
    assert_in_range(used_count, 1, 65);
    assert_int_equal(fake.kicks_count, 1);
}

static void test_net_tx__frame_beyond_the_bucket_for_the_filter__mints_nothing(void **state)
{
    (void)state;
    static uint8_t got[FRAME_MAX];
    const struct cfg_rate_limiter limiter = {
        .present = true, .bandwidth = {.present = true, .size = 60000, .refill_time_ms = 100}};
    uint64_t sent = 0;
    net_replace_limiters(fix.net, &(struct cfg_rate_limiter){0}, &limiter);
    for (uint32_t round = 0; round < 300; round++) { /* while no time goes on */
        uint32_t id;
        uint32_t len;
        ssize_t here;
        send_frame(0, 590, 1);
        send_frame(1, 60001, OURS);
        kick(1);
        assert_true(loop_turn(fix.loop, 0) >= 0);
        while (vqd_take_used(&fix.tx, &id, &len) == 1)
            continue;
        while ((here = host_gets(got, sizeof(got))) > 0)
            sent += (uint64_t)here;
        if (vq_in_flight_count(&net_virtio(fix.net)->queues[1]) > 0 || sent >= 59500)
            break;
    }
    assert_in_range(sent, 590, 60000);
}

static void test_net_tx__frames_for_the_filter__a_pass_takes_an_eighth_as_many(void **state)
{
    (void)state;
    for (uint16_t head = 0; head < 20; head++)
        send_frame(head, 100, OURS);
    kick(1);
    assert_int_equal(fake.taken_count, 8);
    kick(1); /* the device asks for it itself */
    kick(1);
    assert_int_equal(fake.taken_count, 20);
}

#define FILTER(test) cmocka_unit_test_setup_teardown(test, filter_setup, filter_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILTER(test_net_rx__budget_spent_on_bad_buffers__no_frame_is_delivered_on_credit),
        FILTER(test_net_tx__frame_beyond_the_bucket_for_the_filter__mints_nothing),
        FILTER(test_net_tx__frames_for_the_filter__a_pass_takes_an_eighth_as_many),
        FILTER(test_net_tx__wanted_frame__taken_and_not_sent),
        FILTER(test_net_tx__wanted_frame_of_any_size__its_beginning_taken),
        FILTER(test_net_tx__other_frame__sent),
        FILTER(test_net_tx__memory_turns_into_ours__sent_as_decided),
        FILTER(test_net_tx__memory_turns_into_others__taken_as_decided),
        FILTER(test_net_tx__wanted_frames__cost_nothing),
        FILTER(test_net_rx__frame_was_taken__answered_in_the_same_turn),
        FILTER(test_net_rx__both_have_frames__the_filter_first),
        FILTER(test_net_rx__buffers_too_few_for_the_tap__do_for_the_filter),
        FILTER(test_net_rx__without_merging__one_buffer),
        FILTER(test_net_rx__limiter_denies__held_and_delivered_first),
        FILTER(test_net_rx__pause__held_frame_delivered_and_ring_whole),
        FILTER(test_net_rx__tap_is_gone__the_filter_answers_on),
        FILTER(test_net_rx__due__asked_by_the_clock),
        FILTER(test_net_rx__endless_frames__a_pass_has_its_budget),
        FILTER(test_net_reset__filter__forgets_too),
        FILTER(test_net_set_filter__taken_away__frames_go_to_the_tap),
    };
    return cmocka_run_group_tests_name("net_filter", tests, NULL, NULL);
}
