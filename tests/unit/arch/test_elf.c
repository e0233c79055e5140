/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/arch/x86_64/kernel.c and kernel_elf.c: every refusal by its sentence; what is
 * loaded.
 */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>
#include <fcntl.h>

#define OFF_EHDR(member) offsetof(struct elf_image_file, ehdr.member)
#define OFF_PHDR(i, member)                                                                        \
    (offsetof(struct elf_image_file, phdrs) + (i) * sizeof(Elf64_Phdr) +                           \
     offsetof(Elf64_Phdr, member))
#define OFF_NOTE(member) offsetof(struct elf_image_file, notes.member)

static const struct corruption corruptions[] = {
    {"magic", 0, 0x7e, 1, -ENOEXEC, NO_KERNEL "Invalid Elf magic number"},
    {"class_32", OFF_EHDR(e_ident) + EI_CLASS, ELFCLASS32, 1, -ENOEXEC,
     "the ELF kernel is not 64-bit (class 1)"},
    {"big_endian", OFF_EHDR(e_ident) + EI_DATA, ELFDATA2MSB, 1, -ENOEXEC,
     "the ELF kernel is not little-endian (data encoding 2)"},
    {"ident_version", OFF_EHDR(e_ident) + EI_VERSION, 0, 1, -ENOEXEC,
     "the ELF kernel's version is not 1"},
    {"version", OFF_EHDR(e_version), 2, 4, -ENOEXEC, "the ELF kernel's version is not 1"},
    {"arm64", OFF_EHDR(e_machine), EM_AARCH64, 2, -ENOEXEC,
     "the ELF kernel is not for x86-64 (machine 183)"},
    {"relocatable_object", OFF_EHDR(e_type), ET_REL, 2, -ENOEXEC,
     "the ELF file is not an executable (type 1)"},
    {"phentsize", OFF_EHDR(e_phentsize), 32, 2, -ENOEXEC,
     "the ELF kernel's program headers have 32 bytes, not 56"},
    {"phnum_0", OFF_EHDR(e_phnum), 0, 2, -ENOEXEC, "the ELF kernel has no program headers"},
    {"phnum_65", OFF_EHDR(e_phnum), 65, 2, -ENOEXEC,
     "the ELF kernel has 65 program headers, at most 64 are read"},
    {"phnum_xnum", OFF_EHDR(e_phnum), PN_XNUM, 2, -ENOEXEC,
     "the ELF kernel has 65535 program headers, at most 64 are read"},
    {"phoff_at_end", OFF_EHDR(e_phoff), 0x2400, 8, -ENOEXEC,
     "the kernel is truncated: 3 program headers at byte 9216, the file has 9216"},
    {"phoff_wraps", OFF_EHDR(e_phoff), UINT64_MAX - 8, 8, -ENOEXEC,
     "the kernel is truncated: 3 program headers at byte 18446744073709551607, the file has 9216"},
    {"offset_behind_end", OFF_PHDR(0, p_offset), 0x1401, 8, -ENOEXEC,
     "the kernel is truncated: segment 0 ends at byte 9217, the file has 9216"},
    {"offset_wraps", OFF_PHDR(0, p_offset), UINT64_MAX, 8, -ENOEXEC,
     "segment 0 of the ELF kernel wraps around in the file"},
    {"filesz_above_memsz", OFF_PHDR(0, p_memsz), 0xfff, 8, -ENOEXEC,
     "segment 0 of the ELF kernel has 4096 bytes in the file, 4095 in memory"},
    {"paddr_below_1_MiB", OFF_PHDR(0, p_paddr), 0xff000, 8, -ENOEXEC,
     "segment 0 of the ELF kernel loads at 0xff000, below 1 MiB"},
    {"memsz_wraps", OFF_PHDR(1, p_memsz), UINT64_MAX, 8, -ENOEXEC,
     "segment 1 of the ELF kernel wraps around in memory"},
    {"behind_ram", OFF_PHDR(1, p_paddr), 64 * MIB - 0xffff, 8, -ENOMEM,
     "the kernel needs 65 MiB, the guest has 64 MiB: raise mem_size_mib"},
    {"in_device_gap", OFF_PHDR(1, p_paddr), 0xc0000000, 8, -ENOMEM,
     "the kernel reaches guest address 0xc0010000, memory for it ends at 0xc0000000"},
    {"overlap", OFF_PHDR(1, p_paddr), KERNEL_BASE + 0xfff, 8, -ENOEXEC,
     "segments 0 and 1 of the ELF kernel overlap in memory"},
    {"bss_overlaps", OFF_PHDR(1, p_paddr), KERNEL_BASE - 0xffff, 8, -ENOEXEC,
     "segments 0 and 1 of the ELF kernel overlap in memory"},
    {"notes_behind_end", OFF_PHDR(2, p_offset), 0x23d1, 8, -ENOEXEC,
     "the kernel is truncated: segment 2 ends at byte 9217, the file has 9216"},
    {"notes_cut", OFF_PHDR(2, p_filesz), 47, 8, -ENOEXEC,
     "a note in segment 2 of the ELF kernel is malformed"},
    {"note_name_too_long", OFF_NOTE(gnu.n_namesz), 37, 4, -ENOEXEC,
     "a note in segment 2 of the ELF kernel is malformed"},
    {"note_name_huge", OFF_NOTE(gnu.n_namesz), UINT32_MAX, 4, -ENOEXEC,
     "a note in segment 2 of the ELF kernel is malformed"},
    {"note_desc_huge", OFF_NOTE(gnu.n_descsz), UINT32_MAX, 4, -ENOEXEC,
     "a note in segment 2 of the ELF kernel is malformed"},
    {"pvh_desc_of_5_bytes", OFF_NOTE(xen.n_descsz), 5, 4, -ENOEXEC,
     "a note in segment 2 of the ELF kernel is malformed"},
    {"pvh_entry_outside", OFF_NOTE(xen_entry), KERNEL_BASE + 0x1000, 8, -ENOEXEC,
     "the ELF kernel's PVH entry 0x1001000 lies outside its segments"},
    {"pvh_entry_in_bss", OFF_NOTE(xen_entry), KERNEL_DATA_BASE + 0x400, 8, -ENOEXEC,
     "the ELF kernel's PVH entry 0x1200400 lies outside its segments"},
    {"pvh_entry_above_32_bits", OFF_NOTE(xen_entry), PVH_ENTRY | (1ull << 32), 8, -ENOEXEC,
     "the ELF kernel's PVH entry 0x101000040 lies outside its segments"},
};

static void test_arch_load_kernel__one_elf_field_broken__sentence(void **state)
{
    const struct corruption *row = *state;
    struct elf_image_file elf = elf_image_make();
    poke(&elf, row->off, row->value, row->size);
    assert_refused(row, &elf, sizeof(elf), KERNEL_BASE);
}

/* Loads the image, which must work, and returns the kernel; *ret_gmem: the caller frees. */
static struct arch_kernel load_good(const struct elf_image_file *elf, struct gmem **ret_gmem)
{
    struct arch_kernel kernel = {0};
    struct err err = ERR_INIT;
    *ret_gmem = guest_create(64);
    int rc = load_bytes(*ret_gmem, elf, sizeof(*elf), &kernel, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return kernel;
}

static void assert_ram_is(struct gmem *gmem, uint64_t addr, const void *want, size_t len)
{
    uint8_t got[0x1000];
    assert_true(len <= sizeof(got));
    assert_int_equal(unit_peek(gmem, gpa(addr), got, len), 0);
    assert_memory_equal(got, want, len);
}

static void test_arch_load_kernel__elf_with_note__pvh_and_bytes_in_place(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    struct gmem *gmem;
    struct arch_kernel kernel = load_good(&elf, &gmem);
    uint8_t zero[16] = {0};
    assert_int_equal(kernel.protocol, ARCH_PROTOCOL_PVH);
    assert_int_equal(kernel.entry, PVH_ENTRY);
    assert_int_equal(kernel.end, KERNEL_DATA_BASE + 0x10000);
    assert_false(kernel.is_bzimage);
    assert_ram_is(gmem, KERNEL_BASE, elf.code, sizeof(elf.code));
    assert_ram_is(gmem, KERNEL_BASE + 0x1000, zero, sizeof(zero));
    assert_ram_is(gmem, KERNEL_DATA_BASE, elf.data, sizeof(elf.data));
    assert_ram_is(gmem, KERNEL_DATA_BASE + 0x400, zero, sizeof(zero));
    gmem_free(gmem);
}

static void assert_loads_as(const struct elf_image_file *elf, enum arch_protocol protocol,
                            uint64_t entry)
{
    struct gmem *gmem;
    struct arch_kernel kernel = load_good(elf, &gmem);
    assert_int_equal(kernel.protocol, protocol);
    assert_int_equal(kernel.entry, entry);
    gmem_free(gmem);
}

static void test_arch_load_kernel__elf_without_note_segment__linux64(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.phdrs[2].p_type = PT_NULL;
    assert_loads_as(&elf, ARCH_PROTOCOL_LINUX64, KERNEL_BASE);
}

static void test_arch_load_kernel__elf_note_of_other_owner__linux64(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.notes.xen_name[0] = 'Y';
    assert_loads_as(&elf, ARCH_PROTOCOL_LINUX64, KERNEL_BASE);
}

static void test_arch_load_kernel__elf_note_of_other_type__linux64(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.notes.xen.n_type = 17;
    assert_loads_as(&elf, ARCH_PROTOCOL_LINUX64, KERNEL_BASE);
}

static void test_arch_load_kernel__elf_empty_note_segment__linux64(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.phdrs[2].p_filesz = 0;
    assert_loads_as(&elf, ARCH_PROTOCOL_LINUX64, KERNEL_BASE);
}

static void test_arch_load_kernel__elf_note_with_4_byte_entry__pvh(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.notes.xen.n_descsz = 4;
    assert_loads_as(&elf, ARCH_PROTOCOL_PVH, PVH_ENTRY);
}

static void test_arch_load_kernel__elf_with_pvh_and_linux_notes__linux64(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.notes.gnu = (Elf64_Nhdr){.n_namesz = 6, .n_descsz = 4, .n_type = 0x101};
    memcpy(elf.notes.gnu_name, "Linu", 4);
    memcpy(elf.notes.gnu_desc, "x\0\0", 4);
    assert_loads_as(&elf, ARCH_PROTOCOL_LINUX64, KERNEL_BASE);
}

static void test_arch_load_kernel__elf_notes_aligned_to_8__pvh(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    /* Owner "GNU", 5 bytes: padded to 24 either way; with 4-byte steps the next note would begin
     * at 21. */
    elf.phdrs[2].p_align = 8;
    elf.notes.gnu.n_descsz = 5;
    assert_loads_as(&elf, ARCH_PROTOCOL_PVH, PVH_ENTRY);
}

static void test_arch_load_kernel__position_independent_elf__loads(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.ehdr.e_type = ET_DYN;
    assert_loads_as(&elf, ARCH_PROTOCOL_PVH, PVH_ENTRY);
}

static void test_arch_load_kernel__elf_segment_without_memory__skipped(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    elf.phdrs[1].p_filesz = 0;
    elf.phdrs[1].p_memsz = 0;
    elf.phdrs[1].p_paddr = 0;
    struct gmem *gmem;
    struct arch_kernel kernel = load_good(&elf, &gmem);
    assert_int_equal(kernel.end, KERNEL_BASE + 0x1000);
    gmem_free(gmem);
}

static void test_arch_load_kernel__elf_headers_far_from_start__loads(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    /* The table moves into the data segment, beyond what is read at first. */
    memcpy(elf.data + 8, elf.phdrs, sizeof(elf.phdrs));
    memset(elf.phdrs, 0xff, sizeof(elf.phdrs));
    elf.ehdr.e_phoff = 0x2008;
    assert_loads_as(&elf, ARCH_PROTOCOL_PVH, PVH_ENTRY);
}

static void test_arch_load_kernel__elf_without_note_entry_outside__refused(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    static const struct corruption row = {
        .code = -ENOEXEC,
        .sentence = "the ELF kernel's 64-bit entry 0xffffffff81000000 lies outside its segments",
    };
    elf.phdrs[2].p_type = PT_NULL;
    elf.ehdr.e_entry = 0xffffffff81000000;
    assert_refused(&row, &elf, sizeof(elf), KERNEL_BASE);
}

static void test_arch_load_kernel__elf_nothing_to_load__refused(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    static const struct corruption row = {.code = -ENOEXEC,
                                          .sentence = "the ELF kernel has no segment to load"};
    elf.phdrs[0].p_type = PT_NULL;
    elf.phdrs[1].p_filesz = 0;
    assert_refused(&row, &elf, sizeof(elf), KERNEL_BASE);
}

static void test_arch_load_kernel__elf_notes_too_large__refused(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    size_t len = 0x200 + 65537;
    uint8_t *bytes = calloc(1, len);
    static const struct corruption row = {
        .code = -ENOEXEC,
        .sentence = "note segment 2 of the ELF kernel has 65537 bytes, at most 65536 are read"};
    assert_non_null(bytes);
    elf.phdrs[2].p_filesz = 65537;
    memcpy(bytes, &elf, sizeof(elf));
    assert_refused(&row, bytes, len, KERNEL_BASE);
    free(bytes);
}

static void assert_fd_refused(int fd, int code, const char *sentence)
{
    struct gmem *gmem = guest_create(64);
    struct arch_kernel kernel;
    struct err err = ERR_INIT;
    int rc = arch_load_kernel(gmem, fd, &kernel, &err);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(rc, code);
    fd_close(&fd);
    gmem_free(gmem);
}

static void test_arch_load_kernel__empty_file__refused(void **state)
{
    (void)state;
    assert_fd_refused(file_of_size(0), -EINVAL, NO_KERNEL "Unable to read elf header");
}

static void test_arch_load_kernel__zero_bytes__refused(void **state)
{
    (void)state;
    assert_fd_refused(file_of_size(100000), -ENOEXEC, NO_KERNEL "Invalid Elf magic number");
}

static void test_arch_load_kernel__one_byte__refused(void **state)
{
    (void)state;
    assert_fd_refused(file_with("\x7f", 1), -ENOEXEC, NO_KERNEL "Invalid Elf magic number");
}

static void test_arch_load_kernel__oversized_file__refused(void **state)
{
    (void)state;
    assert_fd_refused(file_of_size(ARCH_KERNEL_SIZE_MAX + 1), -EFBIG,
                      "the kernel file has 1073741825 bytes, at most 1073741824 are accepted");
}

static void test_arch_load_kernel__directory__refused(void **state)
{
    (void)state;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_fd_refused(fd, -EISDIR, "the kernel is a directory, not a file");
}

static void test_arch_load_kernel__device__refused(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_fd_refused(fd, -EINVAL, "the kernel is not a regular file");
}

static void test_arch_load_kernel__unreadable_fd__refused(void **state)
{
    (void)state;
    int fd = open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, "x", 1), 0);
    assert_fd_refused(fd, -EBADF,
                      "the kernel file cannot be read: Bad file descriptor (os error 9)");
}

static void test_arch_load_kernel__elf_header_cut__refused(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    assert_fd_refused(file_with(&elf, 63), -ENOEXEC,
                      "the kernel is truncated: the ELF header ends at byte 64, the file has 63");
}

static void test_arch_load_kernel__elf_cut_anywhere__refused(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    assert_cuts_refused(&elf, sizeof(elf), 0x240, 4);
}

static void check_lies_in_ram(const struct arch_kernel *kernel)
{
    assert_true(kernel->entry >= LAYOUT_HIMEM && kernel->entry < kernel->end);
}

/* Whatever one byte of the headers is: refused with a sentence, or a kernel that lies in RAM. */
static void test_arch_load_kernel__any_elf_header_byte_changed__safe(void **state)
{
    (void)state;
    struct elf_image_file elf = elf_image_make();
    assert_true(flip_each_byte(&elf, sizeof(elf), 0, 0x230, check_lies_in_ram) > 100);
}

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(test_arch_load_kernel__elf_with_note__pvh_and_bytes_in_place),
    cmocka_unit_test(test_arch_load_kernel__elf_without_note_segment__linux64),
    cmocka_unit_test(test_arch_load_kernel__elf_note_of_other_owner__linux64),
    cmocka_unit_test(test_arch_load_kernel__elf_note_of_other_type__linux64),
    cmocka_unit_test(test_arch_load_kernel__elf_empty_note_segment__linux64),
    cmocka_unit_test(test_arch_load_kernel__elf_note_with_4_byte_entry__pvh),
    cmocka_unit_test(test_arch_load_kernel__elf_with_pvh_and_linux_notes__linux64),
    cmocka_unit_test(test_arch_load_kernel__elf_notes_aligned_to_8__pvh),
    cmocka_unit_test(test_arch_load_kernel__position_independent_elf__loads),
    cmocka_unit_test(test_arch_load_kernel__elf_segment_without_memory__skipped),
    cmocka_unit_test(test_arch_load_kernel__elf_headers_far_from_start__loads),
    cmocka_unit_test(test_arch_load_kernel__elf_without_note_entry_outside__refused),
    cmocka_unit_test(test_arch_load_kernel__elf_nothing_to_load__refused),
    cmocka_unit_test(test_arch_load_kernel__elf_notes_too_large__refused),
    cmocka_unit_test(test_arch_load_kernel__empty_file__refused),
    cmocka_unit_test(test_arch_load_kernel__zero_bytes__refused),
    cmocka_unit_test(test_arch_load_kernel__one_byte__refused),
    cmocka_unit_test(test_arch_load_kernel__oversized_file__refused),
    cmocka_unit_test(test_arch_load_kernel__directory__refused),
    cmocka_unit_test(test_arch_load_kernel__device__refused),
    cmocka_unit_test(test_arch_load_kernel__unreadable_fd__refused),
    cmocka_unit_test(test_arch_load_kernel__elf_header_cut__refused),
    cmocka_unit_test(test_arch_load_kernel__elf_cut_anywhere__refused),
    cmocka_unit_test(test_arch_load_kernel__any_elf_header_byte_changed__safe),
};

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(single_tests) + ARRAY_LEN(corruptions)];
    memcpy(tests, single_tests, sizeof(single_tests));
    for (size_t i = 0; i < ARRAY_LEN(corruptions); i++)
        tests[ARRAY_LEN(single_tests) + i] = (struct CMUnitTest){
            .name = corruptions[i].name,
            .test_func = test_arch_load_kernel__one_elf_field_broken__sentence,
            .initial_state = (void *)(uintptr_t)&corruptions[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
