/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage: checks the setup header (Linux boot protocol, 2.12 and later) against file and RAM, then
 * moves the protected-mode part to 1 MiB, to be entered in 64-bit mode at +0x200. Its own code
 * unpacks the kernel to pref_address or above, so RAM must reach the end of init_size there, not
 * only the end of what was loaded. Thread: vmm, before the guest runs. devices.md 8.2; boot.rst.
 */
#include "vmm/arch/x86_64/load_int.h"

#include <errno.h>
#include <string.h>

#include "base/ck.h"
#include "vmm/arch/x86_64/boot_int.h"

#define BZIMAGE_SECTOR_SIZE 512u
#define BZIMAGE_SETUP_SECTS_DEFAULT 4u
#define BZIMAGE_SYSSIZE_UNIT 16u
#define BZIMAGE_ALIGNMENT_MAX (1u << 30)

bool arch_bzimage_is(const struct arch_file *file)
{
    le16_t boot_flag;
    le32_t magic;
    if (file->head_len < BOOT_HEADER_AT(version))
        return false;
    memcpy(&boot_flag, file->head + BOOT_HEADER_AT(boot_flag), sizeof(boot_flag));
    memcpy(&magic, file->head + BOOT_HEADER_AT(header), sizeof(magic));
    return le16_get(boot_flag) == BOOT_FLAG && le32_get(magic) == BOOT_HEADER_MAGIC;
}

/* The header tells its own length: newer kernels have more than we know, older ones too little. */
static int read_header(const struct arch_file *file, struct boot_setup_header *ret_header,
                       struct err *err)
{
    if (file->head_len < BOOT_HEADER_2_12_END)
        return err_set(
            err, -ENOEXEC,
            "the kernel is truncated: the setup header ends at byte %u, the file has %llu",
            BOOT_HEADER_2_12_END, (unsigned long long)file->size);

    struct boot_setup_header header = {0};
    size_t end = BOOT_JUMP_END_OFF + file->head[BOOT_JUMP_OPERAND_OFF];
    if (end > BOOT_SETUP_HEADER_OFF + sizeof(header))
        end = BOOT_SETUP_HEADER_OFF + sizeof(header);
    if (end > file->head_len)
        end = file->head_len;
    memcpy(&header, file->head + BOOT_SETUP_HEADER_OFF, end - BOOT_SETUP_HEADER_OFF);

    uint16_t version = le16_get(header.version);
    if (version < BOOT_VERSION_MIN)
        return err_set(err, -ENOEXEC,
                       "the bzImage kernel speaks boot protocol %u.%02u, 2.12 or later is needed",
                       version >> 8, version & 0xffu);
    if (end < BOOT_HEADER_2_12_END)
        return err_set(err, -ENOEXEC, "the bzImage kernel's setup header is too short (%zu bytes)",
                       end - BOOT_SETUP_HEADER_OFF);
    if (!(le16_get(header.xloadflags) & BOOT_XLF_KERNEL_64))
        return err_set(err, -ENOEXEC, "the bzImage kernel has no 64-bit entry (XLF_KERNEL_64)");
    if (!(header.loadflags & BOOT_LOADED_HIGH))
        return err_set(err, -ENOEXEC, "the kernel is a zImage (LOADED_HIGH is not set)");
    *ret_header = header;
    return 0;
}

/* Where the protected-mode part lies in the file. */
static int find_payload(const struct arch_file *file, const struct boot_setup_header *header,
                        uint64_t *ret_off, uint64_t *ret_len, struct err *err)
{
    uint32_t sects = header->setup_sects ? header->setup_sects : BZIMAGE_SETUP_SECTS_DEFAULT;
    uint64_t off = (sects + 1ull) * BZIMAGE_SECTOR_SIZE;
    uint64_t len = (uint64_t)le32_get(header->syssize) * BZIMAGE_SYSSIZE_UNIT;
    if (len <= BOOT_ENTRY64_OFF)
        return err_set(err, -ENOEXEC,
                       "the bzImage kernel's syssize is too small (%llu bytes of code)",
                       (unsigned long long)len);
    if (!ck_range(off, len, file->size))
        return err_set(err, -ENOEXEC,
                       "the kernel is truncated: its code ends at byte %llu, the file has %llu",
                       (unsigned long long)(off + len), (unsigned long long)file->size);
    *ret_off = off;
    *ret_len = len;
    return 0;
}

/* End of what the kernel uses before it reads the memory map: loaded part and unpacked one. */
static int find_end(const struct boot_setup_header *header, uint64_t payload_len, uint64_t *ret_end,
                    struct err *err)
{
    uint32_t align = le32_get(header->kernel_alignment);
    uint64_t start = le64_get(header->pref_address);
    uint32_t init_size = le32_get(header->init_size);
    if (init_size == 0)
        return err_set(err, -ENOEXEC, "the bzImage kernel's init_size is 0");
    if (start < LAYOUT_HIMEM)
        return err_set(err, -ENOEXEC, "the bzImage kernel's pref_address 0x%llx is below 1 MiB",
                       (unsigned long long)start);
    if (header->relocatable_kernel) {
        if (align < ARCH_PAGE_SIZE || align > BZIMAGE_ALIGNMENT_MAX || (align & (align - 1)) != 0)
            return err_set(err, -ENOEXEC,
                           "the bzImage kernel's kernel_alignment 0x%x is not a "
                           "power of two from 4 KiB to 1 GiB",
                           align);
        uint64_t loaded;
        if (!ck_align_up(LAYOUT_HIMEM, align, &loaded))
            return err_set(err, -ENOEXEC, "the bzImage kernel's kernel_alignment is too large");
        if (loaded > start)
            start = loaded;
    }
    uint64_t end;
    if (!ck_add(start, init_size, &end) || !ck_align_up(end, ARCH_PAGE_SIZE, &end))
        return err_set(err, -ENOEXEC, "the bzImage kernel wraps around in memory");
    if (end < LAYOUT_HIMEM + payload_len)
        end = LAYOUT_HIMEM + payload_len;
    *ret_end = end;
    return 0;
}

int arch_bzimage_load(struct gmem *gmem, const struct arch_file *file,
                      struct arch_kernel *ret_kernel, struct err *err)
{
    struct boot_setup_header header = {0};
    uint64_t off = 0;
    uint64_t len = 0;
    uint64_t end = 0;
    int rc = read_header(file, &header, err);
    if (rc < 0)
        return rc;
    rc = find_payload(file, &header, &off, &len, err);
    if (rc < 0)
        return rc;
    rc = find_end(&header, len, &end, err);
    if (rc < 0)
        return rc;
    rc = arch_check_kernel_end(gmem, end, err);
    if (rc < 0)
        return rc;
    rc = arch_load_bytes(gmem, LAYOUT_HIMEM, file->fd, off, len, "kernel", err);
    if (rc < 0)
        return rc;

    struct arch_kernel kernel = {
        .protocol = ARCH_PROTOCOL_LINUX64,
        .entry = LAYOUT_HIMEM + BOOT_ENTRY64_OFF,
        .end = end,
        .is_bzimage = true,
    };
    memcpy(kernel.setup_header, &header, sizeof(header));
    *ret_kernel = kernel;
    return 0;
}
