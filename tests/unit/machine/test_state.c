/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a state can be a machine's: one that can, and each way that one cannot, which a crafted
 * file may have. Single thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/machine/machine_int.h"

#define MEM_SIZE_MIB 4096u /* two regions */

static struct machine_state good;
static struct cfg_vm config;

static void fill_config(void)
{
    struct err err = ERR_INIT;
    struct cfg_drive drive = {.drive_id = strdup("root"), .path_on_host = strdup("r")};
    struct cfg_nic nic = {.iface_id = strdup("eth0"), .host_dev_name = strdup("tap0")};
    cfg_vm_init(&config);
    config.machine.vcpu_count = 2;
    config.machine.mem_size_mib = MEM_SIZE_MIB;
    assert_int_equal(cfg_drives_put(&config, &drive, &err), 0);
    assert_int_equal(cfg_nics_put(&config, &nic, &err), 0);
    config.has_vsock = true;
    config.vsock.uds_path = strdup("v");
}

static void fill_devices(void)
{
    static const enum machine_device_kind kinds[] = {MACHINE_DEVICE_BLK, MACHINE_DEVICE_NET,
                                                     MACHINE_DEVICE_VSOCK};
    good.devices_count = ARRAY_LEN(kinds);
    for (uint32_t i = 0; i < ARRAY_LEN(kinds); i++) {
        good.devices[i].kind = kinds[i];
        good.devices[i].base = LAYOUT_VIRTIO_MMIO_BASE + i * LAYOUT_VIRTIO_MMIO_STEP;
        good.devices[i].gsi = LAYOUT_GSI_VIRTIO_FIRST + i;
        good.devices[i].virtio.queues_count = i + 1;
    }
}

static int setup(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    memset(&good, 0, sizeof(good));
    fill_config();
    fill_devices();
    good.vm.irqchip = HV_IRQCHIP_SPLIT;
    good.ioapic.pins_count = 10;
    good.generation.vmgenid_gsi = 8;
    good.generation.vmclock_gsi = 9;
    good.vcpus_count = 2;
    good.vcpus = calloc(2, sizeof(*good.vcpus));
    if (!good.vcpus)
        return -1;
    good.vcpus[0].xsave_size = good.vcpus[1].xsave_size = HV_STATE_XSAVE_SIZE_MIN;
    return arch_memory_ranges((uint64_t)MEM_SIZE_MIB << 20, good.regions, &good.regions_count,
                              &err);
}

static int teardown(void **state)
{
    (void)state;
    machine_state_done(&good);
    cfg_vm_done(&config);
    return 0;
}

/* One thing that is wrong, and what is said of it. */
struct row {
    const char *sentence;
    void (*spoil)(struct machine_state *state);
};

static void one_vcpu(struct machine_state *state)
{
    state->vcpus_count = 1;
}

static void many_cpuid_entries(struct machine_state *state)
{
    state->vcpus[1].cpuid.count = HV_CPUID_ENTRIES_MAX + 1;
}

static void many_msrs(struct machine_state *state)
{
    state->vcpus[1].msrs_count = HV_STATE_MSRS_MAX + 1;
}

static void small_xsave(struct machine_state *state)
{
    state->vcpus[1].xsave_size = HV_STATE_XSAVE_SIZE_MIN - 1;
}

static void large_xsave(struct machine_state *state)
{
    state->vcpus[1].xsave_size = HV_STATE_XSAVE_SIZE_MAX + 1;
}

static void one_region(struct machine_state *state)
{
    state->regions_count = 1;
}

static void shorter_region(struct machine_state *state)
{
    state->regions[1].size -= GMEM_PAGE_SIZE;
}

static void moved_region(struct machine_state *state)
{
    state->regions[1].base.v += GMEM_PAGE_SIZE;
}

static void many_devices(struct machine_state *state)
{
    state->devices_count = MACHINE_STATE_DEVICES_MAX + 1;
}

static void unknown_kind(struct machine_state *state)
{
    state->devices[2].kind = (enum machine_device_kind)9;
}

static void kind_of_another(struct machine_state *state)
{
    state->devices[1].kind = MACHINE_DEVICE_BLK;
}

static void device_missing(struct machine_state *state)
{
    state->devices_count = 2;
}

static void window_too_low(struct machine_state *state)
{
    state->devices[0].base = LAYOUT_VIRTIO_MMIO_BASE - LAYOUT_VIRTIO_MMIO_STEP;
}

static void window_too_high(struct machine_state *state)
{
    state->devices[0].base = LAYOUT_ECAM_BASE;
}

static void window_in_between(struct machine_state *state)
{
    state->devices[0].base += LAYOUT_VIRTIO_MMIO_STEP / 2;
}

static void line_too_low(struct machine_state *state)
{
    state->devices[0].gsi = LAYOUT_GSI_VIRTIO_FIRST - 1;
}

static void line_too_high(struct machine_state *state)
{
    state->devices[0].gsi = LAYOUT_GSI_LAST + 1;
}

static void line_far_too_high(struct machine_state *state)
{
    state->devices[0].gsi = UINT32_MAX;
}

static void line_of_another(struct machine_state *state)
{
    state->devices[2].gsi = state->devices[0].gsi;
}

static void bad_virtio(struct machine_state *state)
{
    state->devices[1].virtio.queues_count = VIRTIO_QUEUES_MAX + 1;
}

static void unknown_irqchip(struct machine_state *state)
{
    state->vm.irqchip = (enum hv_irqchip)7;
}

static void no_pins(struct machine_state *state)
{
    state->ioapic.pins_count = 0;
}

static void many_pins(struct machine_state *state)
{
    state->ioapic.pins_count = IOAPIC_PINS_MAX + 1;
}

static void vmgenid_line(struct machine_state *state)
{
    state->generation.vmgenid_gsi = LAYOUT_GSI_LAST + 1;
}

static void vmclock_line(struct machine_state *state)
{
    state->generation.vmclock_gsi = UINT32_MAX;
}

static const struct row rows[] = {
    {"it has 1 vCPUs, its configuration 2", one_vcpu},
    {"vCPU 1 has 257 CPUID entries, 0 MSRs and 4096 bytes of extended state", many_cpuid_entries},
    {"vCPU 1 has 0 CPUID entries, 513 MSRs and 4096 bytes of extended state", many_msrs},
    {"vCPU 1 has 0 CPUID entries, 0 MSRs and 4095 bytes of extended state", small_xsave},
    {"vCPU 1 has 0 CPUID entries, 0 MSRs and 16385 bytes of extended state", large_xsave},
    {"its memory is not laid out as 4096 MiB are", one_region},
    {"its memory is not laid out as 4096 MiB are", shorter_region},
    {"its memory is not laid out as 4096 MiB are", moved_region},
    {"it has 18 devices, more than 17", many_devices},
    {"device 2 is of the unknown kind 9", unknown_kind},
    {"it has 2 block devices, its configuration 1", kind_of_another},
    {"it has 0 vsock devices, its configuration 1", device_missing},
    {"device 0: its window at 0xc0000000 is not where devices are", window_too_low},
    {"device 0: its window at 0xeec00000 is not where devices are", window_too_high},
    {"device 0: its window at 0xc0001800 is not where devices are", window_in_between},
    {"device 0: its interrupt line 4 is not a device's, or another's", line_too_low},
    {"device 0: its interrupt line 24 is not a device's, or another's", line_too_high},
    {"device 0: its interrupt line 4294967295 is not a device's, or another's", line_far_too_high},
    {"device 2: its interrupt line 5 is not a device's, or another's", line_of_another},
    {"device 1: it has 4 queues, expected 1 to 3", bad_virtio},
    {"its irqchip is of the unknown kind 7", unknown_irqchip},
    {"its IOAPIC has 0 pins, expected 1 to 24", no_pins},
    {"its IOAPIC has 25 pins, expected 1 to 24", many_pins},
    {"VMGenID's line 24 or VMClock's 9 is beyond the last", vmgenid_line},
    {"VMGenID's line 8 or VMClock's 4294967295 is beyond the last", vmclock_line},
};

static void test_machine_state_check__good_state__passes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    int rc = machine_state_check(&good, &config, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void test_machine_state_check__full_irqchip__no_pins_of_ours_are_asked_for(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    good.vm.irqchip = HV_IRQCHIP_FULL;
    good.ioapic.pins_count = 0;
    assert_int_equal(machine_state_check(&good, &config, &err), 0);
}

static void test_machine_state_check__one_thing_wrong__refused_with_its_sentence(void **state)
{
    (void)state;
    static struct machine_state bad;
    static struct hv_vcpu_state vcpus[2];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        memcpy(&bad, &good, sizeof(bad));
        memcpy(vcpus, good.vcpus, sizeof(vcpus));
        bad.vcpus = vcpus;
        rows[i].spoil(&bad);
        int rc = machine_state_check(&bad, &config, &err);
        assert_string_equal(err.msg, rows[i].sentence);
        assert_int_equal(rc, -EINVAL);
    }
}

static void test_machine_state_check__memory_beyond_any__refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    config.machine.mem_size_mib = UINT64_MAX;
    assert_int_equal(machine_state_check(&good, &config, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "MiB of memory"));
}

static void test_machine_state_done__zeroed__fine(void **state)
{
    (void)state;
    static struct machine_state zeroed;
    machine_state_done(&zeroed);
    assert_null(zeroed.vcpus);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_machine_state_check__good_state__passes),
        TEST(test_machine_state_check__full_irqchip__no_pins_of_ours_are_asked_for),
        TEST(test_machine_state_check__one_thing_wrong__refused_with_its_sentence),
        TEST(test_machine_state_check__memory_beyond_any__refused),
        TEST(test_machine_state_done__zeroed__fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
