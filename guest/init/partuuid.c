/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a partition of /dev/vda ... /dev/vdz by its id: GPT's unique GUID, or the MBR disk
 * signature and the partition number (SIGNATUR-NN), as PARTUUID= of the kernel. One thread.
 */
#include "guest/init/root.h"

#include "guest/init/sys.h"
#include "guest/init/text.h"

enum {
    SECTOR_SIZE = 512,
    MBR_SIGNATURE_OFF = 440,
    MBR_TABLE_OFF = 446,
    MBR_ENTRY_SIZE = 16,
    MBR_ENTRY_TYPE_OFF = 4,
    MBR_ENTRY_COUNT = 4,
    MBR_TYPE_GPT = 0xee,
    GPT_TABLE_LBA_OFF = 72,
    GPT_ENTRY_COUNT_OFF = 80,
    GPT_ENTRY_SIZE_OFF = 84,
    GPT_GUID_OFF = 16,
    GPT_ENTRY_COUNT_MAX = 128,
    GPT_ENTRY_SIZE_MIN = 128,
    GPT_ENTRY_SIZE_MAX = 4096,
    GUID_SIZE = 16,
    ID_SIZE = 37, /* a GUID as text, with its NUL */
};

static uint64_t load_le(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

/* Writes the byte as two lower-case hexadecimal digits. */
static char *put_hex(char *out, unsigned byte)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = digits[byte >> 4 & 15];
    *out++ = digits[byte & 15];
    return out;
}

/* A GUID's first three fields are stored little-endian, the other two as they read. */
static void format_guid(const unsigned char *guid, char *out)
{
    static const unsigned char order[GUID_SIZE] = {3, 2, 1,  0,  5,  4,  7,  6,
                                                   8, 9, 10, 11, 12, 13, 14, 15};

    for (size_t i = 0; i < GUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        out = put_hex(out, guid[order[i]]);
    }
    *out = 0;
}

static void format_mbr(uint64_t signature, unsigned number, char *out)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        out = put_hex(out, (unsigned)(signature >> shift & 255));
    *out++ = '-';
    out = put_hex(out, number);
    *out = 0;
}

static bool same_id(const char *a, const char *b)
{
    for (; *a || *b; a++, b++) {
        char x = *a >= 'A' && *a <= 'F' ? (char)(*a + 32) : *a;
        char y = *b >= 'A' && *b <= 'F' ? (char)(*b + 32) : *b;

        if (x != y)
            return false;
    }
    return true;
}

/* The number of the partition in the GPT with this id; 0: none. */
static unsigned find_in_gpt(long fd, const char *id)
{
    unsigned char sector[SECTOR_SIZE];
    uint64_t table_off;
    uint64_t count;
    uint64_t size;

    if (sys_pread(fd, sector, sizeof(sector), SECTOR_SIZE) != SECTOR_SIZE)
        return 0;
    if (load_le(sector, 8) != 0x5452415020494645u) /* "EFI PART" */
        return 0;
    table_off = load_le(sector + GPT_TABLE_LBA_OFF, 8);
    count = load_le(sector + GPT_ENTRY_COUNT_OFF, 4);
    size = load_le(sector + GPT_ENTRY_SIZE_OFF, 4);
    if (size < GPT_ENTRY_SIZE_MIN || size > GPT_ENTRY_SIZE_MAX || table_off >> 40)
        return 0;
    table_off *= SECTOR_SIZE;
    if (count > GPT_ENTRY_COUNT_MAX)
        count = GPT_ENTRY_COUNT_MAX;
    for (unsigned i = 0; i < count; i++) {
        unsigned char guid[GUID_SIZE];
        char text[ID_SIZE];

        if (sys_pread(fd, guid, sizeof(guid), table_off + i * size + GPT_GUID_OFF) != GUID_SIZE)
            return 0;
        format_guid(guid, text);
        if (same_id(text, id))
            return i + 1;
    }
    return 0;
}

/* The number of the partition on the disk with this id; 0: none. */
static unsigned find_on_disk(long fd, const char *id)
{
    unsigned char sector[SECTOR_SIZE];

    if (sys_pread(fd, sector, sizeof(sector), 0) != SECTOR_SIZE)
        return 0;
    if (sector[SECTOR_SIZE - 2] != 0x55 || sector[SECTOR_SIZE - 1] != 0xaa)
        return 0;
    for (unsigned i = 0; i < MBR_ENTRY_COUNT; i++) {
        char text[ID_SIZE];

        switch (sector[MBR_TABLE_OFF + i * MBR_ENTRY_SIZE + MBR_ENTRY_TYPE_OFF]) {
        case 0:
            break;
        case MBR_TYPE_GPT:
            return find_in_gpt(fd, id);
        default:
            format_mbr(load_le(sector + MBR_SIGNATURE_OFF, 4), i + 1, text);
            if (same_id(text, id))
                return i + 1;
            break;
        }
    }
    return 0;
}

int partuuid_find(const char *id, char *ret_path, size_t size)
{
    char disk[] = "/dev/vda";

    for (int letter = 'a'; letter <= 'z'; letter++) {
        struct text_line path = {.len = 0};
        unsigned number;
        long fd;

        disk[sizeof(disk) - 2] = (char)letter;
        fd = sys_open(disk, O_RDONLY);
        if (fd < 0)
            continue;
        number = find_on_disk(fd, id);
        (void)sys_close(fd);
        if (!number)
            continue;
        text_add(&path, disk);
        text_add_u64(&path, number);
        return text_copy(ret_path, size, path.buf, path.len) ? 1 : -E2BIG;
    }
    return 0;
}
