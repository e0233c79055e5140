/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID normalisation: the rows of devices.md 10 that all vendors share, and the per-vCPU ids, on
 * hand-made lists. Single thread.
 */
#include <errno.h>

#include "tests/unit/arch/cpuid_fixture.h"

static void test_arch_cpuid_normalize__leaf_0__host_vendor(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
    normalize_amd(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
}

static void test_arch_cpuid_normalize__leaf_1_one_vcpu__no_htt(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, false);
    /* x2APIC (bit 21) stays, PDCM (15) goes, TSC deadline (24) comes. */
    assert_leaf(&cpuid, 0x1, 0, 0x606a6, 0xaa0108dd, 0x81202000, 0);
}

static void test_arch_cpuid_normalize__leaf_1_six_vcpus__eight_ids_and_htt(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 6, false);
    assert_leaf(&cpuid, 0x1, 0, 0xa00f11, 0xaa0808dd, 0x81202000, 1u << 28);
}

static void test_arch_cpuid_normalize__leaf_b_without_smt__one_thread_a_core(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 32, false);
    assert_leaf(&cpuid, 0xb, 0, 0, 1, 0x100, 0);
    assert_leaf(&cpuid, 0xb, 1, 5, 32, 0x201, 0);
    assert_int_equal(arch_cpuid_find(&cpuid, 0xb, 1)->flags, INDEXED);
}

static void test_arch_cpuid_normalize__leaf_b_with_smt__two_threads_a_core(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 8, true);
    assert_leaf(&cpuid, 0xb, 0, 1, 2, 0x100, 0);
    assert_leaf(&cpuid, 0xb, 1, 5, 8, 0x201, 0);
}

static void test_arch_cpuid_normalize__smt_with_one_vcpu__one_thread(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, true);
    assert_leaf(&cpuid, 0xb, 0, 0, 1, 0x100, 0);
}

static void test_arch_cpuid_normalize__leaf_0_below_b__no_topology_leaf_made(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {
        .count = 2,
        .entries = {{.function = 0x0, .eax = 0x7}, {.function = 0x1}},
    };
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &amd_host, &config, read_amd, &err), 0);
    assert_null(arch_cpuid_find(&cpuid, 0xb, 0));
    assert_null(arch_cpuid_find(&cpuid, 0xb, 1));
}

static void test_arch_cpuid_normalize__caches__host_values(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x80000005, 0, 0, 0, 0, 0);
    assert_leaf(&cpuid, 0x80000006, 0, 1, 2, 0x05007040, 0xfffcffff);
    normalize_amd(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
    assert_leaf(&cpuid, 0x80000006, 0, 0x48002200, 0x68004200, 0x02006140, 0x08009140);
}

static void test_arch_cpuid_normalize__kvm_leaves__kept_and_frequency_added(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x40000000, 0, 0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d);
    assert_leaf(&cpuid, 0x40000001, 0, 0x01007efb, 0, 0, 0);
    assert_leaf(&cpuid, 0x40000010, 0, TSC_KHZ, 1000000, 0, 0);
}

static void test_arch_cpuid_normalize__unknown_tsc__no_frequency_leaves(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {.count = ARRAY_LEN(intel_list)};
    memcpy(cpuid.entries, intel_list, sizeof(intel_list));
    struct arch_cpu_config config = make_config(1, false);
    config.tsc_khz = 0;
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &intel_host, &config, read_intel, &err), 0);
    assert_leaf(&cpuid, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
    assert_null(arch_cpuid_find(&cpuid, 0x40000010, 0));
    assert_leaf(&cpuid, 0x15, 0, 0, 0, 0, 0);
    assert_leaf(&cpuid, 0x16, 0, 0, 0, 0, 0);
}

static void test_arch_cpuid_normalize__other_vendor__common_rows_only(void **state)
{
    (void)state;
    const struct arch_host_cpu other = {"HygonGenuine", 0x18, 0, 0};
    struct hv_cpuid cpuid = {.count = ARRAY_LEN(amd_list)};
    memcpy(cpuid.entries, amd_list, sizeof(amd_list));
    struct arch_cpu_config config = make_config(2, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &other, &config, read_amd, &err), 0);
    assert_leaf(&cpuid, 0xb, 1, 5, 2, 0x201, 0);
    assert_leaf(&cpuid, 0x80000001, 0, 0, 0, 0x393, 0);
}

static void test_arch_cpuid_normalize__no_leaf_1__einval_names_it(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {.count = 1, .entries = {{.function = 0x0, .eax = 0x10}}};
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &amd_host, &config, read_amd, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "leaf 0x1 "));
}

static void test_arch_cpuid_normalize__full_list__einval_names_the_leaf(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {.count = HV_CPUID_ENTRIES_MAX};
    cpuid.entries[0] = (struct kvm_cpuid_entry2){.function = 0x0, .eax = 0x10};
    for (uint32_t i = 1; i < HV_CPUID_ENTRIES_MAX; i++)
        cpuid.entries[i] = (struct kvm_cpuid_entry2){.function = i == 1 ? 1 : 0xc0000000 + i};
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &amd_host, &config, read_amd, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "leaf 0xb, subleaf 0x0"));
}

static void test_arch_cpuid_set_index__intel_vcpu_31__ids_everywhere(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 32, true);
    struct arch_cpu_config config = make_config(32, true);
    arch_cpuid_set_index(&cpuid, 31, &config);
    assert_leaf(&cpuid, 0x1, 0, 0x606a6, 0x1f2008dd, 0x81202000, 1u << 28);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(arch_cpuid_find(&cpuid, 0xb, i)->edx, 31);
        assert_int_equal(arch_cpuid_find(&cpuid, 0x1f, i)->edx, 31);
    }
}

static void test_arch_cpuid_set_index__amd_vcpu_5_with_smt__core_2(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 8, true);
    struct arch_cpu_config config = make_config(8, true);
    arch_cpuid_set_index(&cpuid, 5, &config);
    assert_leaf(&cpuid, 0x8000001e, 0, 5, 1u << 8 | 2, 0, 0);
}

static void test_arch_cpuid_set_index__again__replaces(void **state)
{
    (void)state;
    struct hv_cpuid once;
    struct hv_cpuid twice;
    normalize_amd(&once, 8, false);
    normalize_amd(&twice, 8, false);
    struct arch_cpu_config config = make_config(8, false);
    arch_cpuid_set_index(&twice, 7, &config);
    arch_cpuid_set_index(&twice, 2, &config);
    arch_cpuid_set_index(&once, 2, &config);
    assert_memory_equal(&once, &twice, sizeof(once));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_0__host_vendor),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_1_one_vcpu__no_htt),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_1_six_vcpus__eight_ids_and_htt),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_b_without_smt__one_thread_a_core),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_b_with_smt__two_threads_a_core),
        cmocka_unit_test(test_arch_cpuid_normalize__smt_with_one_vcpu__one_thread),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_0_below_b__no_topology_leaf_made),
        cmocka_unit_test(test_arch_cpuid_normalize__caches__host_values),
        cmocka_unit_test(test_arch_cpuid_normalize__kvm_leaves__kept_and_frequency_added),
        cmocka_unit_test(test_arch_cpuid_normalize__unknown_tsc__no_frequency_leaves),
        cmocka_unit_test(test_arch_cpuid_normalize__other_vendor__common_rows_only),
        cmocka_unit_test(test_arch_cpuid_normalize__no_leaf_1__einval_names_it),
        cmocka_unit_test(test_arch_cpuid_normalize__full_list__einval_names_the_leaf),
        cmocka_unit_test(test_arch_cpuid_set_index__intel_vcpu_31__ids_everywhere),
        cmocka_unit_test(test_arch_cpuid_set_index__amd_vcpu_5_with_smt__core_2),
        cmocka_unit_test(test_arch_cpuid_set_index__again__replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
