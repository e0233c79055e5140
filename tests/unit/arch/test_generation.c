/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMGenID and VMClock in guest memory, byte for byte (devices.md 7). Single thread.
 */
#include "vmm/arch/x86_64/generation.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/peek.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (1024u * 1024)
#define VMCLOCK_SIZE 112u
#define SEQ_COUNT 12u
#define DISRUPTION_MARKER 16u
#define GENERATION_COUNTER 104u

static const struct arch_generation_place place = {ARCH_VMGENID_BASE, ARCH_VMCLOCK_BASE};
static const uint8_t first_id[ARCH_VMGENID_SIZE] = "first identifier";
static const uint8_t second_id[ARCH_VMGENID_SIZE] = "another one of 1";

static int setup(void **state)
{
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    int rc = gmem_create(&range, 1, GMEM_BACKING_HEAP, true, &gmem, &err);
    *state = gmem;
    return rc < 0 ? rc : arch_generation_write(gmem, &place, first_id, &err);
}

static int teardown(void **state)
{
    gmem_free(*state);
    return 0;
}

static void expect_id(struct gmem *gmem, const uint8_t id[static ARCH_VMGENID_SIZE])
{
    uint8_t got[ARCH_VMGENID_SIZE];
    assert_int_equal(unit_peek(gmem, gpa(ARCH_VMGENID_BASE), got, sizeof(got)), 0);
    assert_memory_equal(got, id, sizeof(got));
}

/* The whole page: all but these bytes is as in every VM. */
static void expect_clock(struct gmem *gmem, uint8_t seq, uint8_t disruption, uint8_t generation)
{
    static const uint8_t fixed[] = {'V', 'C', 'L', 'K', 0, 0x10, 0, 0, 1, 0, 0xff};
    uint8_t expected[GMEM_PAGE_SIZE] = {0};
    uint8_t got[GMEM_PAGE_SIZE];
    memcpy(expected, fixed, sizeof(fixed));
    expected[SEQ_COUNT] = seq;
    expected[DISRUPTION_MARKER] = disruption;
    expected[25] = 3; /* flags: 0x300 */
    expected[GENERATION_COUNTER] = generation;
    assert_int_equal(unit_peek(gmem, gpa(ARCH_VMCLOCK_BASE), got, sizeof(got)), 0);
    assert_memory_equal(got, expected, sizeof(got));
}

static void test_arch_generation_place__both__inside_the_system_area(void **state)
{
    (void)state;
    assert_int_equal(ARCH_VMGENID_BASE, 0xdfff0);
    assert_int_equal(ARCH_VMCLOCK_BASE, 0xde000);
}

static void test_arch_generation_write__boot__id_and_counters_of_0(void **state)
{
    expect_id(*state, first_id);
    expect_clock(*state, 0, 0, 0);
}

static void
test_arch_generation_next__each_restore__another_id_and_counters_one_higher(void **state)
{
    struct err err = ERR_INIT;
    for (uint8_t i = 1; i <= 3; i++) {
        assert_int_equal(arch_generation_next(*state, &place, second_id, &err), 0);
        expect_id(*state, second_id);
        expect_clock(*state, (uint8_t)(2 * i), i, i);
    }
}

/* Saved while it changed, which no build of ours does: even all the same. */
static void test_arch_generation_next__odd_sequence__even_after_it(void **state)
{
    struct err err = ERR_INIT;
    const le32_t odd = le32_put(UINT32_MAX);
    assert_int_equal(gmem_write(*state, gpa(ARCH_VMCLOCK_BASE + SEQ_COUNT), &odd, sizeof(odd)), 0);
    assert_int_equal(arch_generation_next(*state, &place, second_id, &err), 0);
    expect_clock(*state, 0, 1, 1);
}

static void test_arch_generation_next__changed_pages__marked_dirty(void **state)
{
    uint64_t words[MEMORY_SIZE / GMEM_PAGE_SIZE / 64];
    struct err err = ERR_INIT;
    assert_int_equal(gmem_dirty_take(*state, 0, words, ARRAY_LEN(words)), 0);
    assert_int_equal(arch_generation_next(*state, &place, second_id, &err), 0);
    assert_int_equal(gmem_dirty_take(*state, 0, words, ARRAY_LEN(words)), 0);
    assert_int_equal(words[0xde / 64], 1ull << (0xde % 64) | 1ull << (0xdf % 64));
}

static void test_arch_generation__place_outside_memory__refused(void **state)
{
    static const struct arch_generation_place bads[] = {
        {ARCH_VMGENID_BASE, MEMORY_SIZE - VMCLOCK_SIZE + 1},
        {MEMORY_SIZE - ARCH_VMGENID_SIZE + 1, ARCH_VMCLOCK_BASE},
        {UINT64_MAX, UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(arch_generation_write(*state, &bads[i], second_id, &err), -EFAULT);
        assert_int_equal(arch_generation_next(*state, &bads[i], second_id, &err), -EFAULT);
        assert_non_null(strstr(err.msg, "is outside the guest's memory"));
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arch_generation_place__both__inside_the_system_area),
        TEST(test_arch_generation_write__boot__id_and_counters_of_0),
        TEST(test_arch_generation_next__each_restore__another_id_and_counters_one_higher),
        TEST(test_arch_generation_next__odd_sequence__even_after_it),
        TEST(test_arch_generation_next__changed_pages__marked_dirty),
        TEST(test_arch_generation__place_outside_memory__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
