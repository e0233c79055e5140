/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file is the memory of a VM's last snapshot, as far as it holds any of it. Single
 * thread.
 */
#include "snapshots/snap_past.h"
#include "snapshots/snap_stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

#define LOW_SIZE (8u * GMEM_PAGE_SIZE)
#define HIGH_BASE 0x100000000ull
#define SAMPLE_OFF (3u * GMEM_PAGE_SIZE)
#define HIGH_SAMPLE_OFF (LOW_SIZE + 2u * GMEM_PAGE_SIZE)

static struct {
    struct gmem *gmem;
    struct snap_file memory;
    struct snapf_content content;
    struct snap_past past;
} fix;

static const struct gmem_range ranges[] = {{{0}, LOW_SIZE}, {{HIGH_BASE}, LOW_SIZE}};

static int make_memory(bool tracked)
{
    struct err err = ERR_INIT;
    gmem_free(fix.gmem);
    fix.gmem = NULL;
    return gmem_create(ranges, 2, GMEM_BACKING_DEFAULT, tracked, &fix.gmem, &err);
}

static void add_sample(uint64_t off, uint8_t byte)
{
    uint8_t page[GMEM_PAGE_SIZE];
    memset(page, byte, sizeof(page));
    struct snapf_sample *sample = &fix.content.samples[fix.content.samples_count++];
    sample->off = off;
    crypto_checksum(page, sizeof(page), sample->sum);
}

/* The last snapshot had a page of 1s and, in the second region, one of 2s. */
static int setup(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof(fix));
    fix.memory = (struct snap_file){.path = "memory", .what = "memory", .size = 2 * LOW_SIZE};
    fix.memory.fd = memfd_create("memory", MFD_CLOEXEC);
    if (fix.memory.fd < 0 || ftruncate(fix.memory.fd, 2 * LOW_SIZE) < 0 || make_memory(true) < 0)
        return -1;
    add_sample(SAMPLE_OFF, 1);
    add_sample(HIGH_SAMPLE_OFF, 2);
    fix.content.id[0] = 7;
    snap_past_set(&fix.past, &fix.content);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snap_past_done(&fix.past);
    fd_close(&fix.memory.fd);
    gmem_free(fix.gmem);
    return 0;
}

static void fill(uint64_t off, uint8_t byte)
{
    uint8_t page[GMEM_PAGE_SIZE];
    memset(page, byte, sizeof(page));
    assert_int_equal(pwrite(fix.memory.fd, page, sizeof(page), (off_t)off), sizeof(page));
}

static int check(struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    return snap_past_check(&fix.past, fix.gmem, &fix.memory, ret_err);
}

static void test_snap_past_set__content__its_id(void **state)
{
    (void)state;
    assert_int_equal(fix.past.id[0], 7);
    assert_int_equal(fix.past.samples_count, 2);
}

static void test_snap_past_check__same_pages__passes(void **state)
{
    (void)state;
    struct err err;
    fill(SAMPLE_OFF, 1);
    fill(HIGH_SAMPLE_OFF, 2);
    fill(5 * GMEM_PAGE_SIZE, 9); /* no sample */
    assert_int_equal(check(&err), 0);
}

/* As a diff's file that is merged later. */
static void test_snap_past_check__holes__pass(void **state)
{
    (void)state;
    struct err err;
    fill(HIGH_SAMPLE_OFF, 2);
    assert_int_equal(check(&err), 0);
}

static void test_snap_past_check__other_content__names_page_and_file(void **state)
{
    (void)state;
    struct err err;
    fill(SAMPLE_OFF, 1);
    fill(HIGH_SAMPLE_OFF, 3);
    assert_int_equal(check(&err), -EINVAL);
    assert_non_null(strstr(err.msg, "whose page at byte 40960 has other content (memory). "));
}

static void test_snap_past_check__there_was_none__passes(void **state)
{
    (void)state;
    struct err err;
    snap_past_done(&fix.past);
    fill(SAMPLE_OFF, 3);
    assert_int_equal(check(&err), 0);
}

static void test_snap_past_begin__that_file_again__passes_until_one_has_ended(void **state)
{
    (void)state;
    struct err err;
    snap_past_begin(&fix.past, fix.memory.fd);
    fill(SAMPLE_OFF, 3);
    assert_int_equal(check(&err), 0);
    assert_int_equal(fix.past.id[0], 7);
    snap_past_set(&fix.past, &fix.content);
    assert_int_equal(check(&err), -EINVAL);
}

static void test_snap_past_begin__another_file__is_compared(void **state)
{
    (void)state;
    struct err err;
    FD_AUTO int begun = memfd_create("begun", MFD_CLOEXEC);
    assert_true(begun >= 0);
    snap_past_begin(&fix.past, begun);
    fill(SAMPLE_OFF, 3);
    assert_int_equal(check(&err), -EINVAL);
}

static void test_snap_past_is_whole__stamp__until_it_is_written_to(void **state)
{
    (void)state;
    assert_false(snap_past_is_whole(&fix.past, fix.memory.fd)); /* it has none */
    snap_stamp_set(fix.memory.fd, &fix.content.memory_stamp);
    snap_past_set(&fix.past, &fix.content);
    assert_true(snap_past_is_whole(&fix.past, fix.memory.fd));
    fill(SAMPLE_OFF, 1);
    assert_false(snap_past_is_whole(&fix.past, fix.memory.fd));
}

/* An untracked diff has every page in memory: only what it leaves alone has to match. */
static void test_snap_past_check__untracked__pages_in_memory_need_not_match(void **state)
{
    (void)state;
    struct err err;
    uint8_t byte = 1;
    assert_int_equal(make_memory(false), 0);
    fill(HIGH_SAMPLE_OFF, 3);
    assert_int_equal(check(&err), -EINVAL);
    assert_int_equal(gmem_write(fix.gmem, gpa(HIGH_BASE + 2 * GMEM_PAGE_SIZE), &byte, 1), 0);
    assert_int_equal(check(&err), 0);
}

static void test_snap_past_check__unreadable__said(void **state)
{
    (void)state;
    struct err err;
    fd_close(&fix.memory.fd);
    fix.memory.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(check(&err), -EBADF);
    assert_non_null(strstr(err.msg, "Cannot read the memory backing file: "));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_past_set__content__its_id),
        TEST(test_snap_past_check__same_pages__passes),
        TEST(test_snap_past_check__holes__pass),
        TEST(test_snap_past_check__other_content__names_page_and_file),
        TEST(test_snap_past_check__there_was_none__passes),
        TEST(test_snap_past_begin__that_file_again__passes_until_one_has_ended),
        TEST(test_snap_past_begin__another_file__is_compared),
        TEST(test_snap_past_is_whole__stamp__until_it_is_written_to),
        TEST(test_snap_past_check__untracked__pages_in_memory_need_not_match),
        TEST(test_snap_past_check__unreadable__said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
