/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID normalisation: the Intel and AMD rows of devices.md 10 and the frequency leaves, on
 * hand-made lists. Single thread.
 */
#include "tests/unit/arch/cpuid_fixture.h"

static void test_arch_cpuid_normalize__intel_leaf_4__caches_shared_as_cores(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 8, true);
    const uint32_t cores = 3u << 26; /* four cores */
    assert_leaf(&cpuid, 0x4, 0, 0x121 | 1u << 14 | cores, 1, 0, 0);
    assert_leaf(&cpuid, 0x4, 1, 0x122 | 1u << 14 | cores, 1, 0, 0);
    assert_leaf(&cpuid, 0x4, 2, 0x143 | 1u << 14 | cores, 1, 0, 0);
    assert_leaf(&cpuid, 0x4, 3, 0x163 | 7u << 14 | cores, 1, 0, 0);
    assert_leaf(&cpuid, 0x4, 4, 0, 0, 0, 0);
}

static void test_arch_cpuid_normalize__intel_features__bits_of_the_table(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, false);
    assert_leaf(&cpuid, 0x6, 0, 0x75, 0, 0x1, 0);
    assert_leaf(&cpuid, 0x7, 0, 0, 0x2040, 0xffffff5f, 0xffefffff);
    assert_leaf(&cpuid, 0xa, 0, 0, 0, 0, 0);
}

static void test_arch_cpuid_normalize__intel_leaf_1f__copy_of_leaf_b(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 4, true);
    assert_leaf(&cpuid, 0x1f, 0, 1, 2, 0x100, 0);
    assert_leaf(&cpuid, 0x1f, 1, 5, 4, 0x201, 0);
    assert_null(arch_cpuid_find(&cpuid, 0x1f, 2));
}

static void test_arch_cpuid_normalize__intel_without_1f__none_made(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {
        .count = 2,
        .entries = {{.function = 0x0, .eax = 0x16}, {.function = 0x1}},
    };
    struct arch_cpu_config config = make_config(2, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &intel_host, &config, read_intel, &err), 0);
    assert_leaf(&cpuid, 0xb, 1, 5, 2, 0x201, 0);
    assert_null(arch_cpuid_find(&cpuid, 0x1f, 0));
}

static void test_arch_cpuid_normalize__intel_brand__host_frequency_behind_base(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    char brand[49];
    normalize_intel(&cpuid, 1, false);
    get_brand(&cpuid, brand);
    assert_string_equal(brand, "Intel(R) Xeon(R) Processor @ 2.90GHz");
}

static void test_arch_cpuid_normalize__intel_brand_unparsable__base_alone(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {.count = ARRAY_LEN(intel_list)};
    memcpy(cpuid.entries, intel_list, sizeof(intel_list));
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(
        arch_cpuid_normalize(&cpuid, &intel_host, &config, read_intel_no_frequency, &err), 0);
    char brand[49];
    get_brand(&cpuid, brand);
    assert_string_equal(brand, "Intel(R) Xeon(R) Processor");
}

static void test_arch_cpuid_normalize__intel_frequency__crystal_is_the_apic_clock(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_intel(&cpuid, 1, false);
    const struct kvm_cpuid_entry2 *tsc = arch_cpuid_find(&cpuid, 0x15, 0);
    assert_non_null(tsc);
    assert_int_equal(tsc->ecx, 1000000000);
    assert_int_equal(tsc->edx, 0);
    assert_int_equal(tsc->ebx, 29); /* 2.9 GHz is 4.5 ppm away */
    assert_int_equal(tsc->eax, 10);
    assert_leaf(&cpuid, 0x16, 0, 2899, 2899, 1000, 0);
}

static void test_arch_cpuid_normalize__leaf_15_filled_before__kept(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {
        .count = 3,
        .entries = {{.function = 0x0, .eax = 0x16},
                    {.function = 0x1},
                    {.function = 0x15, .eax = 2, .ebx = 3, .ecx = 4}},
    };
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &intel_host, &config, read_intel, &err), 0);
    assert_leaf(&cpuid, 0x15, 0, 2, 3, 4, 0);
}

static void test_arch_tsc_ratio__any_frequency__near_and_no_32_bit_overflow(void **state)
{
    (void)state;
    for (uint64_t khz = 400000; khz <= 4200000; khz += 7919) {
        uint32_t num = 0;
        uint32_t den = 0;
        arch_tsc_ratio((uint32_t)khz, &num, &den);
        assert_true(num > 0 && den > 0);
        uint64_t product = 1000000ull * num; /* as Linux multiplies, in 32 bits */
        assert_true(product <= UINT32_MAX);
        uint64_t error_khz = product > khz * den ? product - khz * den : khz * den - product;
        assert_true(error_khz * 1000000 <= 130 * khz * den); /* 130 ppm */
    }
}

static void test_arch_tsc_ratio__whole_ratio__exact(void **state)
{
    (void)state;
    uint32_t num = 0;
    uint32_t den = 0;
    arch_tsc_ratio(2500000, &num, &den);
    assert_int_equal(num, 5);
    assert_int_equal(den, 2);
}

static void test_arch_cpuid_normalize__amd_features__bits_of_the_table(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 8, true);
    assert_leaf(&cpuid, 0x7, 0, 0, 0, 0, 2);
    assert_leaf(&cpuid, 0x80000001, 0, 0, 0, 0x393 | 1u << 22, 0);
    assert_leaf(&cpuid, 0x80000008, 0, 0x3030, 0x10000005, 0xf7007, 0);
}

static void test_arch_cpuid_normalize__amd_brand__amd_epyc(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    char brand[49];
    normalize_amd(&cpuid, 1, false);
    get_brand(&cpuid, brand);
    assert_string_equal(brand, "AMD EPYC");
    assert_leaf(&cpuid, 0x80000004, 0, 0, 0, 0, 0);
}

static void test_arch_cpuid_normalize__amd_caches__host_subleaves_shared_as_cores(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 8, true);
    assert_leaf(&cpuid, 0x8000001d, 0, 0x121 | 1u << 14, 0x01c0003f, 0x3f, 0);
    assert_leaf(&cpuid, 0x8000001d, 1, 0x122 | 1u << 14, 0x01c0003f, 0x3f, 0);
    assert_leaf(&cpuid, 0x8000001d, 2, 0x143 | 1u << 14, 0x01c0003f, 0x3ff, 2);
    assert_leaf(&cpuid, 0x8000001d, 3, 0x163 | 7u << 14, 0x03c0003f, 0x7fff, 1);
    assert_leaf(&cpuid, 0x8000001d, 4, 0, 0, 0, 0);
    assert_null(arch_cpuid_find(&cpuid, 0x8000001d, 5));
    assert_int_equal(arch_cpuid_find(&cpuid, 0x8000001d, 3)->flags, INDEXED);
}

static void test_arch_cpuid_normalize__amd_topology_leaf__made_and_reachable(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 4, true);
    assert_leaf(&cpuid, 0x8000001e, 0, 0, 1u << 8, 0, 0);
    assert_leaf(&cpuid, 0x80000000, 0, 0x8000001e, 1, 0, 0);
}

static void test_arch_cpuid_normalize__amd_host_without_1d__no_cache_leaf(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {.count = ARRAY_LEN(amd_list)};
    memcpy(cpuid.entries, amd_list, sizeof(amd_list));
    struct arch_cpu_config config = make_config(1, false);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(&cpuid, &amd_host, &config, read_old_amd, &err), 0);
    assert_null(arch_cpuid_find(&cpuid, 0x8000001d, 0));
}

static void test_arch_cpuid_normalize__amd__no_intel_frequency_leaves(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    normalize_amd(&cpuid, 1, false);
    assert_null(arch_cpuid_find(&cpuid, 0x15, 0));
    assert_null(arch_cpuid_find(&cpuid, 0x16, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_cpuid_normalize__intel_leaf_4__caches_shared_as_cores),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_features__bits_of_the_table),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_leaf_1f__copy_of_leaf_b),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_without_1f__none_made),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_brand__host_frequency_behind_base),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_brand_unparsable__base_alone),
        cmocka_unit_test(test_arch_cpuid_normalize__intel_frequency__crystal_is_the_apic_clock),
        cmocka_unit_test(test_arch_cpuid_normalize__leaf_15_filled_before__kept),
        cmocka_unit_test(test_arch_tsc_ratio__any_frequency__near_and_no_32_bit_overflow),
        cmocka_unit_test(test_arch_tsc_ratio__whole_ratio__exact),
        cmocka_unit_test(test_arch_cpuid_normalize__amd_features__bits_of_the_table),
        cmocka_unit_test(test_arch_cpuid_normalize__amd_brand__amd_epyc),
        cmocka_unit_test(test_arch_cpuid_normalize__amd_caches__host_subleaves_shared_as_cores),
        cmocka_unit_test(test_arch_cpuid_normalize__amd_topology_leaf__made_and_reachable),
        cmocka_unit_test(test_arch_cpuid_normalize__amd_host_without_1d__no_cache_leaf),
        cmocka_unit_test(test_arch_cpuid_normalize__amd__no_intel_frequency_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
