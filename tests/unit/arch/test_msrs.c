/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot values of MSRs, FPU and local APIC (devices.md 10). Single thread.
 */
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/cpu.h"

static void test_arch_boot_msrs__always__list_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        uint32_t addr;
        uint64_t value;
    } want[] = {
        {0x174, 0},      {0x175, 0},      {0x176, 0},      {0xc0000081, 0},
        {0xc0000083, 0}, {0xc0000082, 0}, {0xc0000084, 0}, {0xc0000102, 0},
        {0x10, 0},       {0x1a0, 1},      {0x2ff, 0x806},
    };
    struct hv_msrs msrs;
    memset(&msrs, 0xff, sizeof(msrs));
    arch_boot_msrs(&msrs);
    assert_int_equal(msrs.count, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        uint32_t found = 0;
        for (uint32_t k = 0; k < msrs.count; k++) {
            if (msrs.entries[k].index != want[i].addr)
                continue;
            found++;
            assert_true(msrs.entries[k].data == want[i].value);
            assert_int_equal(msrs.entries[k].reserved, 0);
        }
        assert_int_equal(found, 1);
    }
}

static void test_arch_boot_fpu__always__reset_control_words(void **state)
{
    (void)state;
    struct kvm_fpu fpu;
    memset(&fpu, 0xff, sizeof(fpu));
    arch_boot_fpu(&fpu);
    assert_int_equal(fpu.fcw, 0x37f);
    assert_int_equal(fpu.mxcsr, 0x1f80);
    fpu.fcw = 0;
    fpu.mxcsr = 0;
    const struct kvm_fpu zero = {0};
    assert_memory_equal(&fpu, &zero, sizeof(fpu));
}

static uint32_t get_lvt(const struct kvm_lapic_state *lapic, size_t off)
{
    uint32_t entry;
    memcpy(&entry, lapic->regs + off, sizeof(entry));
    return entry;
}

static void test_arch_boot_lapic__any_entries__only_delivery_modes_change(void **state)
{
    (void)state;
    struct kvm_lapic_state lapic;
    struct kvm_lapic_state before;
    memset(&lapic, 0x5a, sizeof(lapic));
    memset(lapic.regs + 0x360, 0xff, 4);
    before = lapic;
    arch_boot_lapic(&lapic);
    assert_int_equal(get_lvt(&lapic, 0x350), 0x5a5a5f5a); /* 0x5a5a5a5a, mode ExtINT */
    assert_int_equal(get_lvt(&lapic, 0x360), 0xfffffcff); /* all ones, mode NMI */
    memcpy(lapic.regs + 0x350, before.regs + 0x350, 4);
    memcpy(lapic.regs + 0x360, before.regs + 0x360, 4);
    assert_memory_equal(&lapic, &before, sizeof(lapic));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_boot_msrs__always__list_of_the_specification),
        cmocka_unit_test(test_arch_boot_fpu__always__reset_control_words),
        cmocka_unit_test(test_arch_boot_lapic__any_entries__only_delivery_modes_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
