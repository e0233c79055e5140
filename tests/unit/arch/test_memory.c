/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of vmm/arch/x86_64/memory.c: where RAM lies (devices.md 8.1, 11). */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>

#define GIB (1024 * MIB)

struct row {
    const char *name;
    uint64_t size;
    uint32_t count;
    struct gmem_range ranges[3];
};

static const struct row rows[] = {
    {"1_MiB__one_range", MIB, 1, {{{0}, MIB}}},
    {"128_MiB__one_range", 128 * MIB, 1, {{{0}, 128 * MIB}}},
    {"3_GiB__fills_first_range", 3 * GIB, 1, {{{0}, 3 * GIB}}},
    {"3_GiB_and_1_MiB__goes_on_at_4_GiB", 3 * GIB + MIB, 2, {{{0}, 3 * GIB}, {{4 * GIB}, MIB}}},
    {"255_GiB__fills_up_to_256_GiB", 255 * GIB, 2, {{{0}, 3 * GIB}, {{4 * GIB}, 252 * GIB}}},
    {"255_GiB_and_1_MiB__goes_on_at_512_GiB",
     255 * GIB + MIB,
     3,
     {{{0}, 3 * GIB}, {{4 * GIB}, 252 * GIB}, {{512 * GIB}, MIB}}},
    {"2_TiB__three_ranges",
     2048 * GIB,
     3,
     {{{0}, 3 * GIB}, {{4 * GIB}, 252 * GIB}, {{512 * GIB}, 1793 * GIB}}},
};

static void test_arch_memory_ranges__row__as_written(void **state)
{
    const struct row *row = *state;
    struct gmem_range ranges[GMEM_REGIONS_MAX];
    uint32_t count = 0;
    struct err err = ERR_INIT;
    assert_int_equal(arch_memory_ranges(row->size, ranges, &count, &err), 0);
    assert_int_equal(count, row->count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(ranges[i].base.v, row->ranges[i].base.v);
        assert_int_equal(ranges[i].size, row->ranges[i].size);
    }
}

static void assert_size_refused(uint64_t size, const char *sentence)
{
    struct gmem_range ranges[GMEM_REGIONS_MAX] = {{{1}, 2}};
    uint32_t count = 99;
    struct err err = ERR_INIT;
    assert_int_equal(arch_memory_ranges(size, ranges, &count, &err), -EINVAL);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(count, 99);
    assert_int_equal(ranges[0].size, 2);
}

static void test_arch_memory_ranges__zero__refused(void **state)
{
    (void)state;
    assert_size_refused(0, "guest memory of 0 bytes is not a positive number of MiB");
}

static void test_arch_memory_ranges__half_MiB__refused(void **state)
{
    (void)state;
    assert_size_refused(MIB / 2, "guest memory of 524288 bytes is not a positive number of MiB");
}

static void test_arch_memory_ranges__beyond_64_bits__refused_as_mmap_would(void **state)
{
    (void)state;
    assert_size_refused(UINT64_MAX - MIB + 1,
                        "Cannot create mmap region: Out of memory (os error 12)");
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(rows) + 3] = {
        cmocka_unit_test(test_arch_memory_ranges__zero__refused),
        cmocka_unit_test(test_arch_memory_ranges__half_MiB__refused),
        cmocka_unit_test(test_arch_memory_ranges__beyond_64_bits__refused_as_mmap_would),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        tests[3 + i] = (struct CMUnitTest){
            .name = rows[i].name,
            .test_func = test_arch_memory_ranges__row__as_written,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
