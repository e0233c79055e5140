/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that comes from a file, what its pages can hold, and dirty bits that are given back.
 * Single thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/peek.h"
#include "tests/unit/unit.h"

#define LOW_PAGES 16u
#define HIGH_BASE 0x100000000ull
#define HIGH_PAGES 8u
#define LOW_SIZE (LOW_PAGES * GMEM_PAGE_SIZE)
#define HIGH_SIZE (HIGH_PAGES * GMEM_PAGE_SIZE)
#define NO_SUCH_FD 9999
#define FILE_SIZE (LOW_SIZE + HIGH_SIZE)

static const struct gmem_range ranges[] = {{{0}, LOW_SIZE}, {{HIGH_BASE}, HIGH_SIZE}};

struct fixture {
    int fd;       /* the test's own view of the file */
    int given_fd; /* what the memory was made from */
    struct gmem *gmem;
};

static void file_put(const struct fixture *fixture, uint64_t off, uint8_t byte)
{
    assert_int_equal(pwrite(fixture->fd, &byte, 1, (off_t)off), 1);
}

static uint8_t file_get(const struct fixture *fixture, uint64_t off)
{
    uint8_t byte = 0xee;
    assert_int_equal(pread(fixture->fd, &byte, 1, (off_t)off), 1);
    return byte;
}

/* A file with holes, and memory from it. */
static int setup_mapped(void **state)
{
    static struct fixture fixture;
    struct err err = ERR_INIT;
    fixture = (struct fixture){.fd = memfd_create("memory", MFD_CLOEXEC), .given_fd = FD_NONE};
    *state = &fixture;
    if (fixture.fd < 0 || ftruncate(fixture.fd, FILE_SIZE) < 0)
        return -1;
    file_put(&fixture, 5, 1);
    file_put(&fixture, 3 * GMEM_PAGE_SIZE, 2);
    file_put(&fixture, LOW_SIZE - 1, 3);
    file_put(&fixture, LOW_SIZE, 4);
    file_put(&fixture, FILE_SIZE - 1, 5);
    fixture.given_fd = dup(fixture.fd);
    return gmem_create_mapped(ranges, 2, &fixture.given_fd, GMEM_BACKING_DEFAULT, true,
                              &fixture.gmem, &err);
}

static int setup_anonymous(void **state)
{
    static struct fixture fixture;
    struct err err = ERR_INIT;
    fixture = (struct fixture){.fd = FD_NONE, .given_fd = FD_NONE};
    *state = &fixture;
    return gmem_create(ranges, 2, GMEM_BACKING_DEFAULT, true, &fixture.gmem, &err);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    gmem_free(fixture->gmem);
    fd_close(&fixture->fd);
    fd_close(&fixture->given_fd);
    return 0;
}

static uint8_t peek(const struct fixture *fixture, uint64_t addr)
{
    uint8_t byte = 0xee;
    assert_int_equal(unit_peek(fixture->gmem, gpa(addr), &byte, 1), 0);
    return byte;
}

static void put(const struct fixture *fixture, uint64_t addr, uint8_t byte)
{
    assert_int_equal(gmem_write(fixture->gmem, gpa(addr), &byte, 1), 0);
}

static void test_gmem_create_mapped__file__its_content_in_both_regions(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(peek(fixture, 5), 1);
    assert_int_equal(peek(fixture, 6), 0);
    assert_int_equal(peek(fixture, 3 * GMEM_PAGE_SIZE), 2);
    assert_int_equal(peek(fixture, LOW_SIZE - 1), 3);
    assert_int_equal(peek(fixture, HIGH_BASE), 4);
    assert_int_equal(peek(fixture, HIGH_BASE + HIGH_SIZE - 1), 5);
}

static void test_gmem_create_mapped__guest_writes__file_stays_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 5, 0x55);
    put(fixture, HIGH_BASE, 0x66);
    assert_int_equal(peek(fixture, 5), 0x55);
    assert_int_equal(peek(fixture, HIGH_BASE), 0x66);
    assert_int_equal(file_get(fixture, 5), 1);
    assert_int_equal(file_get(fixture, LOW_SIZE), 4);
}

static void test_gmem_create_mapped__descriptor__is_the_memorys(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fixture->given_fd, FD_NONE);
    fd_close(&fixture->fd);
    assert_int_equal(peek(fixture, 3 * GMEM_PAGE_SIZE), 2);
}

static void test_gmem_create_mapped__bad_descriptor__refused(void **state)
{
    (void)state;
    struct gmem *gmem = NULL;
    int fd = NO_SUCH_FD;
    struct err err = ERR_INIT;
    int rc = gmem_create_mapped(ranges, 2, &fd, GMEM_BACKING_DEFAULT, false, &gmem, &err);
    assert_int_equal(rc, -EBADF);
    assert_null(gmem);
    assert_int_equal(fd, NO_SUCH_FD); /* the caller's still */
    assert_true(err.msg[0] != '\0');
}

/* On a host that swaps every page counts. */
static void expect_there(const struct fixture *fixture, uint32_t region, uint64_t page,
                         bool is_there)
{
    uint8_t there[LOW_PAGES];
    uint32_t count = region == 0 ? LOW_PAGES : HIGH_PAGES;
    memset(there, 0xee, sizeof(there));
    assert_int_equal(gmem_pages_there(fixture->gmem, region, 0, count, there), 0);
    if (!is_there && there[page] == 1 && there[count - 2] == 1)
        skip(); /* swap is on */
    assert_int_equal(there[page], is_there);
}

static void test_gmem_pages_there__anonymous_memory__only_what_was_touched(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 2 * GMEM_PAGE_SIZE, 1);
    put(fixture, HIGH_BASE + 3 * GMEM_PAGE_SIZE, 0); /* touched is enough */
    expect_there(fixture, 0, 2, true);
    expect_there(fixture, 1, 3, true);
    expect_there(fixture, 0, 1, false);
    expect_there(fixture, 1, 2, false);
}

static void test_gmem_pages_there__from_an_offset_on__those_pages(void **state)
{
    struct fixture *fixture = *state;
    uint8_t there[3] = {0xee, 0xee, 0xee};
    put(fixture, 4 * GMEM_PAGE_SIZE, 1);
    assert_int_equal(gmem_pages_there(fixture->gmem, 0, 3ull * GMEM_PAGE_SIZE, 2, there), 0);
    assert_int_equal(there[1], 1);
    assert_int_equal(there[2], 0xee);
}

static void test_gmem_pages_there__mapped_file__its_data_and_what_was_written(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 7 * GMEM_PAGE_SIZE, 1); /* a hole of the file */
    expect_there(fixture, 0, 0, true);
    expect_there(fixture, 0, 3, true);
    expect_there(fixture, 0, 7, true);
    expect_there(fixture, 0, LOW_PAGES - 1, true);
    expect_there(fixture, 1, 0, true);
    expect_there(fixture, 1, HIGH_PAGES - 1, true);
    expect_there(fixture, 0, 5, false);
    expect_there(fixture, 1, 4, false);
}

static void test_gmem_dirty_give_back__bits_taken__are_there_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t words[1];
    uint64_t again[1];
    put(fixture, 2 * GMEM_PAGE_SIZE, 1);
    assert_int_equal(gmem_dirty_take(fixture->gmem, 0, words, 1), 0);
    assert_int_equal(words[0], 1u << 2);
    put(fixture, 5 * GMEM_PAGE_SIZE, 1);
    gmem_dirty_give_back(fixture->gmem, 0, words);
    assert_int_equal(gmem_dirty_take(fixture->gmem, 0, again, 1), 0);
    assert_int_equal(again[0], 1u << 2 | 1u << 5);
    assert_int_equal(gmem_dirty_take(fixture->gmem, 0, again, 1), 0);
    assert_int_equal(again[0], 0);
}

static void test_gmem_dirty_give_back__second_region__first_stays_clean(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t given[1] = {1u << 7};
    uint64_t words[1];
    gmem_dirty_give_back(fixture->gmem, 1, given);
    assert_int_equal(gmem_dirty_take(fixture->gmem, 0, words, 1), 0);
    assert_int_equal(words[0], 0);
    assert_int_equal(gmem_dirty_take(fixture->gmem, 1, words, 1), 0);
    assert_int_equal(words[0], 1u << 7);
}

/* ------------------------------------------------------------------ reserved first */

static struct gmem *reserve(void)
{
    struct gmem *gmem = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(gmem_reserve(ranges, 2, true, &gmem, &err), 0);
    assert_true(gmem_is_reserved(gmem));
    return gmem;
}

static void test_gmem_fill__file__content_is_where_the_slots_are(void **state)
{
    struct fixture *mapped = *state;
    struct fixture fixture = {.gmem = reserve()};
    void *low = gmem_region_at(fixture.gmem, 0).host;
    void *high = gmem_region_at(fixture.gmem, 1).host;
    struct err err = ERR_INIT;
    int fd = dup(mapped->fd);
    assert_int_equal(gmem_fill(fixture.gmem, &fd, GMEM_BACKING_DEFAULT, &err), 0);
    assert_int_equal(fd, FD_NONE);
    assert_false(gmem_is_reserved(fixture.gmem));
    assert_ptr_equal(gmem_region_at(fixture.gmem, 0).host, low);
    assert_ptr_equal(gmem_region_at(fixture.gmem, 1).host, high);
    assert_int_equal(peek(&fixture, 5), 1);
    assert_int_equal(peek(&fixture, HIGH_BASE + HIGH_SIZE - 1), 5);
    put(&fixture, 5, 0x55);
    assert_int_equal(file_get(mapped, 5), 1);
    assert_true(gmem_is_mapped_from(fixture.gmem, mapped->fd));
    gmem_free(fixture.gmem);
}

static void test_gmem_reserve__not_filled__no_address_is_inside(void **state)
{
    (void)state;
    struct gmem *gmem = reserve();
    uint8_t byte;
    assert_int_equal(gmem_read(gmem, gpa(0), &byte, 1), -EFAULT);
    assert_false(gmem_contains(gmem, gpa(HIGH_BASE), 1));
    gmem_free(gmem);
}

static void test_gmem_fill__no_file__zeros(void **state)
{
    (void)state;
    struct fixture fixture = {.gmem = reserve()};
    struct err err = ERR_INIT;
    int none = FD_NONE;
    assert_int_equal(gmem_fill(fixture.gmem, &none, GMEM_BACKING_DEFAULT, &err), 0);
    assert_int_equal(peek(&fixture, HIGH_BASE), 0);
    put(&fixture, HIGH_BASE, 7);
    assert_int_equal(peek(&fixture, HIGH_BASE), 7);
    gmem_free(fixture.gmem);
}

static void test_gmem_fill__bad_descriptor__refused_and_the_callers_still(void **state)
{
    (void)state;
    struct gmem *gmem = reserve();
    struct err err = ERR_INIT;
    int fd = NO_SUCH_FD;
    assert_int_equal(gmem_fill(gmem, &fd, GMEM_BACKING_DEFAULT, &err), -EBADF);
    assert_int_equal(fd, NO_SUCH_FD);
    assert_true(gmem_is_reserved(gmem));
    gmem_free(gmem);
}

static void test_gmem_has_shape__each_difference__false(void **state)
{
    (void)state;
    static const struct gmem_range longer[] = {{{0}, LOW_SIZE}, {{HIGH_BASE}, 2 * HIGH_SIZE}};
    static const struct gmem_range higher[] = {{{0}, LOW_SIZE}, {{2 * HIGH_BASE}, HIGH_SIZE}};
    struct gmem *gmem = reserve();
    assert_true(gmem_has_shape(gmem, ranges, 2, true));
    assert_false(gmem_has_shape(gmem, ranges, 2, false));
    assert_false(gmem_has_shape(gmem, ranges, 1, true));
    assert_false(gmem_has_shape(gmem, longer, 2, true));
    assert_false(gmem_has_shape(gmem, higher, 2, true));
    gmem_free(gmem);
}

#define MAPPED(test) cmocka_unit_test_setup_teardown(test, setup_mapped, teardown)
#define ANONYMOUS(test) cmocka_unit_test_setup_teardown(test, setup_anonymous, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAPPED(test_gmem_create_mapped__file__its_content_in_both_regions),
        MAPPED(test_gmem_create_mapped__guest_writes__file_stays_as_it_was),
        MAPPED(test_gmem_create_mapped__descriptor__is_the_memorys),
        MAPPED(test_gmem_create_mapped__bad_descriptor__refused),
        ANONYMOUS(test_gmem_pages_there__anonymous_memory__only_what_was_touched),
        ANONYMOUS(test_gmem_pages_there__from_an_offset_on__those_pages),
        MAPPED(test_gmem_pages_there__mapped_file__its_data_and_what_was_written),
        ANONYMOUS(test_gmem_dirty_give_back__bits_taken__are_there_again),
        ANONYMOUS(test_gmem_dirty_give_back__second_region__first_stays_clean),
        MAPPED(test_gmem_fill__file__content_is_where_the_slots_are),
        cmocka_unit_test(test_gmem_reserve__not_filled__no_address_is_inside),
        cmocka_unit_test(test_gmem_fill__no_file__zeros),
        cmocka_unit_test(test_gmem_fill__bad_descriptor__refused_and_the_callers_still),
        cmocka_unit_test(test_gmem_has_shape__each_difference__false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
