/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which MSRs a snapshot keeps (snapshot.md 2). Single thread.
 */
#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/cpu.h"

static void test_arch_kept_msrs__a_list__only_a_guests_state_in_its_order(void **state)
{
    (void)state;
    static const uint32_t kept[] = {
        0x10,       0x1b,       0x3b,       0x48,       0x174,      0x175,      0x176,
        0x17a,      0x1a0,      0x200,      0x277,      0x2ff,      0x400,      0x47f,
        0x6e0,      0x800,      0xbff,      0xda0,      0x4b564d00, 0x4b564dff, 0xc0000080,
        0xc0000084, 0xc0000100, 0xc0000103, 0xc0010015,
    };
    static const uint32_t others[] = {
        0,     0x11,       0x17b,      0x1ff,      0x300,      0x3ff,      0x480,      0x7ff,
        0xc00, 0x4b564cff, 0x4b564e00, 0xc000007f, 0xc0000085, 0xc00000ff, 0xc0000104, UINT32_MAX,
    };
    struct hv_msr_list list = {0};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        list.indexes[list.count++] = others[i % ARRAY_LEN(others)];
        list.indexes[list.count++] = kept[i];
    }
    arch_kept_msrs(&list);
    assert_int_equal(list.count, ARRAY_LEN(kept));
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        assert_int_equal(list.indexes[i], kept[i]);
}

static void test_arch_kept_msrs__empty_list__stays_empty(void **state)
{
    (void)state;
    struct hv_msr_list list = {0};
    arch_kept_msrs(&list);
    assert_int_equal(list.count, 0);
}

static void test_arch_kept_msrs__full_list__all_of_it_looked_at(void **state)
{
    (void)state;
    static struct hv_msr_list list;
    list.count = HV_STATE_MSRS_MAX;
    for (uint32_t i = 0; i < list.count; i++)
        list.indexes[i] = 0x10;
    arch_kept_msrs(&list);
    assert_int_equal(list.count, HV_STATE_MSRS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_kept_msrs__a_list__only_a_guests_state_in_its_order),
        cmocka_unit_test(test_arch_kept_msrs__empty_list__stays_empty),
        cmocka_unit_test(test_arch_kept_msrs__full_list__all_of_it_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
