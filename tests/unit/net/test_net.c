/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of a NIC's life, features and config space: devices/net/net.c. Single thread. */
#include <linux/if_tun.h>

#include "tests/unit/net/net_fixture.h"

static void test_net_create__plain__features_without_what_was_not_asked(void **state)
{
    (void)state;
    struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    nic.has_guest_mac = false;
    assert_int_equal(nic_create(&nic, &err), 0);
    uint64_t offered = net_virtio(fix.net)->offered;
    static const uint32_t wanted[] = {0, 1, 7, 8, 11, 12, 15, 28, 29, 32}; /* devices.md 4 */
    static const uint32_t absent[] = {3, 5, 10, 14, 16, 17, 22, 54, 55, 56};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        assert_true(offered & 1ull << wanted[i]);
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_false(offered & 1ull << absent[i]);
}

static void test_net_create__mac_and_mtu__offered_and_in_the_config(void **state)
{
    (void)state;
    struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    nic.has_mtu = true;
    nic.mtu = 9000;
    assert_int_equal(nic_create(&nic, &err), 0);
    const struct virtio_dev *dev = net_virtio(fix.net);
    static const uint8_t config[] = {0x06, 0, 0xac, 0x10, 0, 2, 0, 0, 0, 0, 0x28, 0x23};
    assert_int_equal(dev->config_size, sizeof(config));
    assert_memory_equal(dev->config, config, sizeof(config));
    assert_true(dev->offered & 1ull << VIRTIO_NET_F_MAC && dev->offered & 1ull << VIRTIO_NET_F_MTU);
}

static void test_net_create__tap_segments_udp__offered(void **state)
{
    (void)state;
    const struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    fix.has_uso = true;
    assert_int_equal(nic_create(&nic, &err), 0);
    assert_int_equal(net_virtio(fix.net)->offered >> 54 & 7, 7);
}

static void test_net_create__no_tap__its_sentence(void **state)
{
    (void)state;
    const struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    fix.open_result = -EBUSY;
    assert_int_equal(nic_create(&nic, &err), -EBUSY);
    assert_string_equal(err.msg, "no tap0");
    assert_null(fix.net);
}

/* Bit n of `features` is feature n. */
static void check_offload(uint64_t features, unsigned offload)
{
    reset_device();
    fix.offload = 0xdead;
    assert_int_equal(activate(features), 0);
    assert_int_equal(fix.offload, offload);
}

static void test_net_activate__guest_features__tap_leaves_as_much_undone(void **state)
{
    const struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    assert_int_equal(setup_base(state), 0);
    fix.has_uso = true;
    assert_int_equal(nic_create(&nic, &err), 0);
    assert_int_equal(activate(0), 0);
    check_offload(0, 0);
    check_offload(1ull << 1, TUN_F_CSUM);
    check_offload(1ull << 1 | 1ull << 7, TUN_F_CSUM | TUN_F_TSO4);
    check_offload(1ull << 1 | 1ull << 8, TUN_F_CSUM | TUN_F_TSO6);
    check_offload(1ull << 7, 0); /* segments need checksums */
    check_offload(1ull << 1 | 1ull << 54, TUN_F_CSUM);
    check_offload(1ull << 1 | 3ull << 54, TUN_F_CSUM | 0x60);
}

static void test_net_activate__tap_refuses__needs_reset(void **state)
{
    (void)state;
    reset_device();
    fix.offload_result = -EINVAL;
    assert_int_equal(activate(0), -EINVAL);
    assert_true(net_virtio(fix.net)->broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(test_net_create__plain__features_without_what_was_not_asked),
        BARE(test_net_create__mac_and_mtu__offered_and_in_the_config),
        BARE(test_net_create__tap_segments_udp__offered),
        BARE(test_net_create__no_tap__its_sentence),
        cmocka_unit_test_teardown(test_net_activate__guest_features__tap_leaves_as_much_undone,
                                  teardown),
        TEST(test_net_activate__tap_refuses__needs_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
