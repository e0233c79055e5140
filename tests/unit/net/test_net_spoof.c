/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose other vCPU changes a frame's source address while the frame is being sent: what is
 * counted is what was sent, frame by frame and in every interleaving. Two threads: the test's,
 * which is the device's, and the one that flips. (Natively, with two vCPUs: cases_net.py.)
 */
#include <linux/if_ether.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/net/net_fixture.h"

#define FRAME_SIZE 300u   /* longer than what is looked at */
#define FRAMES_MIN 20000u /* more, until both kinds were seen */
#define SOURCE (TAP_HEADER_SIZE + 6u)

static struct {
    pthread_t thread;
    _Atomic uint8_t *source; /* in guest memory: the last byte of the frame's source address */
    atomic_bool stop;
} flip;

static void *flip_for_ever(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&flip.stop, memory_order_relaxed)) {
        atomic_store_explicit(flip.source, our_mac[5] ^ 1, memory_order_relaxed);
        atomic_store_explicit(flip.source, our_mac[5], memory_order_relaxed);
    }
    return NULL;
}

/* Sends one frame. Returns whether it arrived with a foreign address; it was counted
 * accordingly. */
static bool sent_foreign(void)
{
    static uint8_t got[FRAME_MAX];
    uint64_t before = metric_get(&counters()->tx_spoofed_mac_count);
    uint32_t id;
    uint32_t len;

    /* Again for each: a scribbling build has eaten the last one. */
    assert_int_equal(gmem_write(fix.gmem, gpa(TX_BUFFERS), frame_of(FRAME_SIZE, 0), FRAME_SIZE), 0);
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 0, TX_BUFFERS, FRAME_SIZE, 0, 0);
    vqd_offer(&fix.tx, 0);
    kick(1);
    assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 1);
    assert_int_equal(recv(fix.host, got, sizeof(got), MSG_DONTWAIT), FRAME_SIZE);

    bool foreign = memcmp(got + SOURCE, our_mac, sizeof(our_mac)) != 0;
    uint64_t counted = metric_get(&counters()->tx_spoofed_mac_count) - before;
    assert_int_equal(counted, foreign);
    return foreign;
}

static int setup_flip(void **state)
{
    struct iovec iov;
    if (setup(state) < 0 ||
        gmem_iov(fix.gmem, gpa(TX_BUFFERS + SOURCE + ETH_ALEN - 1), 1, false, &iov) < 0)
        return -1;
    flip.source = iov.iov_base;
    return -pthread_create(&flip.thread, NULL, flip_for_ever, NULL);
}

static int teardown_flip(void **state)
{
    atomic_store_explicit(&flip.stop, true, memory_order_relaxed);
    return pthread_join(flip.thread, NULL) == 0 ? teardown(state) : -1;
}

static void test_net_tx__source_mac_flips_meanwhile__counted_as_sent(void **state)
{
    (void)state;
    uint32_t foreign_count = 0;
    uint32_t sent_count = 0;

    while (sent_count < FRAMES_MIN || foreign_count == 0 || foreign_count == sent_count) {
        foreign_count += sent_foreign();
        sent_count++;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_net_tx__source_mac_flips_meanwhile__counted_as_sent,
                                        setup_flip, teardown_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
