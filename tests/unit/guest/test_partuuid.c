/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of guest/init/partuuid.c: partitions found by id on disks in memory, and tables that
 * cannot be believed. The sources are included, as they have no libc below them: their system calls
 * and their memory functions get other names.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#include "guest/init/sys.h"

#define DISKS_MAX 3
#define SECTOR 512u
#define DISK_SIZE (40u * SECTOR) /* a whole GPT of 128 entries */

struct fixture {
    uint8_t disks[DISKS_MAX][DISK_SIZE];
    size_t sizes[DISKS_MAX]; /* 0: there is none of this letter */
    uint32_t preads_count;
    uint32_t open_count;
};

static struct fixture *world; /* the running test's */

static long fake_open(const char *path, int flags)
{
    assert_int_equal(flags, O_RDONLY);
    assert_memory_equal(path, "/dev/vd", 7);
    size_t letter = (size_t)(path[7] - 'a');
    if (letter >= DISKS_MAX || world->sizes[letter] == 0)
        return -ENOENT;
    world->open_count++;
    return (long)letter;
}

static long fake_close(long fd)
{
    assert_in_range(fd, 0, DISKS_MAX - 1);
    world->open_count--;
    return 0;
}

static long fake_pread(long fd, void *buf, size_t len, uint64_t off)
{
    world->preads_count++;
    size_t size = world->sizes[fd];
    if (off >= size)
        return 0;
    if (len > size - off)
        len = size - (size_t)off;
    memcpy(buf, world->disks[fd] + off, len);
    return (long)len;
}

#define memcpy init_memcpy
#define memmove init_memmove
#define memset init_memset
#define memcmp init_memcmp
#include "guest/init/text.c" /* NOLINT(bugprone-suspicious-include): see above */
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

#define sys_open fake_open
#define sys_close fake_close
#define sys_pread fake_pread
#include "guest/init/partuuid.c" /* NOLINT(bugprone-suspicious-include): see above */

static int setup(void **state)
{
    world = calloc(1, sizeof(*world));
    assert_non_null(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(world->open_count, 0); /* whatever was found, nothing stays open */
    free(*state);
    return 0;
}

static void put_le(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* A disk with an MBR of this signature; types: of the four partitions, 0 is none. */
static uint8_t *mbr_disk(char letter, uint32_t signature, const uint8_t types[4])
{
    uint8_t *disk = world->disks[letter - 'a'];
    world->sizes[letter - 'a'] = DISK_SIZE;
    put_le(disk + 440, signature, 4);
    for (size_t i = 0; i < 4; i++)
        disk[446 + 16 * i + 4] = types[i];
    put_le(disk + 510, 0xaa55, 2);
    return disk;
}

#define GPT_FIRST_SECTOR 2u
#define GPT_LAST_ENTRY 127u

/* The EFI system partition's type, and how UEFI 2.10, appendix A stores it: two spellings of one
 * GUID that nobody here made up. */
#define GUID_TEXT "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
static const uint8_t guid_bytes[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                       0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};

/* A disk with a GPT whose entry `idx` has that GUID. */
static uint8_t *gpt_disk(char letter, size_t idx)
{
    uint8_t *disk = mbr_disk(letter, 0, (const uint8_t[4]){0xee, 0, 0, 0});
    uint8_t *header = disk + SECTOR;
    memcpy(header, "EFI PART", 8);
    put_le(header + 72, GPT_FIRST_SECTOR, 8);
    put_le(header + 80, GPT_LAST_ENTRY + 1, 4);
    put_le(header + 84, 128, 4);
    memcpy(disk + (size_t)GPT_FIRST_SECTOR * SECTOR + 128 * idx + 16, guid_bytes, 16);
    return disk;
}

static void expect_found(const char *id, const char *path)
{
    char seen[32] = "";
    assert_int_equal(partuuid_find(id, seen, sizeof(seen)), 1);
    assert_string_equal(seen, path);
}

static void expect_absent(const char *id)
{
    char seen[32] = "untouched";
    assert_int_equal(partuuid_find(id, seen, sizeof(seen)), 0);
    assert_string_equal(seen, "untouched");
}

static void test_partuuid_find__no_disk__absent(void **state)
{
    (void)state;
    expect_absent("5eaf00d1-01");
}

static void test_partuuid_find__mbr__signature_and_number(void **state)
{
    (void)state;
    mbr_disk('a', 0x5eaf00d1, (const uint8_t[4]){0x83, 0x82, 0, 0x83});
    expect_found("5eaf00d1-01", "/dev/vda1");
    expect_found("5eaf00d1-02", "/dev/vda2");
    expect_found("5EAF00D1-04", "/dev/vda4");
}

static void test_partuuid_find__mbr__other_spellings_absent(void **state)
{
    (void)state;
    mbr_disk('a', 0x5eaf00d1, (const uint8_t[4]){0x83, 0x83, 0, 0});
    expect_absent("5eaf00d1-03"); /* an entry without a type */
    expect_absent("5eaf00d1-05");
    expect_absent("5eaf00d1-2");
    expect_absent("5eaf00d1-022");
    expect_absent("5eaf00d1");
    expect_absent("d100af5e-01");
    expect_absent("");
}

static void test_partuuid_find__mbr_without_boot_signature__absent(void **state)
{
    (void)state;
    uint8_t *disk = mbr_disk('a', 0x5eaf00d1, (const uint8_t[4]){0x83, 0, 0, 0});
    disk[511] = 0xab;
    expect_absent("5eaf00d1-01");
}

static void test_partuuid_find__second_disk__found_there(void **state)
{
    (void)state;
    mbr_disk('a', 0x11111111, (const uint8_t[4]){0x83, 0x83, 0x83, 0x83});
    mbr_disk('c', 0x5eaf00d1, (const uint8_t[4]){0x83, 0x83, 0, 0});
    expect_found("5eaf00d1-02", "/dev/vdc2");
}

static void test_partuuid_find__gpt__mixed_endian_guid(void **state)
{
    (void)state;
    gpt_disk('b', 2);
    expect_found(GUID_TEXT, "/dev/vdb3");
    expect_found("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "/dev/vdb3");
    expect_absent("28732ac1-1ff8-d211-ba4b-00a0c93ec93b");
}

static void test_partuuid_find__gpt__last_entry_is_seen(void **state)
{
    (void)state;
    gpt_disk('a', GPT_LAST_ENTRY);
    expect_found(GUID_TEXT, "/dev/vda128");
}

static void test_partuuid_find__gpt_of_many_entries__reads_no_more_than_128(void **state)
{
    (void)state;
    uint8_t *disk = gpt_disk('a', GPT_LAST_ENTRY + 1);
    put_le(disk + SECTOR + 80, UINT32_MAX, 4);
    expect_absent(GUID_TEXT);
    assert_int_equal(world->preads_count, 2 + 128); /* MBR, header, entries */
}

static void test_partuuid_find__gpt_entries_of_256_bytes__stepped_over(void **state)
{
    (void)state;
    uint8_t *disk = gpt_disk('a', 2);
    put_le(disk + SECTOR + 84, 256, 4);
    expect_found(GUID_TEXT, "/dev/vda2");
}

/* One field of a good GPT changed to what cannot be believed. */
static const struct {
    size_t off;
    uint64_t value;
    size_t size;
} bad_headers[] = {
    {0, 0, 8},                                /* no "EFI PART" */
    {72, (1ull << 55) + GPT_FIRST_SECTOR, 8}, /* in bytes it wraps to where the table is */
    {72, 1ull << 40, 8},                      /* just too far */
    {72, 1000, 8},                            /* behind the disk's end */
    {80, 0, 4},                               /* no entries */
    {84, 0, 4},                               /* entries of nothing, */
    {84, 127, 4},                             /* too small */
    {84, 4097, 4},                            /* and too large */
    {84, UINT32_MAX, 4},
};

static void test_partuuid_find__bad_gpt_header__absent(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_headers); i++) {
        uint8_t *disk = gpt_disk('a', 0);
        expect_found(GUID_TEXT, "/dev/vda1");
        put_le(disk + SECTOR + bad_headers[i].off, bad_headers[i].value, bad_headers[i].size);
        expect_absent(GUID_TEXT);
    }
}

static void test_partuuid_find__disk_cut_short__absent(void **state)
{
    (void)state;
    gpt_disk('a', 4); /* the first entry of the table's second sector */
    static const size_t sizes[] = {1,          SECTOR - 1,     SECTOR, 2 * SECTOR - 1,
                                   3 * SECTOR, 3 * SECTOR + 31};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        world->sizes[0] = sizes[i];
        expect_absent(GUID_TEXT);
    }
    world->sizes[0] = 3 * SECTOR + 32;
    expect_found(GUID_TEXT, "/dev/vda5");
}

static void test_partuuid_find__path_too_long__refused(void **state)
{
    (void)state;
    char path[9];
    gpt_disk('a', GPT_LAST_ENTRY);
    assert_int_equal(partuuid_find(GUID_TEXT, path, sizeof(path)), -E2BIG);
}

#define WITH_DISKS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISKS(test_partuuid_find__no_disk__absent),
        WITH_DISKS(test_partuuid_find__mbr__signature_and_number),
        WITH_DISKS(test_partuuid_find__mbr__other_spellings_absent),
        WITH_DISKS(test_partuuid_find__mbr_without_boot_signature__absent),
        WITH_DISKS(test_partuuid_find__second_disk__found_there),
        WITH_DISKS(test_partuuid_find__gpt__mixed_endian_guid),
        WITH_DISKS(test_partuuid_find__gpt__last_entry_is_seen),
        WITH_DISKS(test_partuuid_find__gpt_of_many_entries__reads_no_more_than_128),
        WITH_DISKS(test_partuuid_find__gpt_entries_of_256_bytes__stepped_over),
        WITH_DISKS(test_partuuid_find__bad_gpt_header__absent),
        WITH_DISKS(test_partuuid_find__disk_cut_short__absent),
        WITH_DISKS(test_partuuid_find__path_too_long__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
