/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as bytes: each member that is kept comes back, and crafted bytes are refused with
 * a sentence. Single thread.
 */
#include "snapshots/snap_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "tests/unit/unit.h"

struct bytes {
    uint8_t *data; /* heap */
    size_t len;
};

static char *dup(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static struct cfg_rate_limiter limiter_of(uint64_t from)
{
    return (struct cfg_rate_limiter){
        .present = true,
        .bandwidth = {true, from, from + 1, from + 2},
        .ops = {true, from + 3, from + 4, from + 5},
    };
}

static void fill_drives(struct cfg_vm *vm)
{
    struct err err = ERR_INIT;
    struct cfg_drive root = {
        .drive_id = dup("rootfs"),
        .partuuid = dup("0eaa91a0-01"),
        .is_root_device = true,
        .cache_type = CFG_CACHE_WRITEBACK,
        .is_read_only = true,
        .path_on_host = dup("/images/root.ext4"),
        .rate_limiter = limiter_of(100),
        .io_engine = CFG_IO_ENGINE_ASYNC,
    };
    struct cfg_drive data = {.drive_id = dup("data"), .path_on_host = dup("data.img")};
    assert_int_equal(cfg_drives_put(vm, &root, &err), 0);
    assert_int_equal(cfg_drives_put(vm, &data, &err), 0);
}

static void fill_nics(struct cfg_vm *vm)
{
    struct err err = ERR_INIT;
    struct cfg_nic first = {
        .iface_id = dup("eth0"),
        .host_dev_name = dup("tap0"),
        .has_guest_mac = true,
        .guest_mac = {2, 3, 4, 5, 6, 7},
        .has_mtu = true,
        .mtu = 1400,
        .rx_rate_limiter = limiter_of(200),
        .tx_rate_limiter = limiter_of(300),
    };
    struct cfg_nic second = {.iface_id = dup("eth1"), .host_dev_name = dup("tap1")};
    assert_int_equal(cfg_nics_put(vm, &first, &err), 0);
    assert_int_equal(cfg_nics_put(vm, &second, &err), 0);
}

static void fill(struct cfg_vm *vm)
{
    cfg_vm_init(vm);
    vm->machine = (struct cfg_machine){
        .vcpu_count = 4,
        .mem_size_mib = 3000,
        .smt = true,
        .has_cpu_template = true,
        .cpu_template = CFG_TEMPLATE_T2CL,
        .track_dirty_pages = true,
        .huge_pages = CFG_HUGE_PAGES_2M,
    };
    vm->boot_source.kernel_image_path = dup("/images/vmlinux");
    vm->boot_source.initrd_path = dup("/images/initrd");
    vm->boot_source.boot_args = dup("console=ttyS0 \"quoted\"");
    fill_drives(vm);
    fill_nics(vm);
    vm->has_vsock = true;
    vm->vsock.guest_cid = 77;
    vm->vsock.uds_path = dup("/run/v.sock");
    vm->vsock.vsock_id = dup("vsock0");
    vm->has_mmds = true;
    vm->mmds.network_interfaces[0] = dup("eth0");
    vm->mmds.network_interfaces[1] = dup("eth1");
    vm->mmds.network_interfaces_count = 2;
    vm->mmds.version = CFG_MMDS_V2;
    vm->mmds.ipv4_address = dup("169.254.170.2");
    vm->mmds.imds_compat = true;
}

static struct cfg_vm vm;
static struct bytes bytes;

/* vm as bytes; it is empty then. */
static void encode(void)
{
    struct err err = ERR_INIT;
    free(bytes.data);
    assert_int_equal(snap_config_encode(&vm, &bytes.data, &bytes.len, &err), 0);
    cfg_vm_done(&vm);
}

static int setup(void **state)
{
    (void)state;
    fill(&vm);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cfg_vm_done(&vm);
    free(bytes.data);
    bytes = (struct bytes){0};
    return 0;
}

/* Into vm. */
static void decode(void)
{
    struct err err = ERR_INIT;
    int rc = snap_config_decode(bytes.data, bytes.len, &vm, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

/* Refused with a sentence that has `part`; nothing is held then. */
static void expect_refused(const char *part)
{
    struct err err = ERR_INIT;
    assert_int_equal(snap_config_decode(bytes.data, bytes.len, &vm, &err), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    if (strncmp(err.msg, "configuration: ", 15) != 0 || !strstr(err.msg + 15, part))
        fail_msg("'%s' has no '%s'", err.msg, part);
}

/* Where a text is in the bytes: its first character. */
static size_t find(const char *text)
{
    const uint8_t *at = memmem(bytes.data, bytes.len, text, strlen(text));
    if (!at)
        fail_msg("no %s in the bytes", text);
    return (size_t)(at - bytes.data);
}

static void expect_limiter(const struct cfg_rate_limiter *limiter, uint64_t from)
{
    assert_true(limiter->present && limiter->bandwidth.present && limiter->ops.present);
    assert_int_equal(limiter->bandwidth.size, from);
    assert_int_equal(limiter->bandwidth.one_time_burst, from + 1);
    assert_int_equal(limiter->bandwidth.refill_time_ms, from + 2);
    assert_int_equal(limiter->ops.size, from + 3);
    assert_int_equal(limiter->ops.one_time_burst, from + 4);
    assert_int_equal(limiter->ops.refill_time_ms, from + 5);
}

static void test_snap_config_decode__machine__every_member_is_back(void **state)
{
    (void)state;
    encode();
    decode();
    assert_int_equal(vm.machine.vcpu_count, 4);
    assert_int_equal(vm.machine.mem_size_mib, 3000);
    assert_true(vm.machine.smt);
    assert_true(vm.machine.has_cpu_template);
    assert_int_equal(vm.machine.cpu_template, CFG_TEMPLATE_T2CL);
    assert_true(vm.machine.track_dirty_pages);
    assert_int_equal(vm.machine.huge_pages, CFG_HUGE_PAGES_2M);
}

static void test_snap_config_decode__boot_source__every_member_is_back(void **state)
{
    (void)state;
    encode();
    decode();
    assert_string_equal(vm.boot_source.kernel_image_path, "/images/vmlinux");
    assert_string_equal(vm.boot_source.initrd_path, "/images/initrd");
    assert_string_equal(vm.boot_source.boot_args, "console=ttyS0 \"quoted\"");
}

static void test_snap_config_decode__boot_source_without_options__stay_absent(void **state)
{
    (void)state;
    free(vm.boot_source.initrd_path);
    free(vm.boot_source.boot_args);
    vm.boot_source.initrd_path = vm.boot_source.boot_args = NULL;
    encode();
    decode();
    assert_string_equal(vm.boot_source.kernel_image_path, "/images/vmlinux");
    assert_null(vm.boot_source.initrd_path);
    assert_null(vm.boot_source.boot_args);
}

static void test_snap_config_decode__empty_boot_args__stay_empty(void **state)
{
    (void)state;
    vm.boot_source.boot_args[0] = '\0';
    encode();
    decode();
    assert_string_equal(vm.boot_source.boot_args, "");
}

static void test_snap_config_decode__drives__every_member_is_back(void **state)
{
    (void)state;
    encode();
    decode();
    assert_int_equal(vm.drives_count, 2);
    const struct cfg_drive *root = &vm.drives[0];
    assert_string_equal(root->drive_id, "rootfs");
    assert_string_equal(root->partuuid, "0eaa91a0-01");
    assert_true(root->is_root_device);
    assert_int_equal(root->cache_type, CFG_CACHE_WRITEBACK);
    assert_true(root->is_read_only);
    assert_string_equal(root->path_on_host, "/images/root.ext4");
    assert_int_equal(root->io_engine, CFG_IO_ENGINE_ASYNC);
    expect_limiter(&root->rate_limiter, 100);
    const struct cfg_drive *data = &vm.drives[1];
    assert_string_equal(data->drive_id, "data");
    assert_string_equal(data->path_on_host, "data.img");
    assert_null(data->partuuid);
    assert_false(data->is_root_device);
    assert_false(data->is_read_only);
    assert_false(data->rate_limiter.present);
}

static void test_snap_config_decode__nics__every_member_is_back(void **state)
{
    (void)state;
    static const uint8_t mac[6] = {2, 3, 4, 5, 6, 7};
    encode();
    decode();
    assert_int_equal(vm.nics_count, 2);
    const struct cfg_nic *first = &vm.nics[0];
    assert_string_equal(first->iface_id, "eth0");
    assert_string_equal(first->host_dev_name, "tap0");
    assert_true(first->has_guest_mac);
    assert_memory_equal(first->guest_mac, mac, sizeof(mac));
    assert_true(first->has_mtu);
    assert_int_equal(first->mtu, 1400);
    expect_limiter(&first->rx_rate_limiter, 200);
    expect_limiter(&first->tx_rate_limiter, 300);
    const struct cfg_nic *second = &vm.nics[1];
    assert_string_equal(second->iface_id, "eth1");
    assert_false(second->has_guest_mac);
    assert_false(second->has_mtu);
    assert_false(second->rx_rate_limiter.present);
}

static void test_snap_config_decode__vsock_and_mmds__every_member_is_back(void **state)
{
    (void)state;
    encode();
    decode();
    assert_true(vm.has_vsock);
    assert_int_equal(vm.vsock.guest_cid, 77);
    assert_string_equal(vm.vsock.uds_path, "/run/v.sock");
    assert_string_equal(vm.vsock.vsock_id, "vsock0");
    assert_true(vm.has_mmds);
    assert_int_equal(vm.mmds.network_interfaces_count, 2);
    assert_string_equal(vm.mmds.network_interfaces[0], "eth0");
    assert_string_equal(vm.mmds.network_interfaces[1], "eth1");
    assert_int_equal(vm.mmds.version, CFG_MMDS_V2);
    assert_string_equal(vm.mmds.ipv4_address, "169.254.170.2");
    assert_true(vm.mmds.imds_compat);
}

static void test_snap_config_decode__machine_alone__no_device(void **state)
{
    (void)state;
    cfg_vm_done(&vm);
    cfg_vm_init(&vm);
    vm.boot_source.kernel_image_path = dup("k");
    encode();
    decode();
    assert_int_equal(vm.machine.vcpu_count, 1);
    assert_int_equal(vm.drives_count, 0);
    assert_int_equal(vm.nics_count, 0);
    assert_false(vm.has_vsock);
    assert_false(vm.has_mmds);
}

static void test_snap_config_decode__cut_off_anywhere__refused(void **state)
{
    (void)state;
    encode();
    struct bytes whole = bytes;
    for (size_t len = 0; len < whole.len; len++) {
        /* Of its own size, so that a read behind its end is seen. */
        bytes = (struct bytes){malloc(len + 1), len};
        assert_non_null(bytes.data);
        memcpy(bytes.data, whole.data, len);
        expect_refused("");
        free(bytes.data);
    }
    bytes = whole;
}

static void test_snap_config_decode__something_behind__refused(void **state)
{
    (void)state;
    encode();
    bytes.data = realloc(bytes.data, bytes.len + 1);
    assert_non_null(bytes.data);
    bytes.data[bytes.len++] = 0;
    expect_refused("something follows it");
}

static void
test_snap_config_decode__any_byte_changed__taken_or_refused_with_a_sentence(void **state)
{
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0xff};
    encode();
    for (size_t i = 0; i < bytes.len * ARRAY_LEN(values); i++) {
        struct err err = ERR_INIT;
        uint8_t *at = &bytes.data[i / ARRAY_LEN(values)];
        uint8_t before = *at;
        *at = values[i % ARRAY_LEN(values)];
        int rc = snap_config_decode(bytes.data, bytes.len, &vm, &err);
        bool said = strlen(err.msg) > strlen("configuration: ");
        if (rc != 0 && (rc > 0 || err.code != rc || !said))
            fail_msg("byte %zu set to %u: result %d, sentence '%s'", i / ARRAY_LEN(values), *at, rc,
                     err.msg);
        cfg_vm_done(&vm);
        *at = before;
    }
}

static void test_snap_config_decode__unknown_member__refused(void **state)
{
    (void)state;
    encode();
    bytes.data[find("mem_size_mib")] = 'n';
    expect_refused("MachineConfig has a member that this build does not know");
}

static void test_snap_config_decode__required_text_missing__refused(void **state)
{
    (void)state;
    free(vm.drives[1].drive_id);
    vm.drives[1].drive_id = NULL;
    encode();
    expect_refused("is cut off, or has a value that it cannot have");
}

static void test_snap_config_decode__vsock_without_path__refused(void **state)
{
    (void)state;
    free(vm.vsock.uds_path);
    vm.vsock.uds_path = NULL;
    encode();
    expect_refused("is cut off, or has a value that it cannot have");
}

static void test_snap_config_decode__enum_out_of_range__refused(void **state)
{
    (void)state;
    encode();
    bytes.data[find("io_engine") + strlen("io_engine")] = CFG_IO_ENGINE_ASYNC + 1;
    expect_refused("has a value that it cannot have");
}

static void test_snap_config_encode__enum_out_of_range__refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct bytes none = {0};
    vm.drives[0].io_engine = (enum cfg_io_engine)(CFG_IO_ENGINE_ASYNC + 1);
    assert_int_equal(snap_config_encode(&vm, &none.data, &none.len, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "a value that no snapshot may have"));
    assert_null(none.data);
}

static void test_snap_config_decode__number_out_of_range__refused(void **state)
{
    (void)state;
    encode();
    /* Behind the name: its value in 8 bytes; 256 is no u8. */
    bytes.data[find("vcpu_count") + strlen("vcpu_count") + 1] = 1;
    expect_refused("has a value that it cannot have");
}

static void test_snap_config_decode__machine_that_no_request_could_make__refused(void **state)
{
    (void)state;
    vm.machine.vcpu_count = CFG_VCPUS_MAX + 1;
    encode();
    expect_refused("vCPU");
}

static void test_snap_config_decode__two_root_drives__refused(void **state)
{
    (void)state;
    vm.drives[1].is_root_device = true;
    encode();
    struct err err = ERR_INIT;
    int rc = snap_config_decode(bytes.data, bytes.len, &vm, &err);
    assert_true(rc < 0);
    assert_string_equal(err.msg, "configuration: A root block device already exists!");
}

static void test_snap_config_decode__two_nics_with_one_mac__refused(void **state)
{
    (void)state;
    vm.nics[1].has_guest_mac = true;
    memcpy(vm.nics[1].guest_mac, vm.nics[0].guest_mac, 6);
    encode();
    struct err err = ERR_INIT;
    int rc = snap_config_decode(bytes.data, bytes.len, &vm, &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.msg, "The MAC address is already in use"));
}

static void test_snap_config_decode__mmds_of_a_missing_nic__refused(void **state)
{
    (void)state;
    vm.mmds.network_interfaces[1][3] = '9';
    encode();
    expect_refused("network interface");
}

/* The list is: its name, how many, and for each whether it is there, its length, its text. */
static void test_snap_config_decode__list_with_an_absent_text__refused(void **state)
{
    (void)state;
    encode();
    bytes.data[find("network_interfaces") + strlen("network_interfaces") + 4] = 0;
    expect_refused("is cut off, or has a value that it cannot have");
}

static void test_snap_config_decode__more_drives_than_any__refused(void **state)
{
    (void)state;
    cfg_vm_done(&vm);
    cfg_vm_init(&vm);
    vm.boot_source.kernel_image_path = dup("k");
    encode();
    /* Behind machine and boot source: drives, interfaces, and two that are not there. */
    bytes.data[bytes.len - 10] = CFG_DRIVES_MAX + 1;
    expect_refused("it is cut off");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_config_decode__machine__every_member_is_back),
        TEST(test_snap_config_decode__boot_source__every_member_is_back),
        TEST(test_snap_config_decode__boot_source_without_options__stay_absent),
        TEST(test_snap_config_decode__empty_boot_args__stay_empty),
        TEST(test_snap_config_decode__drives__every_member_is_back),
        TEST(test_snap_config_decode__nics__every_member_is_back),
        TEST(test_snap_config_decode__vsock_and_mmds__every_member_is_back),
        TEST(test_snap_config_decode__machine_alone__no_device),
        TEST(test_snap_config_decode__cut_off_anywhere__refused),
        TEST(test_snap_config_decode__something_behind__refused),
        TEST(test_snap_config_decode__any_byte_changed__taken_or_refused_with_a_sentence),
        TEST(test_snap_config_decode__unknown_member__refused),
        TEST(test_snap_config_decode__required_text_missing__refused),
        TEST(test_snap_config_decode__vsock_without_path__refused),
        TEST(test_snap_config_decode__enum_out_of_range__refused),
        TEST(test_snap_config_encode__enum_out_of_range__refused),
        TEST(test_snap_config_decode__number_out_of_range__refused),
        TEST(test_snap_config_decode__machine_that_no_request_could_make__refused),
        TEST(test_snap_config_decode__two_root_drives__refused),
        TEST(test_snap_config_decode__two_nics_with_one_mac__refused),
        TEST(test_snap_config_decode__mmds_of_a_missing_nic__refused),
        TEST(test_snap_config_decode__list_with_an_absent_text__refused),
        TEST(test_snap_config_decode__more_drives_than_any__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
