/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM takes what the arch room makes: CPUID for the first and last vCPU, boot MSRs, FPU and local
 * APIC, template MSRs. Skipped (77) where /dev/kvm cannot be used. Single thread.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/cpuid_int.h"

#define EXIT_SKIP 77

struct fixture {
    struct hv hv;
    struct hv_vm vm;
    struct hv_vcpu vcpu;
};

static int setup(void **state)
{
    static struct fixture fixture; /* the test program's only one */
    struct err err = ERR_INIT;
    if (hv_open("/dev/kvm", &fixture.hv, &err) < 0 ||
        hv_vm_create(&fixture.hv, &fixture.vm, &err) < 0 ||
        hv_vm_create_irqchip(&fixture.vm, HV_IRQCHIP_SPLIT, &err) < 0 ||
        hv_vcpu_create(&fixture.vm, 0, &fixture.vcpu, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    hv_vcpu_close(&fixture->vcpu);
    hv_vm_close(&fixture->vm);
    hv_close(&fixture->hv);
    return 0;
}

static void set_cpuid(struct fixture *fixture, uint32_t vcpus_count, bool smt)
{
    struct hv_cpuid cpuid;
    struct err err = ERR_INIT;
    struct arch_host_cpu host;
    arch_host_cpu_read(&host);
    struct arch_cpu_config config = {
        .vcpus_count = vcpus_count, .smt = smt, .static_template = CFG_TEMPLATE_NONE};
    assert_int_equal(hv_vcpu_get_tsc_khz(&fixture->vcpu, &config.tsc_khz, &err), 0);
    assert_true(config.tsc_khz > 0);
    assert_int_equal(hv_supported_cpuid(&fixture->hv, &cpuid, &err), 0);
    assert_int_equal(arch_cpuid_prepare(&cpuid, &host, &config, &err), 0);
    arch_cpuid_set_index(&cpuid, vcpus_count - 1, &config);
    int rc = hv_vcpu_set_cpuid(&fixture->vcpu, &cpuid, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);

    struct hv_cpuid back = {.count = HV_CPUID_ENTRIES_MAX};
    assert_int_equal(ioctl(fixture->vcpu.fd, KVM_GET_CPUID2, &back), 0);
    assert_int_equal(back.count, cpuid.count);
    const struct kvm_cpuid_entry2 *entry = arch_cpuid_find(&back, 0x1, 0);
    assert_non_null(entry);
    assert_int_equal(entry->ebx >> 24, vcpus_count - 1);
    assert_true((entry->ecx & (1u << 24)) != 0); /* TSC deadline */
    assert_true((entry->ecx & (1u << 21)) != 0); /* x2APIC */
    entry = arch_cpuid_find(&back, 0x40000010, 0);
    assert_non_null(entry);
    assert_int_equal(entry->eax, config.tsc_khz);
    entry = arch_cpuid_find(&back, 0x40000001, 0);
    assert_non_null(entry);
    assert_true((entry->eax & (1u << 3)) != 0);  /* KVM_FEATURE_CLOCKSOURCE2 */
    assert_true((entry->eax & (1u << 24)) != 0); /* KVM_FEATURE_CLOCKSOURCE_STABLE_BIT */
}

static void test_arch_cpuid_prepare__one_vcpu_of_this_host__kvm_takes_it(void **state)
{
    set_cpuid(*state, 1, false);
}

static void test_arch_cpuid_prepare__last_of_32_with_smt__kvm_takes_it(void **state)
{
    set_cpuid(*state, 32, true);
}

static void test_arch_boot_msrs__this_host__kvm_takes_them(void **state)
{
    struct fixture *fixture = *state;
    set_cpuid(fixture, 1, false);
    struct hv_msrs msrs;
    struct err err = ERR_INIT;
    arch_boot_msrs(&msrs);
    int rc = hv_vcpu_set_msrs(&fixture->vcpu, &msrs, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void test_arch_boot_fpu_and_lapic__this_host__kvm_takes_them(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    struct kvm_fpu fpu;
    arch_boot_fpu(&fpu);
    assert_int_equal(hv_vcpu_set_fpu(&fixture->vcpu, &fpu, &err), 0);
    struct kvm_lapic_state lapic;
    assert_int_equal(hv_vcpu_get_lapic(&fixture->vcpu, &lapic, &err), 0);
    arch_boot_lapic(&lapic);
    assert_int_equal(hv_vcpu_set_lapic(&fixture->vcpu, &lapic, &err), 0);
}

static void test_arch_template_msrs__readable_msr__appended_with_its_bits(void **state)
{
    struct fixture *fixture = *state;
    set_cpuid(fixture, 1, false);
    struct err err = ERR_INIT;
    struct hv_msrs now = {.count = 1, .entries = {{.index = 0x277}}}; /* IA32_PAT */
    assert_int_equal(hv_vcpu_get_msrs(&fixture->vcpu, &now, &err), 0);

    struct cfg_msr_modifier mod = {.addr = 0x277, .mask = 0x7, .value = 0x4};
    struct cfg_cpu_template custom = {.msrs = &mod, .msrs_count = 1};
    struct arch_cpu_config config = {.vcpus_count = 1, .custom_template = &custom};
    struct hv_msrs msrs;
    arch_boot_msrs(&msrs);
    uint32_t boot_count = msrs.count;
    assert_int_equal(arch_template_msrs(&fixture->vcpu, &config, &msrs, &err), 0);
    assert_int_equal(msrs.count, boot_count + 1);
    assert_true(msrs.entries[boot_count].data == ((now.entries[0].data & ~0x7ull) | 0x4));
    assert_int_equal(hv_vcpu_set_msrs(&fixture->vcpu, &msrs, &err), 0);
}

static void test_arch_template_msrs__unreadable_msr__error_names_it(void **state)
{
    struct fixture *fixture = *state;
    struct cfg_msr_modifier mod = {.addr = 0xdead, .mask = 1, .value = 1};
    struct cfg_cpu_template custom = {.msrs = &mod, .msrs_count = 1};
    struct arch_cpu_config config = {.vcpus_count = 1, .custom_template = &custom};
    struct hv_msrs msrs;
    arch_boot_msrs(&msrs);
    struct err err = ERR_INIT;
    assert_true(arch_template_msrs(&fixture->vcpu, &config, &msrs, &err) < 0);
    assert_non_null(strstr(err.msg, "0xdead"));
    assert_non_null(strstr(err.msg, "CPU template"));
}

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        (void)fprintf(stderr, "skipped: /dev/kvm cannot be opened for reading and writing\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_cpuid_prepare__one_vcpu_of_this_host__kvm_takes_it),
        cmocka_unit_test(test_arch_cpuid_prepare__last_of_32_with_smt__kvm_takes_it),
        cmocka_unit_test(test_arch_boot_msrs__this_host__kvm_takes_them),
        cmocka_unit_test(test_arch_boot_fpu_and_lapic__this_host__kvm_takes_them),
        cmocka_unit_test(test_arch_template_msrs__readable_msr__appended_with_its_bits),
        cmocka_unit_test(test_arch_template_msrs__unreadable_msr__error_names_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
