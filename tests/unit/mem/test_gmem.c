/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the checked door, windows and dirty bits. Single thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/mem/gmem.h"

#define LOW_SIZE (4u * 1024 * 1024)
#define HIGH_BASE 0x100000000ull
#define HIGH_SIZE (2u * 1024 * 1024)

static const struct gmem_range two_ranges[] = {{{0}, LOW_SIZE}, {{HIGH_BASE}, HIGH_SIZE}};

static int setup(void **state)
{
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    if (gmem_create(two_ranges, 2, GMEM_BACKING_HEAP, true, &gmem, &err) < 0)
        return -1;
    *state = gmem;
    return 0;
}

static int teardown(void **state)
{
    gmem_free(*state);
    return 0;
}

static void test_gmem_create__overlapping_ranges__refused(void **state)
{
    (void)state;
    const struct gmem_range overlap[] = {{{0}, 0x3000}, {{0x2000}, 0x1000}};
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(overlap, 2, GMEM_BACKING_HEAP, false, &gmem, &err), -EINVAL);
    assert_null(gmem);
}

static void test_gmem_create__unaligned_or_wrapping__refused(void **state)
{
    (void)state;
    const struct gmem_range bad[] = {
        {{0}, 0x1001}, {{0x800}, 0x1000}, {{0}, 0}, {{UINT64_MAX - 0xfff}, 0x2000}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct gmem *gmem = NULL;
        struct err err = ERR_INIT;
        assert_int_equal(gmem_create(&bad[i], 1, GMEM_BACKING_HEAP, false, &gmem, &err), -EINVAL);
    }
}

static void test_gmem_create__more_than_address_space__enomem_sentence(void **state)
{
    (void)state;
    const struct gmem_range huge = {{0}, 1ull << 60};
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(&huge, 1, GMEM_BACKING_DEFAULT, false, &gmem, &err), -ENOMEM);
    assert_string_equal(err.msg, "Cannot create mmap region: Out of memory (os error 12)");
}

static void test_gmem_create__any_base__host_congruent_mod_2mib(void **state)
{
    struct gmem *gmem = *state;
    for (uint32_t i = 0; i < 2; i++) {
        struct gmem_region_view view = gmem_region_at(gmem, i);
        assert_int_equal(((uintptr_t)view.host - view.base.v) % GMEM_HUGE_SIZE, 0);
    }
}

static void test_gmem_read__what_was_written__same_bytes_any_alignment(void **state)
{
    struct gmem *gmem = *state;
    uint8_t in[41];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i + 1);
    for (uint64_t shift = 0; shift < 9; shift++) {
        for (size_t len = 0; len <= sizeof(in); len++) {
            uint8_t out[sizeof(in)] = {0};
            assert_int_equal(gmem_write(gmem, gpa(0x1000 + shift), in, len), 0);
            assert_int_equal(gmem_read(gmem, gpa(0x1000 + shift), out, len), 0);
            assert_memory_equal(out, in, len);
        }
    }
}

static void test_gmem_read__leaving_a_region__efault_and_nothing_touched(void **state)
{
    struct gmem *gmem = *state;
    const uint64_t bad[] = {LOW_SIZE - 3, LOW_SIZE,      HIGH_BASE - 1, HIGH_BASE + HIGH_SIZE - 1,
                            UINT64_MAX,   UINT64_MAX - 3};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t buf[4] = {1, 2, 3, 4};
        assert_int_equal(gmem_read(gmem, gpa(bad[i]), buf, 4), -EFAULT);
        assert_memory_equal(buf, "\1\2\3\4", 4);
        assert_int_equal(gmem_write(gmem, gpa(bad[i]), buf, 4), -EFAULT);
        assert_int_equal(gmem_zero(gmem, gpa(bad[i]), 4), -EFAULT);
        struct iovec iov;
        assert_int_equal(gmem_iov(gmem, gpa(bad[i]), 4, true, &iov), -EFAULT);
    }
}

static void test_gmem_iov__valid_range__points_at_the_bytes(void **state)
{
    struct gmem *gmem = *state;
    struct iovec iov;
    assert_int_equal(gmem_write(gmem, gpa(HIGH_BASE + 5), "guest", 5), 0);
    assert_int_equal(gmem_iov(gmem, gpa(HIGH_BASE + 5), 5, false, &iov), 0);
    assert_int_equal(iov.iov_len, 5);
    assert_memory_equal(iov.iov_base, "guest", 5);
}

static void test_gmem_iov_write__any_offset__lands_behind_it(void **state)
{
    struct gmem *gmem = *state;
    struct iovec iov[4];
    char bytes[10];
    static const size_t lens[] = {3, 0, 1, 6};
    for (uint32_t i = 0; i < 4; i++) /* pieces with a gap between them */
        assert_int_equal(gmem_iov(gmem, gpa(0x1000 + i * 0x10), lens[i], true, &iov[i]), 0);
    for (size_t off = 0; off <= 10; off++) {
        assert_int_equal(gmem_iov_write(iov, 4, 0, "..........", 10), 0);
        assert_int_equal(gmem_iov_write(iov, 4, off, "0123456789", 10 - off), 0);
        assert_int_equal(gmem_iov_write(iov, 4, off, "x", 11 - off), -EFAULT);
        assert_int_equal(gmem_read(gmem, gpa(0x1000), bytes, 3), 0);
        assert_int_equal(gmem_read(gmem, gpa(0x1020), bytes + 3, 1), 0);
        assert_int_equal(gmem_read(gmem, gpa(0x1030), bytes + 4, 6), 0);
        assert_memory_equal(bytes, "..........", off);
        assert_memory_equal(bytes + off, "0123456789", 10 - off);
    }
}

static void test_gmem_dirty_take__after_writes__exact_pages_then_clear(void **state)
{
    struct gmem *gmem = *state;
    uint64_t words[LOW_SIZE / GMEM_PAGE_SIZE / 64];
    struct iovec iov;
    assert_int_equal(gmem_write(gmem, gpa(0x1fff), "ab", 2), 0);
    assert_int_equal(gmem_iov(gmem, gpa(0x40000), 0x1000, true, &iov), 0);
    assert_int_equal(gmem_iov(gmem, gpa(0x50000), 0x1000, false, &iov), 0);
    assert_int_equal(gmem_dirty_take(gmem, 0, words, ARRAY_LEN(words)), 0);
    assert_int_equal(words[0], (1u << 1) | (1u << 2));
    assert_int_equal(words[1], 1);
    assert_int_equal(gmem_dirty_take(gmem, 0, words, ARRAY_LEN(words)), 0);
    assert_int_equal(words[0] | words[1], 0);
}

static void test_gmem_dirty_take__untracked_or_short_buffer__refused(void **state)
{
    uint64_t word;
    assert_int_equal(gmem_dirty_take(*state, 0, &word, 1), -EINVAL);
    assert_int_equal(gmem_dirty_take(*state, 2, &word, 1), -EINVAL);
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(two_ranges, 1, GMEM_BACKING_HEAP, false, &gmem, &err), 0);
    assert_int_equal(gmem_dirty_take(gmem, 0, &word, 1), -ENOTSUP);
    gmem_free(gmem);
}

static void test_gmem_window_open__bad_range_or_alignment__refused(void **state)
{
    struct gmem_window window;
    assert_int_equal(gmem_window_open(*state, gpa(0x1001), 16, 2, &window), -EINVAL);
    assert_int_equal(gmem_window_open(*state, gpa(LOW_SIZE - 8), 16, 2, &window), -EFAULT);
    assert_int_equal(gmem_window_open(*state, gpa(0x1000), 0, 2, &window), -EFAULT);
}

static void test_gmem_window_store__index__seen_by_load_and_dirty(void **state)
{
    struct gmem *gmem = *state;
    struct gmem_window window;
    uint64_t words[LOW_SIZE / GMEM_PAGE_SIZE / 64];
    assert_int_equal(gmem_window_open(gmem, gpa(0x3000), 16, 2, &window), 0);
    gmem_window_store_u16_release(&window, 2, 0xbeef);
    assert_int_equal(gmem_window_load_u16_acquire(&window, 2), 0xbeef);
    uint8_t bytes[2];
    assert_int_equal(gmem_read(gmem, gpa(0x3002), bytes, 2), 0);
    assert_memory_equal(bytes, "\xef\xbe", 2);
    assert_int_equal(gmem_dirty_take(gmem, 0, words, ARRAY_LEN(words)), 0);
    assert_int_equal(words[0], 1u << 3);
}

static void test_gmem_read_file__whole_and_short_file__data_or_enodata(void **state)
{
    struct gmem *gmem = *state;
    FD_AUTO int fd = memfd_create("gmem", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, "0123456789", 10), 0);
    assert_int_equal(gmem_read_file(gmem, gpa(0x8000), fd, 2, 8), 0);
    char out[8];
    assert_int_equal(gmem_read(gmem, gpa(0x8000), out, 8), 0);
    assert_memory_equal(out, "23456789", 8);
    assert_int_equal(gmem_read_file(gmem, gpa(0x8000), fd, 5, 8), -ENODATA);
    assert_int_equal(gmem_read_file(gmem, gpa(LOW_SIZE - 4), fd, 0, 8), -EFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gmem_create__overlapping_ranges__refused),
        cmocka_unit_test(test_gmem_create__unaligned_or_wrapping__refused),
        cmocka_unit_test(test_gmem_create__more_than_address_space__enomem_sentence),
        cmocka_unit_test(test_gmem_create__any_base__host_congruent_mod_2mib),
        cmocka_unit_test(test_gmem_read__what_was_written__same_bytes_any_alignment),
        cmocka_unit_test(test_gmem_read__leaving_a_region__efault_and_nothing_touched),
        cmocka_unit_test(test_gmem_iov__valid_range__points_at_the_bytes),
        cmocka_unit_test(test_gmem_iov_write__any_offset__lands_behind_it),
        cmocka_unit_test(test_gmem_dirty_take__after_writes__exact_pages_then_clear),
        cmocka_unit_test(test_gmem_dirty_take__untracked_or_short_buffer__refused),
        cmocka_unit_test(test_gmem_window_open__bad_range_or_alignment__refused),
        cmocka_unit_test(test_gmem_window_store__index__seen_by_load_and_dirty),
        cmocka_unit_test(test_gmem_read_file__whole_and_short_file__data_or_enodata),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
