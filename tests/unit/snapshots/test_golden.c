/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State files that builds of their time have written, each kept for ever (golden/): this build
 * reads them, and finds in them what was there. They are never made anew; a new version of the
 * format adds one. All: one vCPU that runs tests/native/guests/numbers.S, 16 MiB, a drive with a
 * limiter that the guest has not touched. v1_0.state: all samples are looked at by a load;
 * v1_1.state: the first of them are no random ones. v1_2.state: ids, a stamp and a drive that is
 * only read. Single thread.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshots/snap_config.h"
#include "snapshots/snap_read.h"
#include "tests/unit/unit.h"

/* As Intel's manual names them. */
#define MSR_TSC 0x10u
#define MSR_TSC_DEADLINE 0x6e0u

static struct {
    struct snapf_content content;
    struct cfg_vm config;
} fix;

/* A file that the build put beside this program. */
static void beside_program(char path[static PATH_MAX], const char *name)
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    assert_true(len > 0);
    path[len] = '\0';
    char *end = strrchr(path, '/');
    assert_non_null(end);
    (void)snprintf(end, PATH_MAX - (size_t)(end - path), "/snapshots/%s", name);
}

static int setup_of(const char *name)
{
    char path[PATH_MAX];
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    beside_program(path, name);
    int rc = snap_read(path, &fix.content, &err);
    if (rc == 0)
        rc = snap_config_decode(fix.content.config, fix.content.config_len, &fix.config, &err);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", path, err.msg);
    return rc;
}

static int setup_1_0(void **state)
{
    (void)state;
    return setup_of("v1_0.state");
}

static int setup_1_1(void **state)
{
    (void)state;
    return setup_of("v1_1.state");
}

static int setup_1_2(void **state)
{
    (void)state;
    return setup_of("v1_2.state");
}

static int teardown(void **state)
{
    (void)state;
    cfg_vm_done(&fix.config);
    snapf_content_done(&fix.content);
    return 0;
}

static uint64_t msr(const struct hv_vcpu_state *vcpu, uint32_t index)
{
    for (uint32_t i = 0; i < vcpu->msrs_count; i++)
        if (vcpu->msrs[i].index == index)
            return vcpu->msrs[i].data;
    fail_msg("no MSR 0x%x", index);
    return 0;
}

static void expect_a_machine(void)
{
    struct err err = ERR_INIT;
    int rc = machine_state_check(&fix.content.machine, &fix.config, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void test_golden_1_0__check__can_be_a_machine(void **state)
{
    (void)state;
    expect_a_machine();
}

static void test_golden_1_1__check__can_be_a_machine(void **state)
{
    (void)state;
    expect_a_machine();
    assert_int_equal(fix.content.machine.vcpus[0].regs.rip, 0x10004a);
    assert_int_equal(fix.content.machine.vcpus[0].regs.r12, 0xd6);
    assert_int_equal(fix.content.machine.devices[0].u.blk.file_size, 65536);
}

static void test_golden_1_0__info__as_written(void **state)
{
    (void)state;
    assert_string_equal(fix.content.info.build, "mayfly 0.1.0");
    assert_string_equal(fix.content.info.kernel, "6.18.44-fc-v657");
    assert_string_equal(fix.content.info.cpu, "GenuineIntel family 6 model 207 stepping 2, "
                                              "Intel(R) Xeon(R) Processor");
}

static void test_golden_1_0__configuration__as_written(void **state)
{
    (void)state;
    const struct cfg_vm *config = &fix.config;
    assert_int_equal(config->machine.vcpu_count, 1);
    assert_int_equal(config->machine.mem_size_mib, 16);
    assert_string_equal(config->boot_source.kernel_image_path, "guest.elf");
    assert_null(config->boot_source.initrd_path);
    assert_string_equal(config->boot_source.boot_args, "console=ttyS0");
    assert_int_equal(config->drives_count, 1);
    assert_string_equal(config->drives[0].drive_id, "data");
    assert_string_equal(config->drives[0].path_on_host, "disk.img");
    assert_false(config->drives[0].is_root_device);
    assert_false(config->drives[0].rate_limiter.bandwidth.present);
    assert_int_equal(config->drives[0].rate_limiter.ops.size, 1000);
    assert_int_equal(config->drives[0].rate_limiter.ops.one_time_burst, 50);
    assert_int_equal(config->drives[0].rate_limiter.ops.refill_time_ms, 100);
    assert_int_equal(config->nics_count, 0);
    assert_false(config->has_vsock);
    assert_false(config->has_mmds);
}

static void test_golden_1_0__vcpu__as_written(void **state)
{
    (void)state;
    assert_int_equal(fix.content.machine.vcpus_count, 1);
    const struct hv_vcpu_state *vcpu = &fix.content.machine.vcpus[0];
    assert_int_equal(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
    assert_int_equal(vcpu->tsc_khz, 2300000);
    assert_int_equal(vcpu->regs.rip, 0x10001f);
    assert_int_equal(vcpu->regs.r12, 0x6f);
    assert_int_equal(vcpu->sregs.cr3, 0x9000);
    assert_int_equal(vcpu->sregs.apic_base, 0xfee00900);
    assert_int_equal(vcpu->cpuid.count, 78);
    assert_int_equal(vcpu->msrs_count, 33);
    assert_int_equal(vcpu->sregs.efer, 0x500);
    assert_int_equal(msr(vcpu, MSR_TSC), 0x54348345d8f5);
    assert_int_equal(vcpu->msrs[vcpu->msrs_count - 1].index, MSR_TSC_DEADLINE);
    assert_int_equal(vcpu->xsave_size, 4096);
}

static void test_golden_1_0__vm_and_legacy_devices__as_written(void **state)
{
    (void)state;
    const struct machine_state *machine = &fix.content.machine;
    assert_int_equal(machine->vm.irqchip, HV_IRQCHIP_SPLIT);
    assert_int_equal(machine->vm.clock.clock, 622590789);
    assert_true(hv_vm_state_has_realtime(&machine->vm));
    assert_int_equal(machine->serial.lcr, 3);
    assert_int_equal(machine->serial.mcr, 8);
    assert_int_equal(machine->serial.dll, 12);
    assert_true(machine->serial.thre_pending);
    assert_int_equal(machine->ioapic.pins_count, 8);
    assert_int_equal(machine->ioapic.entries[7], 0x10000);
    assert_int_equal(machine->generation.place.vmgenid_base, 0xdfff0);
    assert_int_equal(machine->generation.place.vmclock_base, 0xde000);
    assert_int_equal(machine->generation.vmgenid_gsi, 6);
    assert_int_equal(machine->generation.vmclock_gsi, 7);
    assert_int_equal(machine->regions_count, 1);
    assert_int_equal(machine->regions[0].base.v, 0);
    assert_int_equal(machine->regions[0].size, 16u << 20);
}

static void test_golden_1_0__drive__as_written(void **state)
{
    (void)state;
    assert_int_equal(fix.content.machine.devices_count, 1);
    const struct machine_device_state *device = &fix.content.machine.devices[0];
    assert_int_equal(device->kind, MACHINE_DEVICE_BLK);
    assert_int_equal(device->base, 0xc0001000);
    assert_int_equal(device->gsi, 5);
    assert_int_equal(device->virtio.device_type, 2);
    assert_int_equal(device->virtio.queues_count, 1);
    assert_false(device->virtio.active);
    assert_int_equal(device->u.blk.file_size, 65536);
    assert_false(device->u.blk.read_only);
    assert_false(device->u.blk.rl.buckets[RL_BYTES].limited);
    assert_true(device->u.blk.rl.buckets[RL_OPS].limited);
    assert_int_equal(device->u.blk.rl.buckets[RL_OPS].size, 1000);
    assert_int_equal(device->u.blk.rl.buckets[RL_OPS].burst, 50);
    assert_int_equal(device->u.blk.rl.buckets[RL_OPS].budget, 1000);
}

static void test_golden_1_0__samples__as_written(void **state)
{
    (void)state;
    static const uint8_t sum_of_zeros[CRYPTO_CHECKSUM_SIZE] = {0x5f, 0x75, 0x6c, 0x91};
    assert_int_equal(fix.content.samples_count, 14);
    assert_int_equal(fix.content.samples_fixed_count, 14);
    assert_int_equal(fix.content.samples[0].off, 0);
    assert_memory_equal(fix.content.samples[0].sum, sum_of_zeros, 4);
    assert_int_equal(fix.content.samples[1].off, 0x3000);
    assert_int_equal(fix.content.samples[13].off, 0x100000);
}

static void test_golden_1_1__samples__as_written(void **state)
{
    (void)state;
    static const uint8_t sum_of_vmgenid[4] = {0xd1, 0xbd, 0xee, 0x0c};
    static const uint8_t no_id[SNAPF_ID_SIZE];
    static const uint8_t sum_of_last[4] = {0xb2, 0x72, 0x1c, 0x56};
    assert_int_equal(fix.content.samples_count, 15);
    assert_int_equal(fix.content.samples_fixed_count, 1);
    assert_int_equal(fix.content.samples[0].off, 0xdf000);
    assert_memory_equal(fix.content.samples[0].sum, sum_of_vmgenid, 4);
    assert_int_equal(fix.content.samples[14].off, 0xe0000);
    assert_memory_equal(fix.content.samples[14].sum, sum_of_last, 4);
    assert_memory_equal(fix.content.id, no_id, sizeof(no_id));
    assert_memory_equal(fix.content.predecessor, no_id, sizeof(no_id));
}

static void test_golden_1_2__check__can_be_a_machine(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(machine_state_check(&fix.content.machine, &fix.config, &err), 0);
}

static void test_golden_1_2__ids_and_stamp__as_written(void **state)
{
    (void)state;
    static const uint8_t id[4] = {0x4e, 0xa7, 0xf4, 0x16};
    static const uint8_t predecessor[4] = {0xec, 0x53, 0xa9, 0x5e};
    assert_memory_equal(fix.content.id, id, sizeof(id));
    assert_memory_equal(fix.content.predecessor, predecessor, sizeof(predecessor));
    assert_int_equal(fix.content.memory_stamp.s, 1795745889);
    assert_int_equal(fix.content.memory_stamp.ns, 159029097);
}

static void test_golden_1_2__base_of_a_drive__as_written(void **state)
{
    (void)state;
    assert_int_equal(fix.content.bases.count, 1);
    assert_int_equal(fix.content.bases.bases[0].drive_idx, 0);
    assert_int_equal(fix.content.bases.bases[0].size, 1024 * 1024);
    assert_true(fix.content.bases.bases[0].is_file);
    assert_true(fix.config.drives[0].is_read_only);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup_1_0, teardown)
#define TEST_1_1(test) cmocka_unit_test_setup_teardown(test, setup_1_1, teardown)
#define TEST_1_2(test) cmocka_unit_test_setup_teardown(test, setup_1_2, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_golden_1_0__check__can_be_a_machine),
        TEST(test_golden_1_0__info__as_written),
        TEST(test_golden_1_0__configuration__as_written),
        TEST(test_golden_1_0__vcpu__as_written),
        TEST(test_golden_1_0__vm_and_legacy_devices__as_written),
        TEST(test_golden_1_0__drive__as_written),
        TEST(test_golden_1_0__samples__as_written),
        TEST_1_1(test_golden_1_1__check__can_be_a_machine),
        TEST_1_1(test_golden_1_1__samples__as_written),
        TEST_1_2(test_golden_1_2__check__can_be_a_machine),
        TEST_1_2(test_golden_1_2__ids_and_stamp__as_written),
        TEST_1_2(test_golden_1_2__base_of_a_drive__as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
