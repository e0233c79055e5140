/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory into a file, and the samples that tie it to its state. The machine is one that has
 * nothing but memory. Single thread.
 */
#include "snapshots/snap_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/machine/machine_int.h"

#define LOW_SIZE (32u * GMEM_PAGE_SIZE)
#define HIGH_BASE 0x100000000ull
#define HIGH_SIZE (16u * GMEM_PAGE_SIZE)
#define FILE_SIZE (LOW_SIZE + HIGH_SIZE)

static struct {
    struct machine machine;
    struct gmem *gmem;
    struct snap_file file;
    struct snap_written written;
    struct snapf_content content;
} fix;

static const struct gmem_range ranges[] = {{{0}, LOW_SIZE}, {{HIGH_BASE}, HIGH_SIZE}};

static int setup(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    fix.file = (struct snap_file){.path = "memory", .what = "memory", .size = FILE_SIZE};
    fix.file.fd = memfd_create("memory", MFD_CLOEXEC);
    if (fix.file.fd < 0 || ftruncate(fix.file.fd, FILE_SIZE) < 0 ||
        gmem_create(ranges, 2, GMEM_BACKING_DEFAULT, false, &fix.gmem, &err) < 0)
        return -1;
    fix.machine.gmem = fix.gmem;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snap_written_done(&fix.written);
    fd_close(&fix.file.fd);
    gmem_free(fix.gmem);
    return 0;
}

static void put(uint64_t addr, uint8_t byte)
{
    assert_int_equal(gmem_write(fix.gmem, gpa(addr), &byte, 1), 0);
}

static void write_memory(enum cfg_snapshot_type type)
{
    struct err err = ERR_INIT;
    snap_written_done(&fix.written);
    int rc = snap_memory_write(&fix.machine, &fix.file, type, &fix.written, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static uint8_t byte_at(uint64_t off)
{
    uint8_t byte = 0xee;
    assert_int_equal(pread(fix.file.fd, &byte, 1, (off_t)off), 1);
    return byte;
}

static bool is_hole(uint64_t off)
{
    off_t data = lseek(fix.file.fd, (off_t)off, SEEK_DATA);
    return data < 0 || (uint64_t)data >= off + GMEM_PAGE_SIZE;
}

static void test_snap_memory_size__two_regions__their_sum(void **state)
{
    (void)state;
    assert_int_equal(snap_memory_size(fix.gmem), FILE_SIZE);
}

static void test_snap_memory_write__full__regions_one_behind_the_other(void **state)
{
    (void)state;
    put(5, 1);
    put(3 * GMEM_PAGE_SIZE + 7, 2);
    put(LOW_SIZE - 1, 3);
    put(HIGH_BASE, 4);
    put(HIGH_BASE + HIGH_SIZE - 1, 5);
    write_memory(CFG_SNAPSHOT_FULL);
    assert_int_equal(byte_at(5), 1);
    assert_int_equal(byte_at(3 * GMEM_PAGE_SIZE + 7), 2);
    assert_int_equal(byte_at(LOW_SIZE - 1), 3);
    assert_int_equal(byte_at(LOW_SIZE), 4);
    assert_int_equal(byte_at(FILE_SIZE - 1), 5);
    assert_int_equal(fix.written.pages_count, 5);
}

static void test_snap_memory_write__full__zero_pages_are_holes(void **state)
{
    (void)state;
    put(GMEM_PAGE_SIZE, 1);
    put(2 * GMEM_PAGE_SIZE, 0); /* touched, and zero */
    write_memory(CFG_SNAPSHOT_FULL);
    assert_true(is_hole(0));
    assert_false(is_hole(GMEM_PAGE_SIZE));
    assert_true(is_hole(2 * GMEM_PAGE_SIZE));
    assert_int_equal(fix.written.pages_count, 1);
}

static void test_snap_memory_write__full_over_an_older_one__nothing_of_it_stays(void **state)
{
    (void)state;
    uint8_t old[FILE_SIZE];
    memset(old, 0x77, sizeof(old));
    assert_int_equal(pwrite(fix.file.fd, old, sizeof(old), 0), sizeof(old));
    fix.file.was_same = true;
    put(GMEM_PAGE_SIZE, 1);
    put(2 * GMEM_PAGE_SIZE, 0);
    write_memory(CFG_SNAPSHOT_FULL);
    for (uint64_t off = 0; off < FILE_SIZE; off++)
        if (byte_at(off) != (off == GMEM_PAGE_SIZE))
            fail_msg("byte %llu is 0x%x", (unsigned long long)off, byte_at(off));
}

/* A page of a diff that is zero says so: a hole would say that nothing changed. */
static void test_snap_memory_write__diff__zero_pages_are_written(void **state)
{
    (void)state;
    put(GMEM_PAGE_SIZE, 1);
    put(2 * GMEM_PAGE_SIZE, 0);
    write_memory(CFG_SNAPSHOT_DIFF);
    assert_true(is_hole(20 * GMEM_PAGE_SIZE));
    assert_false(is_hole(GMEM_PAGE_SIZE));
    assert_false(is_hole(2 * GMEM_PAGE_SIZE));
}

static void test_snap_memory_write__diff_onto_its_base__untouched_pages_stay(void **state)
{
    (void)state;
    uint8_t old[FILE_SIZE];
    memset(old, 0x77, sizeof(old));
    assert_int_equal(pwrite(fix.file.fd, old, sizeof(old), 0), sizeof(old));
    fix.file.was_same = true;
    put(GMEM_PAGE_SIZE, 1);
    put(2 * GMEM_PAGE_SIZE, 0);
    write_memory(CFG_SNAPSHOT_DIFF);
    assert_int_equal(byte_at(GMEM_PAGE_SIZE), 1);
    assert_int_equal(byte_at(GMEM_PAGE_SIZE + 1), 0);
    assert_int_equal(byte_at(2 * GMEM_PAGE_SIZE), 0);
    assert_int_equal(byte_at(20 * GMEM_PAGE_SIZE), 0x77);
}

static void test_snap_memory_write__file_that_takes_nothing__said(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    put(0, 1);
    fd_close(&fix.file.fd);
    fix.file.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int rc = snap_memory_write(&fix.machine, &fix.file, CFG_SNAPSHOT_FULL, &fix.written, &err);
    assert_int_equal(rc, -EBADF);
    assert_non_null(strstr(err.msg, "Cannot write memory: "));
}

static bool was_picked(uint64_t off)
{
    for (uint32_t i = 0; i < fix.written.picked_count; i++)
        if (fix.written.picked[i] == off)
            return true;
    return false;
}

static void test_snap_memory_write__few_pages__each_is_picked(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SNAP_RANDOM_SAMPLES; i++)
        put(2ull * i * GMEM_PAGE_SIZE, 1);
    write_memory(CFG_SNAPSHOT_FULL);
    assert_int_equal(fix.written.picked_count, SNAP_RANDOM_SAMPLES);
    for (uint32_t i = 0; i < SNAP_RANDOM_SAMPLES; i++)
        assert_true(was_picked(2ull * i * GMEM_PAGE_SIZE));
}

static void test_snap_memory_write__many_pages__some_written_ones_are_picked(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < 32; i += 2)
        put((uint64_t)i * GMEM_PAGE_SIZE, 1);
    for (uint32_t i = 1; i < 16; i += 2)
        put(HIGH_BASE + (uint64_t)i * GMEM_PAGE_SIZE, 1);
    write_memory(CFG_SNAPSHOT_FULL);
    assert_int_equal(fix.written.pages_count, 24);
    assert_int_equal(fix.written.picked_count, SNAP_RANDOM_SAMPLES);
    for (uint32_t i = 0; i < SNAP_RANDOM_SAMPLES; i++) {
        assert_true(fix.written.picked[i] < FILE_SIZE);
        assert_int_equal(fix.written.picked[i] / GMEM_PAGE_SIZE % 2, 1);
    }
}

/* Two picked pages, VMGenID, and the rings of one device. */
static void take_samples(void)
{
    struct machine_state *machine = &fix.content.machine;
    fix.written.picked[0] = 3 * GMEM_PAGE_SIZE;
    fix.written.picked[1] = LOW_SIZE + GMEM_PAGE_SIZE;
    fix.written.picked_count = 2;
    machine->generation.place.vmgenid_base = 5 * GMEM_PAGE_SIZE + 16;
    machine->devices_count = 2;
    machine->devices[0].virtio.active = true;
    machine->devices[0].virtio.queues_count = 1;
    machine->devices[0].virtio.queues[0].setup.avail = 7 * GMEM_PAGE_SIZE + 8;
    machine->devices[0].virtio.queues[0].setup.used = HIGH_BASE + 2 * GMEM_PAGE_SIZE;
    machine->devices[1].virtio.queues_count = 1; /* no driver */
    machine->devices[1].virtio.queues[0].setup.avail = 9 * GMEM_PAGE_SIZE;
    snap_samples_take(fix.gmem, &fix.written, &fix.content);
}

static void test_snap_samples_take__picked_and_rings_and_vmgenid__each_once(void **state)
{
    (void)state;
    static const uint64_t offs[] = {5 * GMEM_PAGE_SIZE, 7 * GMEM_PAGE_SIZE,
                                    LOW_SIZE + 2 * GMEM_PAGE_SIZE, 3 * GMEM_PAGE_SIZE,
                                    LOW_SIZE + GMEM_PAGE_SIZE};
    take_samples();
    snap_samples_take(fix.gmem, &fix.written, &fix.content);
    assert_int_equal(fix.content.samples_count, ARRAY_LEN(offs));
    for (size_t i = 0; i < ARRAY_LEN(offs); i++)
        assert_int_equal(fix.content.samples[i].off, offs[i]);
}

static void test_snap_samples_take__addresses_that_are_no_memory__left_out(void **state)
{
    (void)state;
    struct machine_state *machine = &fix.content.machine;
    machine->generation.place.vmgenid_base = LOW_SIZE;
    machine->devices_count = 1;
    machine->devices[0].virtio.active = true;
    machine->devices[0].virtio.queues_count = 1;
    machine->devices[0].virtio.queues[0].setup.avail = UINT64_MAX;
    machine->devices[0].virtio.queues[0].setup.used = HIGH_BASE + HIGH_SIZE;
    snap_samples_take(fix.gmem, &fix.written, &fix.content);
    assert_int_equal(fix.content.samples_count, 0);
}

static void test_snap_samples_check__same_memory__passes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    put(3 * GMEM_PAGE_SIZE, 1);
    take_samples();
    put(4 * GMEM_PAGE_SIZE, 1); /* no sample */
    assert_int_equal(snap_samples_check(fix.gmem, &fix.content, &err), 0);
}

static void test_snap_samples_check__one_byte_of_a_sample__names_the_page(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    take_samples();
    put(HIGH_BASE + 3 * GMEM_PAGE_SIZE - 1, 1);
    assert_int_equal(snap_samples_check(fix.gmem, &fix.content, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "its page at byte 139264 has other content"));
}

static void test_snap_samples_check__sample_that_is_no_page__refused(void **state)
{
    (void)state;
    static const uint64_t offs[] = {FILE_SIZE, 1, UINT64_MAX, UINT64_MAX - GMEM_PAGE_SIZE + 1};
    take_samples();
    for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
        struct err err = ERR_INIT;
        fix.content.samples[1].off = offs[i];
        assert_int_equal(snap_samples_check(fix.gmem, &fix.content, &err), -EINVAL);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_memory_size__two_regions__their_sum),
        TEST(test_snap_memory_write__full__regions_one_behind_the_other),
        TEST(test_snap_memory_write__full__zero_pages_are_holes),
        TEST(test_snap_memory_write__full_over_an_older_one__nothing_of_it_stays),
        TEST(test_snap_memory_write__diff__zero_pages_are_written),
        TEST(test_snap_memory_write__diff_onto_its_base__untouched_pages_stay),
        TEST(test_snap_memory_write__file_that_takes_nothing__said),
        TEST(test_snap_memory_write__few_pages__each_is_picked),
        TEST(test_snap_memory_write__many_pages__some_written_ones_are_picked),
        TEST(test_snap_samples_take__picked_and_rings_and_vmgenid__each_once),
        TEST(test_snap_samples_take__addresses_that_are_no_memory__left_out),
        TEST(test_snap_samples_check__same_memory__passes),
        TEST(test_snap_samples_check__one_byte_of_a_sample__names_the_page),
        TEST(test_snap_samples_check__sample_that_is_no_page__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
